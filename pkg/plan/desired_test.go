package plan_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

var (
	dA = digest(0xa).String()
	dB = digest(0xb).String()
)

// load reads documents of one plain manifest file.
func load(t *testing.T, text string) *manifest.Set {
	t.Helper()
	set := manifest.Plain(fstest.MapFS{"m.yaml": {Data: []byte(text)}}, "m.yaml", "m.yaml")
	if set.Broken() {
		t.Fatalf("got faults %v, want a manifest that is not broken", set.Faults)
	}
	return set
}

// wanted prints targets as "repository digest tags" and refusals as "repository action digest tags".
func wanted(w *plan.Wanted) []string {
	out := []string{}
	short := func(d v1.Hash) string { return strings.TrimLeft(d.Hex, "0") }
	for _, t := range w.Targets {
		for _, e := range t.Want.Entries {
			out = append(out, strings.TrimSpace(t.Repository.String()+" "+short(e.Digest)+" "+strings.Join(e.Tags, ",")))
		}
		for _, r := range t.Want.Refused {
			out = append(out, t.Repository.String()+" "+r.Action.String()+" "+short(r.Digest)+" "+r.Tag)
		}
	}
	for _, it := range w.Invalid {
		out = append(out, it.Destination.String()+" "+it.Action.String())
	}
	return out
}

const registries = "registries: [{name: s.example/s, src: true}, {name: d.example/p}]\n"

func TestDesired(t *testing.T) {
	t.Parallel()
	src := image.NewRepository("s.example", "s/x")
	resolved := map[plan.SourceTag]plan.Resolution{
		{Repository: src, Tag: "a"}:      {Digest: image.Hash(dA), State: inventory.Present},
		{Repository: src, Tag: "a2"}:     {Digest: image.Hash(dA), State: inventory.Present},
		{Repository: src, Tag: "b"}:      {Digest: image.Hash(dB), State: inventory.Present},
		{Repository: src, Tag: "absent"}: {State: inventory.Absent},
		{Repository: src, Tag: "unread"}: {Err: errors.New("403 DENIED")},
	}
	for name, tc := range map[string]struct {
		text   string
		want   []string
		faults int
	}{
		"the same edge twice is one": {
			registries + "images: [{name: x, dmap: {'" + dA + "': ['1', '1']}}, {name: x, dmap: {'" + dA + "': ['1', '2']}}]",
			[]string{"d.example/p/x a 1,2"}, 0,
		},
		"wanted tagless and tagged counts by its tags": {
			registries + "images: [{name: x, dmap: {'" + dA + "': []}}, {name: x, dmap: {'" + dA + "': ['1']}}]",
			[]string{"d.example/p/x a 1"}, 0,
		},
		"an overlap refuses its tag and spares the others": {
			registries + "images: [{name: x, dmap: {'" + dA + "': ['1', '2'], '" + dB + "': ['1']}}]",
			[]string{"d.example/p/x a 2", "d.example/p/x invalid a 1", "d.example/p/x invalid b 1"}, 2,
		},
		"an overlap across prefixes": {
			"registries: [{name: s.example/s, src: true}, {name: d.example/p}]\nimages: [{name: q/x, dmap: {'" + dA + "': ['1']}}]\n---\n" +
				"registries: [{name: s.example/s, src: true}, {name: d.example/p/q}]\nimages: [{name: x, dmap: {'" + dB + "': ['1']}}]",
			[]string{"d.example/p/q/x invalid a 1", "d.example/p/q/x invalid b 1"}, 2,
		},
		"a retag of a digest that the dmap has is redundant": {
			registries + "images: [{name: x, dmap: {'" + dA + "': ['1']}, retag: [{src_build_tag: a, tag: '1'}]}]",
			[]string{"d.example/p/x a 1"}, 0,
		},
		"a retag against another digest overlaps": {
			registries + "images: [{name: x, dmap: {'" + dB + "': ['1']}, retag: [{src_build_tag: a, tag: '1'}]}]",
			[]string{"d.example/p/x invalid a 1", "d.example/p/x invalid b 1"}, 2,
		},
		"two source tags with one digest are redundant": {
			registries + "images: [{name: x, retag: [{src_build_tag: a, tag: '1'}, {src_build_tag: a2, tag: '1'}]}]",
			[]string{"d.example/p/x a 1"}, 0,
		},
		"two source tags with different digests overlap": {
			registries + "images: [{name: x, retag: [{src_build_tag: a, tag: '1'}, {src_build_tag: b, tag: '1'}]}]",
			[]string{"d.example/p/x invalid a 1", "d.example/p/x invalid b 1"}, 2,
		},
		"two source tags overlap if the digest of one is unknown": {
			registries + "images: [{name: x, retag: [{src_build_tag: a, tag: '1'}, {src_build_tag: unread, tag: '1'}, {src_build_tag: a2, tag: '1'}]}]",
			[]string{"d.example/p/x invalid  1", "d.example/p/x invalid a 1"}, 3,
		},
		"a source tag that is absent or unread stops only itself": {
			registries + "images: [{name: x, retag: [{src_build_tag: absent, tag: '1'}, {src_build_tag: unread, tag: '2'}, {src_build_tag: a, tag: '3'}]}]",
			[]string{"d.example/p/x a 3", "d.example/p/x missing  1", "d.example/p/x unknown  2"}, 0,
		},
		"a bad tag refuses itself, a bad digest its key, a bad name its entry": {
			registries + "images: [{name: x, dmap: {'" + dA + "': ['1', '-']}}, {name: y, dmap: {'sha256:0': ['1']}}, {name: Z, dmap: {'" + dA + "': ['1']}}]",
			[]string{"d.example/p/x a 1", "d.example/p/x invalid a -", "d.example/p/y invalid  1", "d.example/p/Z invalid"}, 0,
		},
		"a native file is its own destination": {
			"images: [{name: s.example/s/x, src_build_tag: a, src_ref: r, tag: t}]",
			[]string{"s.example/s/x a t"}, 0,
		},
		"a destination equal to the source, and one named twice": {
			"registries: [{name: s.example/s, src: true}, {name: s.example/s}, {name: s.example/s/}]\nimages: [{name: x, dmap: {'" + dA + "': ['1']}}]",
			[]string{"s.example/s/x a 1"}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := plan.Desired(load(t, tc.text), resolved)
			if diff := cmp.Diff(tc.want, wanted(w)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if len(w.Faults) != tc.faults {
				t.Errorf("faults: %v, want %d", w.Faults, tc.faults)
			}
			for _, f := range w.Faults {
				if f.Pos.File != "m.yaml" || f.Pos.Line == 0 {
					t.Errorf("got fault %+v, want a line of m.yaml", f)
				}
			}
		})
	}
}

