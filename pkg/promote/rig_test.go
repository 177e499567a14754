package promote_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// rig runs promotions of a manifest in the way cip run does.
type rig struct {
	manifest  string   // plain manifest
	plains    []string // or several
	native    []string // or native files
	ifExists  plan.IfExists
	dryRun    bool
	deep      bool
	referrers bool
	shard     plan.Shard
	options   registry.Options
	estimate  *promote.Estimate
	change    func(*promote.Job) // what else is different; nil: nothing
}

// run plans and, unless it is a dry run, promotes.
func (r rig) run(t *testing.T) *plan.Plan {
	t.Helper()
	return r.within(t.Context(), t)
}

// within is run that ends with ctx.
func (r rig) within(ctx context.Context, t *testing.T) *plan.Plan {
	t.Helper()
	promotion := r.promotion(t)
	defer promotion.Close()
	result := promotion.Plan(ctx)
	if !r.dryRun {
		promotion.Run(ctx, result)
	}
	promotion.Report(result, r.dryRun)
	return result
}

// promotion returns the promotion of the manifest.
func (r rig) promotion(t *testing.T) *promote.Promotion {
	t.Helper()
	set := r.set()
	if set.Broken() {
		t.Fatalf("broken manifest: %v\n%s", set.Faults, r.manifest)
	}
	job := promote.Job{
		Set: set, Deep: r.deep, Referrers: r.referrers, Estimate: r.estimate, Registry: r.options, Selection: promote.Selection{Shard: r.shard},
		IfExists: func(name.Repository) plan.IfExists { return r.ifExists },
	}
	job.Registry.NoAmbient = true
	if job.Registry.Backoff == 0 {
		job.Registry.Backoff = time.Millisecond
	}
	if r.change != nil {
		r.change(&job)
	}
	promotion, err := promote.New(job)
	if err != nil {
		t.Fatal(err)
	}
	return promotion
}

func (r rig) set() *manifest.Set {
	if r.native == nil {
		var sets []*manifest.Set
		for i, file := range append([]string{r.manifest}, r.plains...) {
			name := fmt.Sprintf("%c.yaml", 'm'+i)
			if file != "" {
				sets = append(sets, manifest.Plain(fstest.MapFS{name: {Data: []byte(file)}}, name, name))
			}
		}
		return manifest.Join(sets...)
	}
	sets := make([]*manifest.Set, len(r.native))
	for i, file := range r.native {
		name := fmt.Sprintf("n%d.yaml", i+1)
		sets[i] = manifest.Native(fstest.MapFS{name: {Data: []byte(file)}}, name, name)
	}
	return manifest.Join(sets...)
}

// lines prints items as "action status repository digest tags error", the host
// left out and digests named.
func lines(p *plan.Plan, names map[string]string) string {
	var b strings.Builder
	for it := range plan.Groups(p.Items) {
		fmt.Fprintf(&b, "%s %s %s %s %s", it.Action, it.Status, it.Destination.RepositoryStr(), named(image.DigestString(it.Digest), names), strings.Join(it.Tags, ","))
		if it.Previous != (v1.Hash{}) {
			fmt.Fprintf(&b, " was %s", named(it.Previous.String(), names))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func named(digest string, names map[string]string) string {
	if n, ok := names[digest]; ok {
		return n
	}
	return digest
}

// plain writes a plain manifest: registries, the first being the source, then the images section.
func plain(images string, registries ...string) string {
	var b strings.Builder
	b.WriteString("registries:\n")
	for i, r := range registries {
		fmt.Fprintf(&b, "- name: %s\n", r)
		if i == 0 {
			b.WriteString("  src: true\n")
		}
	}
	b.WriteString("images:\n")
	b.WriteString(images)
	return b.String()
}

// want is an images entry.
func want(name string, edges ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- name: %s\n  dmap:\n", name)
	for i := 0; i < len(edges); i += 2 {
		fmt.Fprintf(&b, "    %q: [%s]\n", edges[i], edges[i+1])
	}
	return b.String()
}

// budget fails unless a server got exactly these requests.
func budget(t *testing.T, s *registrytest.Server, want map[registrytest.Kind]int) {
	t.Helper()
	total := 0
	for kind, n := range want {
		total += n
		if got := s.Count(kind); got != n {
			t.Errorf("%s requests: got %d, want %d", kind, got, n)
		}
	}
	if got := len(s.Requests()); got != total {
		t.Errorf("requests in all: got %d, want %d\n%s", got, total, s.Summary())
	}
}
