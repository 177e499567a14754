package resolve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// commits is a git repository on disk as a History.
type commits struct {
	*git.Repository
	read int // number of commits that walks returned
}

func openCommits(t testing.TB, dir string) *commits {
	t.Helper()
	r, err := git.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &commits{Repository: r}
}

func (c *commits) Tip(branch string) (string, error) { return c.Resolve(branch) }

func (c *commits) Walk(ctx context.Context, tip string, all bool) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		for e, err := range c.Repository.Walk(ctx, tip, all) {
			c.read++
			if !yield(Commit(e), err) {
				return
			}
		}
	}
}

func (c *commits) Find(abbreviations []string) (map[string][]Commit, error) {
	found, err := c.Repository.Find(abbreviations)
	list := map[string][]Commit{}
	for a, entries := range found {
		for _, e := range entries {
			list[a] = append(list[a], Commit(e))
		}
	}
	return list, err
}

// testRepository is a git repository whose commits have names.
type testRepository struct {
	*gittest.Repository
	ids map[string]string
}

// newSample returns a repository with the branches main and other.
//
// main is m1, m2, m3, M, m4. M merges f1, which has the parent m1 and is newer than
// m3. other is x1, which has the parent m3.
func newSample(t testing.TB) *testRepository {
	t.Helper()
	s := &testRepository{gittest.New(t), map[string]string{}}
	s.add("m1", 10)
	s.add("m2", 20, "m1")
	s.add("f1", 40, "m1")
	s.add("m3", 30, "m2")
	s.add("M", 50, "m3", "f1")
	s.add("m4", 60, "M")
	s.add("x1", 70, "m3")
	s.Branch("other", s.ids["x1"])
	s.Branch("main", s.ids["m4"])
	return s
}

// add makes a commit whose files differ from those of all other commits.
func (s *testRepository) add(name string, second int, parents ...string) {
	s.addFiles(name, second, map[string]string{"cmd/main.go": name, "go.mod": name, "README.md": name}, parents...)
}

// addFiles makes a commit with the given files.
func (s *testRepository) addFiles(name string, second int, files map[string]string, parents ...string) {
	for i := range parents {
		parents[i] = s.ids[parents[i]]
	}
	s.ids[name] = s.Commit(second, files, parents...)
}

var placeholder = regexp.MustCompile(`<(\w+)(?::(\d+))?>`)

// text replaces <m4> with the first seven digits of the id of m4, and <m4:40> with the
// first forty.
func (s *testRepository) text(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		m := placeholder.FindStringSubmatch(p)
		n, err := strconv.Atoi(cmp.Or(m[2], "7"))
		if err != nil {
			panic(err)
		}
		if s.ids[m[1]] == "" {
			panic("no commit " + m[1])
		}
		return s.ids[m[1]][:n]
	})
}

var errRegistry = errors.New("503 from the registry")

// stubRegistry is a Registry with fixed content. It records the requests.
type stubRegistry struct {
	tags    map[string]string // to a word that the digest is made of
	images  map[string]*Image // by that word; one that is missing has no labels
	removed []string          // tags that are listed, and answered 404
	failing string            // tag or word that cannot be read

	mu       sync.Mutex
	requests []string
}

func digestOf(word string) v1.Hash {
	return image.Hash(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(word))))
}

func (f *stubRegistry) record(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, what)
}

func (f *stubRegistry) Tags(context.Context, name.Repository) ([]string, error) {
	return slices.Collect(maps.Keys(f.tags)), nil
}

func (f *stubRegistry) Digest(_ context.Context, _ name.Repository, ref string) (v1.Hash, bool, error) {
	f.record("HEAD " + ref)
	switch word := f.tags[ref]; {
	case ref == f.failing:
		return v1.Hash{}, false, errRegistry
	case word == "" || slices.Contains(f.removed, ref):
		return v1.Hash{}, false, nil
	default:
		return digestOf(word), true, nil
	}
}

func (f *stubRegistry) Image(_ context.Context, _ name.Repository, ref string) (*Image, error) {
	f.record("GET " + ref)
	for word, img := range f.images {
		switch {
		case digestOf(word).String() != ref:
		case word == f.failing:
			return nil, errRegistry
		default:
			return img, nil
		}
	}
	return &Image{Digest: image.Hash(ref)}, nil
}
