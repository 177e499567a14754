package plan_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// naiveEdges returns every edge of a set as a string, "repository digest tag",
// and how it is wanted: "granted", and whether its tag may move, or "refused" with
// all digests that contradict each other; and from which sources.
func naiveEdges(set *manifest.Set) map[string]string {
	type request struct {
		repo   string
		digest v1.Hash
		tag    string
		globs  []string
		source string
	}
	var asked []request
	for _, m := range set.Manifests {
		for _, img := range m.Images {
			for _, dst := range m.Destinations {
				repo, _ := dst.Name.Repository(img.Name)
				for _, d := range img.Digests {
					if len(d.Tags) == 0 {
						asked = append(asked, request{repo.String(), d.Digest, "", dst.MutableTags, m.Source.Name.String() + "/" + img.Name})
					}
					for _, tag := range d.Tags {
						asked = append(asked, request{repo.String(), d.Digest, tag.Name, dst.MutableTags, m.Source.Name.String() + "/" + img.Name})
					}
				}
			}
		}
	}
	out := map[string]string{}
	for _, a := range asked {
		may, tagged := a.tag != "", false
		rivals, sources := map[string]bool{}, map[string]bool{}
		for _, b := range asked {
			if a.repo != b.repo {
				continue
			}
			if a.tag == b.tag && a.tag != "" {
				rivals[b.digest.String()] = true
				sources[b.digest.String()+b.source] = true
			}
			if a.digest == b.digest {
				tagged = tagged || b.tag != ""
				if a.tag == "" {
					sources[b.source] = true
				}
			}
			if a.digest == b.digest && a.tag == b.tag {
				may = may && slices.ContainsFunc(b.globs, func(g string) bool { ok, _ := path.Match(g, a.tag); return ok })
			}
		}
		key := fmt.Sprintf("%s %s %s", a.repo, a.digest, a.tag)
		switch {
		case a.tag == "" && tagged:
		case len(rivals) > 1:
			out[key] = fmt.Sprint("refused ", rivals, sources) // maps print sorted
		default:
			out[key] = fmt.Sprint("granted ", may, sources)
		}
	}
	return out
}

// edgesOf returns the edges of what is wanted in the same form, without the details.
func edgesOf(w *plan.Wanted) []string {
	var out []string
	for _, t := range w.Targets {
		for _, e := range t.Want.Entries {
			for _, tag := range append(e.Tags[:len(e.Tags):len(e.Tags)], "") {
				if (tag == "") == (len(e.Tags) == 0) {
					out = append(out, fmt.Sprintf("%s %s %s: granted", t.Repository, e.Digest, tag))
				}
			}
		}
		for _, r := range t.Want.Refused {
			out = append(out, fmt.Sprintf("%s %s %s: refused", t.Repository, r.Digest, r.Tag))
		}
	}
	slices.Sort(out)
	return out
}

func since(now, base *manifest.Set) (*plan.Wanted, []manifest.Fault) {
	w := plan.Desired(now, nil)
	faults := w.Select(plan.Since(w, plan.Desired(base, nil), base.Faults), now.Faults)
	return w, append(faults, w.Faults...)
}

func TestSinceAgreesWithOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 4))
		base, other := newWorld(t, rng).set, newWorld(t, rng).set
		now := &manifest.Set{Manifests: slices.Clone(base.Manifests)}
		for i := range now.Manifests { // one side of some manifests is another one's
			if i >= len(other.Manifests) || rng.IntN(2) == 0 {
				continue
			}
			m := *now.Manifests[i]
			switch rng.IntN(3) {
			case 0:
				m.Images = append(slices.Clone(m.Images[rng.IntN(2):]), other.Manifests[i].Images[rng.IntN(2):]...)
			case 1:
				m.Destinations = other.Manifests[i].Destinations
			default:
				m.Source = other.Manifests[i].Source
			}
			now.Manifests[i] = &m
		}
		was := naiveEdges(base)
		var want []string
		for edge, how := range naiveEdges(now) {
			if was[edge] != how {
				kind, _, _ := strings.Cut(how, " ")
				want = append(want, edge+": "+kind)
			}
		}
		slices.Sort(want)
		w, faults := since(now, base)
		if diff := cmp.Diff(want, edgesOf(w)); diff != "" {
			t.Fatalf("seed %d: (-oracle +plan)\n%s", seed, diff)
		}
		for _, f := range faults { // only overlaps here
			severe := slices.ContainsFunc(w.Targets, func(t *plan.Target) bool {
				return slices.ContainsFunc(t.Want.Refused, func(r plan.Refusal) bool { return r.Reason == f.Message })
			})
			if severe != (f.Severity == manifest.Refused) {
				t.Fatalf("seed %d: got severity %d of %s, want it to refuse %t", seed, f.Severity, f, severe)
			}
		}
		if again, _ := since(now, now); len(again.Targets) > 0 {
			t.Fatalf("seed %d: since itself: got %v, want nothing", seed, edgesOf(again))
		}
		if all, _ := since(now, &manifest.Set{}); !slices.Equal(edgesOf(all), edgesOf(plan.Desired(now, nil))) {
			t.Fatalf("seed %d: since nothing: got %v, want %v", seed, edgesOf(all), edgesOf(plan.Desired(now, nil)))
		}
	}
}

