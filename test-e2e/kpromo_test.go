package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// TestKpromoPR opens a pull request of kubernetes/k8s.io without a clone of it.
func TestKpromoPR(t *testing.T) {
	t.Parallel()
	dir, staging := t.TempDir(), rt.New(t, rt.GoogleListing())
	apple, pear := rt.Image(1, 1), rt.Image(2, 1)
	staging.Push(t, "k8s-staging-fruit/apple", apple, "v1.1", "latest")
	staging.Push(t, "k8s-staging-fruit/pear", pear, "v1.0")
	up, fork := gittest.In(t, filepath.Join(dir, "kubernetes/k8s.io")), gittest.In(t, filepath.Join(dir, "me/k8s.io"))
	const list = "registry.k8s.io/images/k8s-staging-fruit/images.yaml"
	up.Branch("main", up.Commit(1, map[string]string{
		list: "# Ours.\n- name: apple\n  dmap:\n    \"sha256:" + strings.Repeat("0", 64) + "\": [\"v1.0\"]\n- name: pear\n  dmap:\n    \"" + pear.Digest + "\": [\"v1.0\"]\n",
		"registry.k8s.io/manifests/k8s-staging-fruit/promoter-manifest.yaml": "registries:\n- {name: " + staging.Host + "/k8s-staging-fruit, src: true}\n" +
			"- {name: us-central1-docker.pkg.dev/k8s-artifacts-prod/images/fruit}\n",
	}))
	const token = "pl4nted-github-token-9876543210"
	github := gittest.NewGitHub(t, token, map[string]*gittest.Repository{"kubernetes/k8s.io": up, "me/k8s.io": fork})
	env := append(gittest.Env(t, "robot"), "GITHUB_TOKEN="+token, "GITHUB_API_URL="+github.URL)
	for _, entry := range env {
		if name, ok := strings.CutPrefix(entry, "GIT_CONFIG_GLOBAL="); ok {
			edit(t, name, func(text []byte) []byte {
				text = append(text, "[url \""+dir+"/\"]\n\tinsteadOf = https://github.com/\n"...)
				return append(text, "[url \""+dir+"/me/k8s.io\"]\n\tinsteadOf = git@github.com:me/k8s.io.git\n"...)
			})
		}
	}
	pr := func(code int, args ...string) outcome {
		t.Helper()
		p := prepare(t, append([]string{"pr", "--fork=me", "--project=fruit", "--staging-repo=" + staging.Host + "/k8s-staging-fruit"}, args...)...)
		p.Path = linkOfKpromo()
		p.Args[0] = p.Path
		p.Env = append(p.Env, env...)
		p.begin(t)
		out := p.wait(t, runLimit)
		if out.code != code || strings.Contains(out.stdout+out.stderr, token) {
			t.Fatalf("kpromo pr %v: got exit code %d, want %d, and no token\n%s", args, out.code, code, out)
		}
		return out
	}

	if out := pr(1, "--tag=v9"); len(github.Pulls()) != 0 {
		t.Errorf("a tag that nothing has: got a pull request, want none\n%s", out)
	}
	if out := pr(1, "--tag=latest"); !strings.Contains(out.stderr, "does not promote the tag latest") {
		t.Errorf("latest: got %s, want an error", out)
	}
	if out := pr(0, "--tag=v1.1", "--interactive"); len(fork.Branches()) != 0 || !strings.Contains(out.stderr, "nothing was pushed") || !strings.Contains(out.stdout, "v1.1") {
		t.Errorf("without an answer: got branches %v and %s, want none, and the change", fork.Branches(), out)
	}
	github.Fail(http.MethodPost, http.StatusForbidden)
	if out := pr(1, "--tag=v1.1"); len(github.Pulls()) != 0 || !strings.Contains(out.stderr, "the same command tries it again") {
		t.Errorf("refused by GitHub: got pull requests %v and %s, want none, and an error", github.Pulls(), out)
	}
	github.Fail(http.MethodPost, 0)
	out := pr(0, "--tag=v1.1", "--issue=https://github.com/kubernetes/k8s.io/issues/1")
	pulls := github.Pulls()
	if len(pulls) != 1 || out.stdout != pulls[0].URL+"\n" {
		t.Fatalf("got pull requests %+v, want the one that is printed\n%s", pulls, out)
	}
	body := "Image promotion for fruit v1.1\n\nxref: https://github.com/kubernetes/k8s.io/issues/1\n\nThis pull request was made by `kpromo`.\n```\n" +
		"kpromo pr --fork me --project fruit --staging-repo " + staging.Host + "/k8s-staging-fruit --issue https://github.com/kubernetes/k8s.io/issues/1 --tag v1.1\n```\n\n" +
		"/hold\ncc: @kubernetes/release-engineering\n"
	want := gittest.Pull{In: "kubernetes/k8s.io", From: "me/k8s.io", Branch: "fruit-v1.1-image-promotion", Base: "main", Title: "Image promotion for fruit v1.1", Body: body}
	got := gittest.Pull{In: pulls[0].In, From: pulls[0].From, Branch: pulls[0].Branch, Base: pulls[0].Base, Title: pulls[0].Title, Body: pulls[0].Body}
	if diff := cmp.Diff([]string{want.In, want.From, want.Branch, want.Base, want.Title, want.Body}, []string{got.In, got.From, got.Branch, got.Base, got.Title, got.Body}); diff != "" {
		t.Errorf("pull request (-want +got):\n%s", diff)
	}
	id := fork.Branches()["fruit-v1.1-image-promotion"]
	if got := fork.Read(id).Message; got != "Image promotion for fruit v1.1\n\nSigned-off-by: robot <robot@example.com>\n" {
		t.Errorf("got message %q, want a sign-off", got)
	}
	if out := pr(1, "--tag=v1.1"); !strings.Contains(out.stderr, "exists already") || len(github.Pulls()) != 1 {
		t.Errorf("again: got %s, want an error about the branch", out)
	}
	if out := pr(0, "--tag=v1.0", "--image=pear"); !strings.Contains(out.stderr, "nothing to propose") || len(github.Pulls()) != 1 {
		t.Errorf("what is there already: got %s, want nothing to propose", out)
	}
}

