// Package kubernetes tests the Kubernetes manifests of the repository with the types of
// the Kubernetes API. It is a module of its own, because nothing else needs these types.
package kubernetes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const base = "../../manifests/kubernetes"

// object returns a value of the type of a kind, and its Pod template if it has one.
func object(kind string) (any, func() *corev1.PodTemplateSpec) {
	switch kind {
	case "Job":
		o := &batchv1.Job{}
		return o, func() *corev1.PodTemplateSpec { return &o.Spec.Template }
	case "CronJob":
		o := &batchv1.CronJob{}
		return o, func() *corev1.PodTemplateSpec { return &o.Spec.JobTemplate.Spec.Template }
	case "Deployment":
		o := &appsv1.Deployment{}
		return o, func() *corev1.PodTemplateSpec { return &o.Spec.Template }
	}
	return map[string]any{
		"ConfigMap": &corev1.ConfigMap{}, "Namespace": &corev1.Namespace{}, "PersistentVolumeClaim": &corev1.PersistentVolumeClaim{},
		"Service": &corev1.Service{}, "ServiceAccount": &corev1.ServiceAccount{}, "NetworkPolicy": &networkingv1.NetworkPolicy{},
		"PodMonitor": &monitoringv1.PodMonitor{},
	}[kind], nil
}

// TestBase renders the base with kustomize, decodes each object strictly, and checks the
// security of each Pod.
func TestBase(t *testing.T) {
	t.Parallel()
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), base)
	if err != nil {
		t.Fatalf("rendering %s: %v", base, err)
	}
	var pods []string
	for _, r := range rendered.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		o, template := object(r.GetKind())
		if o == nil {
			t.Errorf("%s %s: the test does not know this kind", r.GetKind(), r.GetName())
			continue
		}
		if err := yaml.UnmarshalStrict(text, o); err != nil {
			t.Errorf("%s %s: %v", r.GetKind(), r.GetName(), err)
			continue
		}
		if template != nil {
			pods = append(pods, r.GetKind())
			checkPod(t, r.GetKind()+" "+r.GetName(), &template().Spec)
		}
	}
	slices.Sort(pods)
	if got, want := strings.Join(pods, " "), "CronJob Deployment Job"; got != want {
		t.Errorf("objects with Pods: %s, want %s", got, want)
	}
}

// checkPod checks what the Pod security standard "restricted" demands, a read-only root
// file system, and limits.
func checkPod(t *testing.T, of string, p *corev1.PodSpec) {
	t.Helper()
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	if s := p.SecurityContext; s == nil || !is(s.RunAsNonRoot, true) || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: the security context is %+v, want non-root with the default seccomp profile", of, s)
	}
	if p.ServiceAccountName == "" {
		t.Errorf("%s: the service account is the default one, want one of its own", of)
	}
	for _, c := range append(slices.Clone(p.InitContainers), p.Containers...) {
		s := c.SecurityContext
		if s == nil || !is(s.AllowPrivilegeEscalation, false) || !is(s.ReadOnlyRootFilesystem, true) ||
			s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s: the security context of %s is %+v, want it without privileges and with a read-only root", of, c.Name, s)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: the resources of %s are %+v, want requests and a limit of memory", of, c.Name, c.Resources)
		}
		for _, m := range c.VolumeMounts {
			if !slices.ContainsFunc(p.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				t.Errorf("%s: %s mounts %s, which is not a volume", of, c.Name, m.Name)
			}
		}
		if strings.Contains(c.Image, "cip") && !strings.HasPrefix(c.Image, "registry.example.com/") {
			t.Errorf("%s: the image of %s is %s, want the one that kustomization.yaml sets", of, c.Name, c.Image)
		}
	}
}

// TestJob checks that the Job has as many parts as Pods, and acts on the exit codes of cip.
func TestJob(t *testing.T) {
	t.Parallel()
	text, err := filesys.MakeFsOnDisk().ReadFile(base + "/job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var job batchv1.Job
	if err := yaml.UnmarshalStrict(text, &job); err != nil {
		t.Fatal(err)
	}
	shards := ""
	for _, e := range job.Spec.Template.Spec.Containers[0].Env {
		if e.Name == "CIP_SHARDS" {
			shards = e.Value
		}
	}
	if job.Spec.Completions == nil || *job.Spec.Completions != 8 || shards != "8" {
		t.Errorf("completions %v and CIP_SHARDS %q, want both to be 8", job.Spec.Completions, shards)
	}
	actions := map[int32]batchv1.PodFailurePolicyAction{}
	for _, r := range job.Spec.PodFailurePolicy.Rules {
		if r.OnExitCodes != nil {
			for _, code := range r.OnExitCodes.Values {
				actions[code] = r.Action
			}
		}
	}
	if actions[1] != batchv1.PodFailurePolicyActionFailIndex || actions[3] != batchv1.PodFailurePolicyActionCount {
		t.Errorf("actions %v, want exit code 1 to fail the index and 3 to count", actions)
	}
}

// overlay renders the example of docs/scale.md on top of the base.
func overlay(t *testing.T) resmap.ResMap {
	t.Helper()
	page, err := os.ReadFile("../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	const (
		first  = "apiVersion: kustomize.config.k8s.io"
		remote = "https://git.example.com/mirror/cip//manifests/kubernetes?ref=v0.1.0"
	)
	_, example, _ := strings.Cut(string(page), "```yaml\n"+first)
	example, _, _ = strings.Cut(first+example, "```")
	if !strings.Contains(example, remote) {
		t.Fatalf("docs/scale.md has no kustomization of %s", remote)
	}
	files := filesys.MakeFsInMemory()
	write := func(name, text string) {
		if err := files.WriteFile(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(base, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		write("/base/"+e.Name(), string(text))
	}
	write("/overlay/kustomization.yaml", strings.Replace(example, remote, "../base", 1))
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/overlay")
	if err != nil {
		t.Fatalf("rendering the example: %v", err)
	}
	return rendered
}

// TestOverlay checks that the example of docs/scale.md changes what it says.
func TestOverlay(t *testing.T) {
	t.Parallel()
	var job batchv1.Job
	var account corev1.ServiceAccount
	var config corev1.ConfigMap
	for _, r := range overlay(t).Resources() {
		into := map[string]any{"Job promotion": &job, "ServiceAccount promoter": &account, "ConfigMap manifests": &config}[r.GetKind()+" "+r.GetName()]
		if into == nil {
			continue
		}
		text, err := r.AsYAML()
		if err == nil {
			err = yaml.UnmarshalStrict(text, into)
		}
		if err != nil {
			t.Fatalf("%s %s: %v", r.GetKind(), r.GetName(), err)
		}
	}
	pod := &job.Spec.Template.Spec
	env := map[string]string{}
	for _, e := range pod.Containers[0].Env {
		env[e.Name] = e.Value
	}
	got := []string{
		pod.Containers[0].Image, env["CIP_SHARDS"], env["CIP_QPS"],
		account.Annotations["iam.gke.io/gcp-service-account"], config.Data["GITSYNC_REPO"], config.Data["CIP_THIN_MANIFEST_DIR"],
	}
	want := []string{
		"eu.example.com/tools/cip:v0.1.0", "4", "83",
		"promoter@myproject.iam.gserviceaccount.com", "https://git.example.com/team/manifests", "/manifests/current/production",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the example gives %q, want %q", got, want)
	}
	if c, p := job.Spec.Completions, job.Spec.Parallelism; c == nil || p == nil || *c != 4 || *p != 4 {
		t.Errorf("the example gives completions %v and parallelism %v, want 4", c, p)
	}
}