// set reads a plain manifest of staging.example/s and one destination, prod.example/p.
func set(t *testing.T, text string) *manifest.Set {
	t.Helper()
	const head = "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p}\nimages:\n"
	if !strings.HasPrefix(text, "registries:") {
		text = head + text
	}
	for i, letter := range []string{"$A", "$B", "$C"} {
		text = strings.ReplaceAll(text, letter, digest(i+10).String())
	}
	s := manifest.Plain(fstest.MapFS{"m.yaml": {Data: []byte(text)}}, "m.yaml", "m.yaml")
	if s.Broken() {
		t.Fatalf("got faults %v, want a manifest that is not broken\n%s", s.Faults, text)
	}
	return s
}

func TestSince(t *testing.T) {
	t.Parallel()
	const bad = "- {name: y, dmap: {'sha256:bad': ['1']}}\n"
	const retag = "- {name: x, retag: [{src_build_tag: b1, tag: v1}]}\n"
	for name, tc := range map[string]struct {
		base, now string
		want      []string // what is selected, as edgesOf prints it, digests as letters
		unpinned  string   // source tags to be read
		refused   int      // faults that are not warnings
	}{
		"nothing changed, but lines moved": {base: bad + "- {name: x, dmap: {$A: ['1']}}\n", now: "# a line\n- {name: x, dmap: {$A: ['1']}}\n" + bad},
		"a tag more": {
			base: "- {name: x, dmap: {$A: ['1'], $B: ['3']}}\n", now: "- {name: x, dmap: {$A: ['1', '2'], $B: ['3']}}\n",
			want: []string{"x A 2: granted"},
		},
		"a tag less": {base: "- {name: x, dmap: {$A: ['1', '2']}}\n", now: "- {name: x, dmap: {$A: ['1']}}\n"},
		"a tag taken from one digest and given to another": {
			base: "- {name: x, dmap: {$A: ['1']}}\n", now: "- {name: x, dmap: {$B: ['1']}}\n", want: []string{"x B 1: granted"},
		},
		"a digest without its tag": {base: "- {name: x, dmap: {$A: ['1']}}\n", now: "- {name: x, dmap: {$A: []}}\n", want: []string{"x A : granted"}},
		"the source moved": {
			base: "- {name: x, dmap: {$A: ['1']}}\n" + retag,
			now: "registries:\n- {name: other.example/s, src: true}\n- {name: prod.example/p}\nimages:\n" +
				"- {name: x, dmap: {$A: ['1']}}\n" + retag,
			want: []string{"x A 1: granted"}, unpinned: "other.example/s/x:b1",
		},
		"another mirror": {
			base: "- {name: x, dmap: {$A: []}}\n",
			now: "registries:\n- {name: staging.example/s, src: true, mirrors: [eu.example/s]}\n- {name: prod.example/p}\nimages:\n" +
				"- {name: x, dmap: {$A: []}}\n",
			want: []string{"x A : granted"},
		},
		"another account of the source": {
			base: "- {name: x, dmap: {$A: ['1']}}\n",
			now: "registries:\n- {name: staging.example/s, src: true, service-account: a@b}\n- {name: prod.example/p}\nimages:\n" +
				"- {name: x, dmap: {$A: ['1']}}\n",
			want: []string{"x A 1: granted"},
		},
		"a policy of the source": {
			base: "- {name: x, dmap: {$A: ['1']}}\n- {name: y, dmap: {$B: []}}\n",
			now: "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p}\n" +
				"provenance: {mode: warn, signers: ['sigstore::i::me'], builders: [{id: b, level: 3}], sources: [s]}\nimages:\n" +
				"- {name: x, dmap: {$A: ['1']}}\n- {name: y, dmap: {$B: []}}\n",
			want: []string{"x A 1: granted", "y B : granted"},
		},
		"a policy that is off": {
			base: "- {name: x, dmap: {$A: ['1']}}\n",
			now: "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p}\nprovenance: {mode: off}\nimages:\n" +
				"- {name: x, dmap: {$A: ['1']}}\n",
		},
		"a destination that answers absent otherwise": {
			base: "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p}\n- {name: prod.example/q}\nimages:\n" +
				"- {name: x, dmap: {$A: ['1']}}\n",
			now: "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p}\n- {name: prod.example/q, absent-status: [403]}\nimages:\n" +
				"- {name: x, dmap: {$A: ['1']}}\n",
			want: []string{"q/x A 1: granted"},
		},
		"another destination": {
			base: "- {name: x, dmap: {$A: ['1'], $B: []}}\n",
			now: "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p}\n- {name: prod.example/q}\nimages:\n" +
				"- {name: x, dmap: {$A: ['1'], $B: []}}\n",
			want: []string{"q/x A 1: granted", "q/x B : granted"},
		},
		"tags that may move now": {
			base: "- {name: x, dmap: {$A: ['1', 'latest'], $B: ['v2']}}\n",
			now: "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p, mutable-tags: [latest]}\nimages:\n" +
				"- {name: x, dmap: {$A: ['1', 'latest'], $B: ['v2']}}\n",
			want: []string{"x A latest: granted"},
		},
		"an overlap that is new": {
			base: "- {name: x, dmap: {$A: ['1']}}\n", now: "- {name: x, dmap: {$A: ['1'], $B: ['1']}}\n",
			want: []string{"x A 1: refused", "x B 1: refused"}, refused: 2,
		},
		"an overlap that is old": {
			base: "- {name: x, dmap: {$A: ['1'], $B: ['1']}}\n", now: "- {name: x, dmap: {$C: ['2'], $A: ['1'], $B: ['1']}}\n",
			want: []string{"x C 2: granted"},
		},
		"an overlap is removed": {
			base: "- {name: x, dmap: {$A: ['1'], $B: ['1']}}\n", now: "- {name: x, dmap: {$A: ['1']}}\n", want: []string{"x A 1: granted"},
		},
		"a bad entry that is new":               {base: "# none\n", now: bad, want: []string{"y sha256:bad 1: refused"}, refused: 1},
		"a bad entry that is old, and its like": {base: bad, now: bad + bad, want: []string{"y sha256:bad 1: refused", "y sha256:bad 1: refused"}, refused: 2},
		"an invalid entry is fixed":             {base: bad, now: "- {name: y, dmap: {$A: ['1']}}\n", want: []string{"y A 1: granted"}},
		"retag entries": {
			base: retag, now: retag + "- {name: x, retag: [{src_build_tag: b1, tag: v2}, {src_build_tag: b2, tag: v3}]}\n",
			unpinned: "staging.example/s/x:b1 staging.example/s/x:b2",
		},
		"a retag entry from another build": {base: retag, now: strings.Replace(retag, "b1", "b2", 1), unpinned: "staging.example/s/x:b2"},
		"a retag entry that a new tag may contradict": {
			base: retag, now: retag + "- {name: x, dmap: {$A: [v1]}}\n", want: []string{"x A v1: granted"}, unpinned: "staging.example/s/x:b1",
		},
		"a pin": {
			base: retag, now: "- {name: x, retag: [{src_build_tag: b1, tag: v1, digest: $A}]}\n", want: []string{"x A v1: granted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, base := set(t, tc.now), set(t, tc.base)
			offline := plan.Desired(now, nil)
			selection := plan.Since(offline, plan.Desired(base, nil), base.Faults)
			var unpinned []string
			for _, u := range selection.Unpinned(offline) {
				unpinned = append(unpinned, u.Repository.Tag(u.Tag).String())
			}
			if got := strings.Join(unpinned, " "); got != tc.unpinned {
				t.Errorf("source tags: got %q, want %q", got, tc.unpinned)
			}
			w, faults := since(now, base)
			names := strings.NewReplacer("prod.example/p/", "", "prod.example/", "", digest(10).String(), "A", digest(11).String(), "B", digest(12).String(), "C")
			var got []string
			for _, e := range edgesOf(w) {
				got = append(got, names.Replace(e))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			refused := 0
			for _, f := range faults {
				if f.Severity != manifest.Warning {
					refused++
				}
			}
			if refused != tc.refused {
				t.Errorf("got %d faults that are not warnings, want %d: %v", refused, tc.refused, faults)
			}
		})
	}
}

// Destinations share what changed for all of them.
func TestSinceShares(t *testing.T) {
	t.Parallel()
	const head = "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p}\n- {name: prod.example/q}\nimages:\n"
	w, _ := since(set(t, head+"- {name: x, dmap: {$A: ['1'], $B: ['2']}}\n"), set(t, head+"- {name: x, dmap: {$A: ['1']}}\n"))
	if len(w.Targets) != 2 || w.Targets[0].Want != w.Targets[1].Want || len(w.Targets[0].Want.Entries) != 1 {
		t.Errorf("got %v, want one entry, shared by two targets", edgesOf(w))
	}
}

// BenchmarkSince compares the Kubernetes manifests with themselves but for a line.
func BenchmarkSince(b *testing.B) {
	now, base := kubernetesSet(b), kubernetesSet(b)
	img := &base.Manifests[0].Images[0]
	img.Digests = img.Digests[1:]
	for b.Loop() {
		if w, _ := since(now, base); len(w.Targets) != len(now.Manifests[0].Destinations) {
			b.Fatalf("got %d targets, want %d", len(w.Targets), len(now.Manifests[0].Destinations))
		}
	}
}