// TestKpromoJobs runs the check of a pull request of one line with the manifests of
// Kubernetes, of which only the names of the hosts are changed.
func TestKpromoJobs(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(kubernetes); err != nil {
		t.Skip("the Kubernetes manifests are not next to the project")
	}
	reg, work := rt.New(t, rt.GoogleListing()), t.TempDir()
	dir := filepath.Join(work, "registry.k8s.io")
	if err := os.CopyFS(dir, os.DirFS(kubernetes)); err != nil {
		t.Fatal(err)
	}
	onHost(t, dir, reg.Host)
	base := gittest.CommitAll(t, work)
	o := rt.Image(1, 1)
	reg.Push(t, "gcr.io/k8s-staging-kops/one-more", o, "1.0")
	edit(t, filepath.Join(dir, "images/k8s-staging-kops/images.yaml"), func(text []byte) []byte {
		return append(text, entry("one-more", o.Digest, "1.0")...)
	})
	p := prepare(t, "cip", "--thin-manifest-dir="+dir, "--use-prow-manifest-diff",
		"--certificate-identity-regexp=(krel-staging@k8s-releng-prod.iam.gserviceaccount.com)|(krel-trust@k8s-releng-prod.iam.gserviceaccount.com)",
		"--certificate-oidc-issuer=https://accounts.google.com")
	p.Path = linkOfKpromo()
	p.Args[0] = p.Path
	p.Env = append(p.Env, "JOB_TYPE=presubmit", "PULL_BASE_SHA="+base)
	p.begin(t)
	out := p.wait(t, runLimit)
	const destinations = 23
	if out.code != 0 || out.report == nil || out.report.Summary["copy"] != destinations || len(reg.Writes()) > 0 {
		t.Fatalf("got exit code %d, report %+v, want %d to copy\n%s", out.code, out.report, destinations, out)
	}
	evidence := 0
	for _, item := range out.report.Promotions {
		if item.Kind == "evidence" {
			evidence++
			if want := reg.Host + "/us-central1-docker.pkg.dev/k8s-artifacts-prod/images/kops/one-more"; item.Destination != want {
				t.Errorf("got evidence in %s, want it in %s", item.Destination, want)
			}
		}
	}
	if evidence != 2 {
		t.Errorf("got %d pieces of evidence, want a record and a signature", evidence)
	}
}

