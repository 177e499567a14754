package promote_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"cip/internal/registrytest"
	"cip/pkg/image"
	"cip/pkg/manifest"
	"cip/pkg/plan"
	"cip/pkg/promote"
	"cip/pkg/registry"
)

// rig runs promotions of a manifest as cip run does.
type rig struct {
	manifest  string   // plain manifest
	plains    []string // or several
	native    []string // or native files
	ifExists  plan.IfExists
	dryRun    bool
	deep      bool
	referrers bool
	options   registry.Options
}

// run plans and, unless it is a dry run, promotes.
func (r rig) run(t *testing.T) *plan.Plan {
	t.Helper()
	return r.within(t.Context(), t)
}

// within is run that ends with ctx.
func (r rig) within(ctx context.Context, t *testing.T) *plan.Plan {
	t.Helper()
	set := r.set()
	if set.Broken() {
		t.Fatalf("broken manifest: %v\n%s", set.Faults, r.manifest)
	}
	o := r.options
	o.Sites, o.NoAmbient = plan.SitesOf(set), true
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	client, err := registry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var mu sync.Mutex
	var warnings []string
	sources := promote.NewSources(client, func(w string) {
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, w)
	})
	defer sources.Close()
	wanted := plan.Desired(set, promote.ResolveTags(ctx, sources, plan.Unpinned(set)))
	wanted.SetIfExists(func(image.Repository) plan.IfExists { return r.ifExists })
	p := promote.Survey(ctx, client, sources, wanted, func() {})
	if r.deep {
		promote.SurveyDeep(ctx, client, sources, wanted, p, func() {})
	}
	if r.referrers {
		promote.SurveyReferrers(ctx, client, sources, wanted, p, func() {})
	}
	p.Faults = append(set.Faults, wanted.Faults...)
	if !r.dryRun {
		promote.Run(ctx, client, sources, p, func() {})
	}
	p.Warnings = append(p.Warnings, warnings...)
	return p
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
	for _, it := range p.Items {
		fmt.Fprintf(&b, "%s %s %s %s %s", it.Action, it.Status, it.Destination.Path, name(string(it.Digest), names), strings.Join(it.Tags, ","))
		if it.Previous != "" {
			fmt.Fprintf(&b, " was %s", name(string(it.Previous), names))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func name(digest string, names map[string]string) string {
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
func want(name string, wishes ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- name: %s\n  dmap:\n", name)
	for i := 0; i < len(wishes); i += 2 {
		fmt.Fprintf(&b, "    %q: [%s]\n", wishes[i], wishes[i+1])
	}
	return b.String()
}

// budget fails unless a server was asked exactly so often.
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