func TestOfflineOverlapsOfRetags(t *testing.T) {
	t.Parallel()
	text := registries + "images: [{name: x, dmap: {'" + dB + "': ['2']}, retag: [{src_build_tag: a, tag: '1'}, {src_build_tag: a2, tag: '1'}, {src_build_tag: a, tag: '2'}]}]"
	w := plan.Desired(load(t, text), nil)
	if len(w.Faults) != 2 {
		t.Errorf("got faults %v, want 2", w.Faults)
	}
	if diff := cmp.Diff([]string{"d.example/p/x b 2", "d.example/p/x invalid  1"}, wanted(w)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCandidatesPreferTheDestinationsHost(t *testing.T) {
	t.Parallel()
	set := load(t, "registries: [{name: s.example/s, src: true, mirrors: [m.example/s, d.example/mirror]}, {name: d.example/p}]\nimages: [{name: x, dmap: {'"+dA+"': ['1']}}]")
	e := plan.Desired(set, nil).Targets[0].Want.Entries[0]
	var got []string
	for _, r := range e.Candidates("d.example") {
		got = append(got, r.String())
	}
	if diff := cmp.Diff([]string{"d.example/mirror/x", "s.example/s/x", "m.example/s/x"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// An overlap names the places it is at: one, and how many more.
func TestOverlapsNameTheirPlace(t *testing.T) {
	t.Parallel()
	set := load(t, `
registries: [{name: s.example/s, src: true}, {name: b.example/p}, {name: a.example/p}]
images:
- {name: x, dmap: {'`+dA+`': [v]}}
- {name: x, dmap: {'`+dA+`': [v]}}
- {name: x, dmap: {'`+dB+`': [v]}}`)
	w := plan.Desired(set, nil)
	if len(w.Faults) != 3 {
		t.Fatalf("got %d faults, want one for each position: %v", len(w.Faults), w.Faults)
	}
	const want = `overlap: tag "v" of a.example/p/x (and 1 more destination) is wanted for `
	if got := w.Faults[0].Message; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q…", got, want)
	}
}

// Many rivals do not make messages that grow with their square.
func TestOverlapsOfMany(t *testing.T) {
	t.Parallel()
	var images strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&images, "- {name: x, dmap: {'%s': [v]}}\n", digest(i))
	}
	w := plan.Desired(load(t, "registries: [{name: s.example/s, src: true}, {name: d.example/p}]\nimages:\n"+images.String()), nil)
	if len(w.Faults) != 1000 {
		t.Fatalf("%d faults, want 1000", len(w.Faults))
	}
	if got := w.Faults[999].Message; len(got) > 4000 || !strings.HasSuffix(got, " and 980 more") {
		t.Errorf("got %d bytes, want 4000 at most, and 980 more at the end: %.200s…", len(got), got)
	}
}
