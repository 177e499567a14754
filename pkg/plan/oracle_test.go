package plan_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// The oracle looks at one edge after the other and compares every pair of requests:
// slow, and obviously what the table in docs/promotion.md says.

// world is random manifests and what random registries hold.
type world struct {
	set *manifest.Set
	dst map[name.Repository]map[string]v1.Hash // destination repository → tag, or "@digest", → digest
	src map[name.Repository]map[v1.Hash]bool
}

func digest(n int) v1.Hash { return image.Hash(fmt.Sprintf("sha256:%064x", n)) }

func registryOf(t testing.TB, name string) image.Registry {
	t.Helper()
	r, err := image.ParseRegistry(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newWorld makes a world that is small enough for requests to overlap often.
func newWorld(t testing.TB, rng *rand.Rand) *world {
	w := &world{set: &manifest.Set{}, dst: map[name.Repository]map[string]v1.Hash{}, src: map[name.Repository]map[v1.Hash]bool{}}
	prefixes := []string{"prod.example", "prod.example/a", "prod.example/a/b", "other.example/p"}
	names := []string{"x", "a/x", "b/x", "y"}
	tags := []string{"1", "2", "v1", "latest"}
	for m := range 1 + rng.IntN(3) {
		man := &manifest.Manifest{File: fmt.Sprintf("m%d.yaml", m), Source: &manifest.Registry{Name: registryOf(t, fmt.Sprintf("staging.example/s%d", rng.IntN(2)))}}
		for range 1 + rng.IntN(3) {
			d := &manifest.Registry{Name: registryOf(t, prefixes[rng.IntN(len(prefixes))])}
			if rng.IntN(3) == 0 {
				d.MutableTags = []string{"latest", "v*"}
			}
			man.Destinations = append(man.Destinations, d)
		}
		line := int32(0)
		for range 1 + rng.IntN(4) {
			img := manifest.Image{Name: names[rng.IntN(len(names))]}
			used := map[v1.Hash]bool{}
			for range 1 + rng.IntN(3) {
				d := manifest.Digest{Digest: digest(rng.IntN(5))}
				if used[d.Digest] {
					continue
				}
				used[d.Digest] = true
				for _, tag := range tags {
					if rng.IntN(5) == 0 {
						line++
						d.Tags = append(d.Tags, manifest.Tag{Name: tag, Pos: manifest.Pos{File: man.File, Line: line, Column: 1}})
					}
				}
				img.Digests = append(img.Digests, d)
			}
			man.Images = append(man.Images, img)
			src, _ := man.Source.Name.Repository(img.Name)
			if w.src[src] == nil {
				w.src[src] = map[v1.Hash]bool{}
				for n := range 5 {
					w.src[src][digest(n)] = rng.IntN(3) > 0
				}
			}
			for _, dst := range man.Destinations {
				repo, _ := dst.Name.Repository(img.Name)
				if w.dst[repo] != nil {
					continue
				}
				w.dst[repo] = map[string]v1.Hash{}
				for n := range 5 {
					if rng.IntN(2) == 0 {
						w.dst[repo]["@"+digest(n).String()] = digest(n)
					}
				}
				for _, tag := range tags {
					if rng.IntN(3) == 0 {
						d := digest(rng.IntN(5))
						w.dst[repo][tag] = d
						w.dst[repo]["@"+d.String()] = d
					}
				}
			}
		}
		w.set.Manifests = append(w.set.Manifests, man)
	}
	return w
}

// naive returns, for each edge, "action previous", in one string an edge.
func (w *world) naive() []string {
	type request struct {
		repo    name.Repository
		digest  v1.Hash
		tag     string
		src     name.Repository
		mutable []string
	}
	var asked []request
	for _, m := range w.set.Manifests {
		for _, img := range m.Images {
			for _, dst := range m.Destinations {
				repo, _ := dst.Name.Repository(img.Name)
				src, _ := m.Source.Name.Repository(img.Name)
				for _, d := range img.Digests {
					if len(d.Tags) == 0 {
						asked = append(asked, request{repo, d.Digest, "", src, dst.MutableTags})
					}
					for _, tag := range d.Tags {
						asked = append(asked, request{repo, d.Digest, tag.Name, src, dst.MutableTags})
					}
				}
			}
		}
	}
	out := map[string]string{}
	for _, a := range asked {
		overlap, tagged, inSource, may := false, false, false, true
		for _, b := range asked {
			if a.repo != b.repo {
				continue
			}
			if a.tag != "" && a.tag == b.tag && a.digest != b.digest {
				overlap = true
			}
			if a.digest != b.digest {
				continue
			}
			tagged = tagged || b.tag != ""
			inSource = inSource || w.src[b.src][a.digest]
			if a.tag == b.tag {
				may = may && slices.ContainsFunc(b.mutable, func(g string) bool { ok, _ := path.Match(g, a.tag); return ok })
			}
		}
		if a.tag == "" && tagged {
			continue // a digest wanted both ways counts by its tags
		}
		at, tagThere := w.dst[a.repo][a.tag]
		_, there := w.dst[a.repo]["@"+a.digest.String()]
		verdict := ""
		switch {
		case overlap:
			verdict = "invalid "
		case a.tag == "" && there, tagThere && at == a.digest:
			verdict = "up-to-date "
		case tagThere && !may:
			verdict = "conflict " + image.DigestString(at)
		case !there && !inSource:
			verdict = "missing "
		case tagThere:
			verdict = "move " + image.DigestString(at)
		case there:
			verdict = "tag "
		default:
			verdict = "copy "
		}
		out[fmt.Sprintf("%s %s %s", a.repo, a.digest, a.tag)] = verdict
	}
	return flatten(out)
}

// planned returns the same from the planner.
func (w *world) planned() []string {
	out := map[string]string{}
	for _, target := range plan.Desired(w.set, map[plan.SourceTag]plan.Resolution{}).Targets {
		have := &inventory.Repository{}
		for name, d := range w.dst[target.Repository] {
			if strings.HasPrefix(name, "@") {
				have.SetDigest(d, inventory.Present)
			} else {
				have.SetTag(name, d)
			}
		}
		have.Close()
		found := plan.Found{Digests: map[v1.Hash]plan.Finding{}}
		for _, e := range plan.Lacking(target, have).Entries {
			f := plan.Finding{State: inventory.Absent}
			for _, src := range e.Candidates(target.Repository.RegistryStr()) {
				if w.src[src][e.Digest] {
					f = plan.Finding{State: inventory.Present, From: src}
					break
				}
			}
			found.Digests[e.Digest] = f
		}
		for _, e := range target.Want.Entries { // an edge without an item is up to date
			for _, tag := range append(e.Tags[:len(e.Tags):len(e.Tags)], "") {
				if (tag == "") == (len(e.Tags) == 0) {
					out[fmt.Sprintf("%s %s %s", target.Repository, e.Digest, tag)] = "up-to-date "
				}
			}
		}
		items, upToDate := plan.Compute(target, have, found)
		for _, it := range items {
			out[fmt.Sprintf("%s %s %s", it.Destination, it.Digest, it.Tag)] = it.Action.String() + " " + image.DigestString(it.Previous)
		}
		n := 0
		for k, v := range out {
			if strings.HasPrefix(k, target.Repository.String()+" ") && v == "up-to-date " {
				n++
			}
		}
		if n != upToDate {
			out["up to date in "+target.Repository.String()] = fmt.Sprint(upToDate, " counted, ", n, " left over")
		}
	}
	return flatten(out)
}

func flatten(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k+": "+v)
	}
	slices.Sort(out)
	return out
}

func TestComputeAgreesWithOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1500) {
		w := newWorld(t, rand.New(rand.NewPCG(seed, 1)))
		if want, got := w.naive(), w.planned(); !slices.Equal(want, got) {
			t.Fatalf("seed %d: (-oracle +plan)\n%s", seed, cmp.Diff(want, got))
		}
	}
}

// Every copy, tag and move of a plan, once done, leaves a plan that does nothing more.
func TestPlanAppliedTwiceIsNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		w := newWorld(t, rand.New(rand.NewPCG(seed, 2)))
		for range 2 {
			for _, line := range w.planned() {
				edge, verdict, _ := strings.Cut(line, ": ")
				f := strings.SplitN(edge, " ", 3)
				if action, _, _ := strings.Cut(verdict, " "); !slices.Contains([]string{"copy", "tag", "move"}, action) {
					continue
				}
				repo, err := image.ParseRepository(f[0])
				if err != nil {
					t.Fatal(err)
				}
				w.dst[repo]["@"+f[1]] = image.Hash(f[1])
				if f[2] != "" {
					w.dst[repo][f[2]] = image.Hash(f[1])
				}
			}
		}
		for _, line := range w.planned() {
			_, verdict, _ := strings.Cut(line, ": ")
			if action, _, _ := strings.Cut(verdict, " "); slices.Contains([]string{"copy", "tag", "move"}, action) {
				t.Fatalf("seed %d: got %s after everything was done, want nothing to write", seed, line)
			}
		}
	}
}

func TestOrderOfManifestsDoesNotMatter(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t, rng)
		before := w.planned()
		rng.Shuffle(len(w.set.Manifests), func(i, j int) {
			w.set.Manifests[i], w.set.Manifests[j] = w.set.Manifests[j], w.set.Manifests[i]
		})
		if after := w.planned(); !slices.Equal(before, after) {
			t.Fatalf("seed %d: (-in order +shuffled)\n%s", seed, cmp.Diff(before, after))
		}
	}
}