// TestKpromoSigns promotes into registries with the names of Kubernetes': the evidence has
// these names, too. An image without a signature is promoted, one with a stranger's is not.
func TestKpromoSigns(t *testing.T) {
	t.Parallel()
	a := newAttested(t)
	dir := t.TempDir()
	const repo = "us-central1-docker.pkg.dev/k8s-artifacts-prod/images/orchard"
	addFile(t, filepath.Join(dir, "manifests/orchard/promoter-manifest.yaml"), fmt.Sprintf("registries:\n- {name: %s/staging/orchard, src: true}\n"+
		"- {name: %[2]s/us.gcr.io/k8s-artifacts-prod/orchard}\n- {name: %[2]s/%[3]s}\n", a.src.Host, a.dst.Host, repo), 0o600)
	images := filepath.Join(dir, "images/orchard/images.yaml")
	addFile(t, images, entry("apple", a.index.Digest, "v1"), 0o600)
	gittest.CommitAll(t, dir)
	addFile(t, filepath.Join(dir, ".git", "config"), "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://github.com/kubernetes/k8s.io\n", 0o600)
	kpromo := func(code int, args ...string) outcome {
		t.Helper()
		p := prepare(t, append(args, "--certificate-identity="+promoter.SAN, "--certificate-oidc-issuer="+promoter.Issuer)...)
		p.Path = linkOfKpromo()
		p.Args[0] = p.Path
		p.Env = append(p.Env, "SIGSTORE_ID_TOKEN="+a.sigstore.Token(promoter), "CIP_TRUSTED_ROOT="+a.root, "CIP_THIN_MANIFEST_DIR="+dir,
			"CIP_FULCIO_URL="+a.sigstore.FulcioURL(), "CIP_REKOR_URL="+a.sigstore.RekorURL(), "CIP_TIMESTAMP_URL="+a.sigstore.TimestampURL())
		p.begin(t)
		out := p.wait(t, runLimit)
		if out.code != code {
			t.Fatalf("kpromo %v: got exit code %d, want %d\n%s", args, out.code, code, out)
		}
		return out
	}
	promote := func(code int, args ...string) outcome {
		t.Helper()
		return kpromo(code, append([]string{"cip", "--thin-manifest-dir=" + dir, "--confirm", "--verification-summaries"}, args...)...)
	}
	promote(0)
	for predicateType, want := range map[string][]string{
		recordType:  {`"builderId":"https://k8s.io/promo-tools@dev"`, `"dstRef":"registry.k8s.io/orchard/apple"`, `"uri":"git+https://github.com/kubernetes/k8s.io"`},
		summaryType: {`"id":"https://k8s.io/promo-tools/verifier/v1"`, `"K8S_PROMOTION_MANIFEST_REVIEWED"`, `"resourceUri":"registry.k8s.io/orchard/apple@` + a.index.Digest + `"`},
	} {
		all, err := a.reader().Attestations(t.Context(), image.NewRepository(a.dst.Host, repo+"/apple"), image.Hash(a.index.Digest), predicateType)
		if err != nil || len(all) != 1 {
			t.Fatalf("got %d statements of type %s, %v, want one", len(all), predicateType, err)
		}
		s := all[0].Statement
		if s.Subjects[0].Name != "registry.k8s.io/orchard/apple" {
			t.Errorf("%s: got subject %+v, want the public name", predicateType, s.Subjects)
		}
		for _, part := range want {
			if !strings.Contains(string(s.Predicate), part) {
				t.Errorf("%s: got no %s, want it in\n%s", predicateType, part, s.Predicate)
			}
		}
	}
	a.dst.Reset()
	if again := promote(0); len(a.dst.Writes()) > 0 {
		t.Errorf("second run: got writes %v, want none\n%s", a.dst.Writes(), again)
	}

	kpromo(0, "sigcheck", "registry.k8s.io/orchard/apple:v1")
	bread := rt.Image(8, 1)
	a.src.Push(t, "staging/orchard/bread", bread, "v1")
	edit(t, images, func(text []byte) []byte { return append(text, entry("bread", bread.Digest, "v1")...) })
	promote(0, "--sign=false")
	if out := kpromo(1, "sigcheck", "europe-west4-docker.pkg.dev/k8s-artifacts-prod/images/orchard/bread:v1"); !strings.Contains(out.stdout, "1 broken") {
		t.Errorf("without evidence: got %s, want it broken", out)
	}
	if out := kpromo(0, "sigcheck", "registry.k8s.io/orchard/bread:v1", "--confirm"); !strings.Contains(out.stdout, "1 ok") {
		t.Errorf("repaired: got %s, want it ok", out)
	}

	pear := rt.Image(7, 1)
	a.src.Push(t, "staging/orchard/pear", pear, "v1")
	sigstoretest.PutTag(t, a.src, "staging/orchard/pear", pear.Digest, ".sig", a.sigstore.CosignLayer(workflow, rt.Claim(pear.Digest)))
	edit(t, images, func(text []byte) []byte { return append(text, entry("pear", pear.Digest, "v1")...) })
	out := promote(1)
	if tags := a.dst.Tags(t, repo+"/pear"); len(tags) > 0 || !strings.Contains(out.stderr, "it was made by") {
		t.Errorf("a stranger's signature: got tags %v, want none and a refusal\n%s", tags, out)
	}

	fig, kiwi := rt.Image(5, 1), rt.Image(6, 1)
	for name, o := range map[string]rt.Object{"fig": fig, "kiwi": kiwi} {
		a.src.Push(t, "staging/orchard/"+name, o, "v1")
		edit(t, images, func(text []byte) []byte { return append(text, entry(name, o.Digest, "v1")...) })
	}
	sigstoretest.PutTag(t, a.src, "staging/orchard/fig", fig.Digest, ".att", a.sigstore.AttestationLayer(workflow, rt.Statement(slsaType, fig.Digest)))
	sigstoretest.PutTag(t, a.src, "staging/orchard/kiwi", kiwi.Digest, ".att", a.sigstore.AttestationLayer(promoter, rt.Statement(slsaType, kiwi.Digest), sigstoretest.Tampered()))
	out = promote(1)
	if tags := a.dst.Tags(t, repo+"/fig"); tags["v1"] != fig.Digest || !strings.Contains(out.stderr, "images without provenance of "+promoter.SAN) {
		t.Errorf("a stranger's provenance: got tags %v, want v1 and a warning\n%s", tags, out)
	}
	if tags := a.dst.Tags(t, repo+"/kiwi"); len(tags) > 0 || !strings.Contains(out.stderr, "does not verify") {
		t.Errorf("provenance that was changed: got tags %v, want none and a refusal\n%s", tags, out)
	}
}
