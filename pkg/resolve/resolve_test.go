package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// stubRegistry is a registry with one repository. It counts the requests.
type stubRegistry struct {
	tags  map[string]string // the letter of a digest, by tag
	err   error
	heads int
	lists int
}

func digest(letter string) v1.Hash {
	return image.Hash("sha256:" + strings.Repeat(letter, 64)[:64])
}

func (s *stubRegistry) Tags(context.Context, name.Repository) ([]string, error) {
	s.lists++
	var all []string
	for tag := range s.tags {
		all = append(all, tag) // in random order
	}
	return all, s.err
}

func (s *stubRegistry) Digest(_ context.Context, _ name.Repository, ref string) (v1.Hash, bool, error) {
	s.heads++
	for _, letter := range s.tags {
		if digest(letter).String() == ref {
			return digest(letter), true, s.err
		}
	}
	letter, ok := s.tags[ref]
	if !ok {
		return v1.Hash{}, false, s.err
	}
	return digest(letter), true, s.err
}

func (s *stubRegistry) Image(context.Context, name.Repository, string) (*resolve.Image, error) {
	return nil, errors.New("unexpected request")
}

// newRegistry returns a registry whose tags point to the digests of a, b and so on.
func newRegistry(tags ...string) *stubRegistry {
	s := &stubRegistry{tags: map[string]string{}}
	for i, tag := range tags {
		s.tags[tag] = string(rune('a' + i%6))
	}
	return s
}

const registries = "registries: [{name: r.io/staging, src: true}, {name: r.io/prod, mutable-tags: [\"mov*\"]}]\n"

// readSelectors reads a plain manifest with the given selectors, images and lock.
func readSelectors(t *testing.T, sources, images, lock string) *selector.File {
	t.Helper()
	fsys := fstest.MapFS{"m.yaml": {Data: []byte(registries + "images: " + images + "\nsources:\n" + sources)}}
	if lock != "" {
		fsys["m.yaml.lock.yaml"] = &fstest.MapFile{Data: []byte(lock)}
	}
	set, files := manifest.PlainSelectors(fsys, "m.yaml", "")
	if !set.OK() {
		t.Errorf("got faults %v, want none", set.Faults)
	}
	if len(files) != 1 {
		t.Fatalf("got %d files with selectors, want 1", len(files))
	}
	return files[0]
}

// resolveOne resolves the first selector.
func resolveOne(t *testing.T, p *selector.File, r resolve.Registry, o resolve.Options) (*resolve.Choice, error) {
	t.Helper()
	return resolve.Resolve(t.Context(), p.Entries[0], p.Find(p.Entries[0]), resolve.Readers{Registry: r}, o)
}

func TestSelect(t *testing.T) {
	t.Parallel()
	flux := []string{"1.0.0", "1.0.0.1", "1.0.0p", "1.0.1", "1.2.0", "0.1.0"} // from the tests of Flux
	for _, tt := range []struct {
		sel  string
		tags []string
		want string // tag; or "!" and a part of the error
	}{
		{"select: {semver: {range: 1.0.x}}", flux, "1.0.1"},
		{"select: {semver: {range: 1.0.x}}", []string{"v1.2.3", "v1.0.0"}, "v1.0.0"},
		{"select: {semver: {range: 1.0.x}}", []string{"b1.2.3"}, "!b1.2.3 is not a semantic version"},
		{"select: {semver: {range: 1.0.x}}", []string{"1.2.0"}, "!1.2.0 is not in 1.0.x"},
		{"select: {semver: {range: 3.12.*}}", []string{"3.12.0-1"}, "!3.12.0-1 is a pre-release, which 3.12.* leaves out: the range 3.12.*-0 includes it"},
		{"select: {semver: {range: ~3.12.0-0}}", []string{"3.12.0-1"}, "3.12.0-1"},
		{"select: {semver: {range: 3.12.*}}", []string{"3.9.1-1"}, "!3.9.1-1 is not in 3.12.*"},
		{"select: {semver: {range: \">=2025\"}}", []string{"v2025.02.03", "v2025.02.10"}, "v2025.02.10"},
		{"select: {semver: {range: ^1.x}}", []string{"1.0.0", "1.1.0-rc.1"}, "1.0.0"},
		{"select: {semver: {range: ^1.x-0}}", []string{"1.0.0", "1.1.0-rc.1"}, "1.1.0-rc.1"},
		{"select: {semver: {range: \"*\"}}", []string{"1.0.0", "v1.0.0"}, "v1.0.0"}, // equal: the greater name
		{"select: {semver: {range: \"*\"}}", []string{"1.10.0", "1.9.0"}, "1.10.0"},
		{"select: {numerical: {order: asc}}", []string{"-5", "0", "10", "9.5"}, "10"},
		{"select: {numerical: {order: desc}}", []string{"0", "10", "9.5"}, "0"},
		{"select: {numerical: }", []string{"5"}, "5"},
		{"select: {numerical: {order: asc}}", []string{"0", "1a", "b"}, `!tag "1a": "1a" is not a decimal number`},
		{"select: {numerical: {order: asc}}", []string{"inf"}, "!is not a decimal number"},
		{"select: {numerical: {order: asc}}", []string{"1_000"}, "!is not a decimal number"},
		{"select: {numerical: {order: asc}}", []string{"12345e7"}, "!is not a decimal number"},
		{"select: {numerical: {order: asc}}", nil, "!has no tags"},
		{"select: {numerical: {order: asc}}", []string{"20231006060059001", "20231006060059002"}, "20231006060059002"},
		{"select: {numerical: {order: asc}}", []string{"7", "007"}, "7"},
		{"select: {alphabetical: {order: asc}}", []string{"a", "Z", "b"}, "b"},
		{"select: {alphabetical: {order: desc}}", []string{"a", "Z", "b"}, "Z"},
		{"select: {alphabetical: }\n  filterTags: {pattern: '^RELEASE\\.(?P<t>.*)Z$', extract: $t}", []string{"RELEASE.2024Z", "RELEASE.2025Z", "zz"}, "RELEASE.2025Z"},
		{"select: {numerical: }\n  filterTags: {pattern: '-(?P<n>\\d+)$', extract: $n}", []string{"b-7", "a-7", "c-6"}, "b-7"}, // equal extracts
		{"select: {alphabetical: }\n  exclude: ['^z']", []string{"zz", "y", "y.sig", "sha256-" + strings.Repeat("f", 64)}, "y"},
		{"select: {alphabetical: }", []string{"a", "sha256-" + strings.Repeat("f", 64), "sha512-" + strings.Repeat("f", 64), "v1.sbom"}, "a"},
		{"select: {alphabetical: }", []string{"a.sig", "b.att"}, "!belongs to another image"},
		{"select: {tag: v1}", []string{"v1", "v2"}, "v1"},
		{"select: {tag: v3}", []string{"v1", "v2"}, "!there is no such tag"},
	} {
		t.Run(strings.ReplaceAll(tt.sel, "/", "")+" "+strings.Join(tt.tags, " "), func(t *testing.T) {
			t.Parallel()
			p := readSelectors(t, "- name: x\n  "+tt.sel, "[]", "")
			s := newRegistry(tt.tags...)
			for range 5 { // the registry lists the tags in a different order each time
				choice, err := resolveOne(t, p, s, resolve.Options{})
				if part, fails := strings.CutPrefix(tt.want, "!"); fails {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Fatalf("got error %v, want %q", err, part)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if choice.Tag != tt.want || choice.Digest != digest(s.tags[tt.want]) {
					t.Errorf("got %s %s, want %s", choice.Tag, choice.Digest, tt.want)
				}
				chosen := slices.IndexFunc(choice.Candidates, func(c resolve.Candidate) bool { return c.Chosen })
				if len(choice.Candidates) < 1 || chosen != 0 {
					t.Errorf("got candidates %v, want the chosen one first", choice.Candidates)
				}
			}
		})
	}
}

// TestNotes checks the hints about tags of equal value and about pre-releases.
func TestNotes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sel  string
		tags []string
		want []string
	}{
		{"semver: {range: 1.x}", []string{"1.0.0", "1.1.0", "latest"}, nil},
		{"semver: {range: 1.x}", []string{"1.0.0", "v1.0.0", "0.9.0"}, []string{"v1.0.0 and 1.0.0 have the same value: v1.0.0 is selected, because its name is greater"}},
		{"numerical: {}", []string{"7", "007", "07", "0007", "00007", "7.0", "7.00", "6"},
			[]string{"7.00 and 7.0, 7, 07, 007, 0007 and 1 more have the same value: 7.00 is selected, because its name is greater"}},
		{"semver: {range: 1.x}", []string{"1.0.0", "1.1.0-rc.1", "1.1.0-rc.2", "1.0.0-rc.9", "2.0.0-rc.1"},
			[]string{"the range 1.x leaves out 2 higher pre-releases, the highest of which is 1.1.0-rc.2: the range 1.x-0 includes it"}},
		{"semver: {range: \">=1.2 <2 || ~3.1-0\"}", []string{"1.3.0-a"},
			[]string{"the range >=1.2 <2 || ~3.1-0 leaves out 1 higher pre-release, the highest of which is 1.3.0-a: the range >=1.2-0 <2-0 || ~3.1-0 includes it"}},
		{"semver: {range: 1.x-0}", []string{"1.0.0", "1.1.0-rc.1"}, nil},
		{"semver: {range: 1.x}", []string{"1.1.0", "1.1.0-rc.1"}, nil},
	} {
		t.Run(tt.sel+" "+strings.Join(tt.tags, " "), func(t *testing.T) {
			t.Parallel()
			choice, err := resolveOne(t, readSelectors(t, "- name: x\n  select: {"+tt.sel+"}", "[]", ""), newRegistry(tt.tags...), resolve.Options{})
			if choice == nil {
				t.Fatalf("got no choice and error %v, want notes", err)
			}
			if diff := cmp.Diff(tt.want, choice.Notes); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestFailedSelectorsKeepLocks checks that a selector that fails keeps its lock entry, even if
// several entries may be its own.
func TestFailedSelectorsKeepLocks(t *testing.T) {
	t.Parallel()
	entry := func(name, intent, letter string) string {
		return fmt.Sprintf("- {name: %s, intent: %s, digest: %s, tag: t, tags: [%s]}\n", name, intent, digest(letter), letter)
	}
	const fails = "- {name: x, select: {tag: none}}\n"
	const alsoFails = "- {name: x, select: {tag: nothing}}\n"
	const succeeds = "- {name: x, select: {tag: c}}\n"
	for _, tt := range []struct {
		name, sources, lock, want string
	}{
		{"two of one name, both edited", fails + alsoFails, entry("x", "i1", "a") + entry("x", "i2", "b"), "a b"},
		{"two of one name, one of them succeeds", fails + succeeds, entry("x", "i1", "a") + entry("x", "i2", "b"), "a b c"},
		{"two of one name, one entry", fails + alsoFails, entry("x", "i1", "a"), "a"},
		{"both succeed", "- {name: x, select: {tag: d}}\n" + succeeds, entry("x", "i1", "a") + entry("x", "i2", "b"), "c d"},
		{"another name", fails, entry("x", "i1", "a") + entry("y", "i2", "b"), "a"},
		{"one edited", fails, entry("x", "i1", "a"), "a"},
		{"new", fails, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := readSelectors(t, tt.sources, "[]", tt.lock)
			results := make([]resolve.Result, len(p.Entries))
			for i, e := range p.Entries {
				results[i].Selector = e
				results[i].Choice, results[i].Err = resolve.Resolve(t.Context(), e, p.Find(e), resolve.Readers{Registry: newRegistry("a", "b", "c", "d")}, resolve.Options{})
			}
			var got []string
			for _, l := range resolve.Amend(p, results, nil) {
				got = append(got, l.Digest.Hex[:1])
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("digests in the lock (-want +got)\n%s", diff)
			}
		})
	}
}

// Without a choice, every tag still has its reason.
func TestExplainFailure(t *testing.T) {
	t.Parallel()
	p := readSelectors(t, "- {name: x, exclude: [^c$], select: {numerical: {}}}\n", "[]", "")
	choice, err := resolveOne(t, p, newRegistry("b", "1", "c", "1a"), resolve.Options{})
	if err == nil || choice == nil {
		t.Fatalf("got %v, %v, want candidates and an error", choice, err)
	}
	want := []resolve.Candidate{
		{Tag: "1", Reason: "not compared, because another tag has no valid value"},
		{Tag: "1a", Reason: `"1a" is not a decimal number: use filterTags to select tags with numbers`},
		{Tag: "b", Reason: `"b" is not a decimal number: use filterTags to select tags with numbers`},
		{Tag: "c", Reason: "excluded by ^c$"},
	}
	if diff := cmp.Diff(want, choice.Candidates); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFailedReadsAreErrors(t *testing.T) {
	t.Parallel()
	for _, sel := range []string{"{tag: v1}", "{semver: {range: 1.x}}", "{digest: " + digest("a").String() + "}", "{alphabetical: }"} {
		s := newRegistry("v1", "1.0.0")
		s.err = errors.New("503")
		if _, err := resolveOne(t, readSelectors(t, "- name: x\n  select: "+sel, "[]", ""), s, resolve.Options{}); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s: got error %v, want 503", sel, err)
		}
	}
}

// lockOf resolves the first selector and returns the new lock file.
func lockOf(t *testing.T, p *selector.File, s *stubRegistry, o resolve.Options) (string, resolve.Result) {
	t.Helper()
	results := []resolve.Result{{Selector: p.Entries[0]}}
	results[0].Choice, results[0].Err = resolveOne(t, p, s, o)
	raw, err := selector.EncodeLocks(resolve.Amend(p, results, nil))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), results[0]
}

func TestLock(t *testing.T) {
	t.Parallel()
	const sources = "- name: x\n  select: {semver: {range: 1.x}}"
	first, _ := lockOf(t, readSelectors(t, sources, "[]", ""), newRegistry("1.0.0", "1.1.0"), resolve.Options{})

	s := newRegistry("1.0.0", "1.1.0", "other") // the choice is the same, and the lock has its digest
	same, _ := lockOf(t, readSelectors(t, sources, "[]", first), s, resolve.Options{})
	if diff := cmp.Diff(first, same); diff != "" || s.heads != 0 || s.lists != 1 {
		t.Errorf("got %d heads and %d lists, want 0 and 1 (-want +got)\n%s", s.heads, s.lists, diff)
	}
	s.tags["1.1.0"] = "f"
	if _, r := lockOf(t, readSelectors(t, sources, "[]", first), s, resolve.Options{Refresh: true}); r.Lock.Digest != digest("f") || s.heads != 1 {
		t.Errorf("refreshed: got %s after %d heads, want %s after 1", r.Lock.Digest, s.heads, digest("f"))
	}
	older := newRegistry("1.0.0")
	_, r := lockOf(t, readSelectors(t, sources, "[]", first), older, resolve.Options{})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "from tag 1.1.0 in the lock to 1.0.0") || r.Lock.Tag != "1.1.0" {
		t.Errorf("rollback: got error %v and lock %v, want it refused and tag 1.1.0", r.Err, r.Lock)
	}
	if _, r = lockOf(t, readSelectors(t, sources, "[]", first), older, resolve.Options{AllowRollback: true}); r.Err != nil || r.Lock.Tag != "1.0.0" {
		t.Errorf("allowed rollback: got error %v and lock %v, want tag 1.0.0", r.Err, r.Lock)
	}
	const down = "- name: x\n  select: {semver: {range: ~1.0}}" // a changed range does not allow a rollback
	if _, r = lockOf(t, readSelectors(t, down, "[]", first), newRegistry("1.0.0", "1.1.0"), resolve.Options{}); r.Err == nil {
		t.Error("rollback by a changed range: got no error, want one")
	}
}

func TestAmend(t *testing.T) {
	t.Parallel()
	list := func(digestsAndTags ...string) string {
		var b strings.Builder
		b.WriteString("[{name: x, dmap: {")
		for i := 0; i < len(digestsAndTags); i += 2 {
			fmt.Fprintf(&b, "%q: [%s],", digest(digestsAndTags[i]), digestsAndTags[i+1])
		}
		return b.String() + "}}]"
	}
	locked := func(letter, tags string) string {
		return fmt.Sprintf("- {name: x, intent: old, digest: %s, tag: t, tags: [%s]}", digest(letter), tags)
	}
	for _, tt := range []struct {
		name, sources, images, lock string
		want                        string // letters of the digests, and their tags
		err                         string
	}{
		{"new digest", "- {name: x, select: {tag: b}}", list("a", "1"), "", "a:1 b:b", ""},
		{"new tag of a listed digest", "- {name: x, select: {tag: a}}", list("a", "1"), "", "a:1,a", ""},
		{"no change", "- {name: x, select: {tag: a}}", list("a", "a"), "", "a:a", ""},
		{"digest alone", "- {name: x, select: {digest: \"" + digest("b").String() + "\"}}", list("a", "1"), "", "a:1 b:", ""},
		{"templates", "- {name: x, select: {tag: b}, tags: [\"v-{{.Tag}}\", \"{{.Name}}\", v-b]}", list(), "", "b:v-b,x", ""},
		{"template gives an invalid tag", "- {name: x, select: {tag: b}, tags: [\"{{.Digest}}\"]}", list("a", "1"), "", "a:1", "bad tag"},
		{"template with a missing field", "- {name: x, select: {tag: b}, tags: [\"{{.Labels.none}}\"]}", list("a", "1"), "", "a:1", "none"},
		{"tag that may move", "- {name: x, select: {tag: b}, tags: [moving]}", list("a", "1, moving"), "", "a:1 b:moving", ""},
		{"tag that may not move", "- {name: x, select: {tag: b}, tags: [\"1\"]}", list("a", "1, 2"), "", "a:1,2", "may not move"},
		{"two selectors, one tag", "- {name: x, select: {tag: a}, tags: [movie]}\n- {name: x, select: {tag: b}, tags: [movie]}", list(), "", "a:movie", "by another selector"},
		{"append", "- {name: x, select: {tag: b}}", list("a", "old"), locked("a", "old"), "a:old b:b", ""},
		{"replace", "- {name: x, select: {tag: b}, update: replace}", list("a", "old", "c", "mine"), locked("a", "old"), "b:b c:mine", ""},
		{"replace, another tag stays", "- {name: x, select: {tag: b}, update: replace}", list("a", "old, mine"), locked("a", "old"), "a:mine b:b", ""},
		{"replace by the same", "- {name: x, select: {tag: a}, update: replace}", list("a", "old"), locked("a", "old"), "a:old,a", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := readSelectors(t, tt.sources, tt.images, tt.lock)
			text := manifest.NewImagesText([]byte(registries+"images: "+tt.images+"\nsources: []\n"), false)
			s := newRegistry("a", "b", "c")
			results := make([]resolve.Result, len(p.Entries))
			for i, e := range p.Entries {
				results[i].Selector = e
				results[i].Choice, results[i].Err = resolve.Resolve(t.Context(), e, p.Find(e), resolve.Readers{Registry: s}, resolve.Options{})
			}
			resolve.Amend(p, results, text)
			wants, err := text.Wants()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for key, tags := range wants {
				letter := strings.TrimPrefix(key, "x@sha256:")[:1]
				got = append(got, letter+":"+strings.Join(tags, ","))
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			last := results[len(results)-1].Err
			if tt.err == "" && last != nil || tt.err != "" && (last == nil || !strings.Contains(last.Error(), tt.err)) {
				t.Errorf("got error %v, want %q", last, tt.err)
			}
		})
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	const sources = "- name: x\n  select: {tag: a}"
	lock, _ := lockOf(t, readSelectors(t, sources, "[]", ""), newRegistry("a"), resolve.Options{})
	key := "x@" + digest("a").String()
	for _, tt := range []struct {
		sources, lock string
		wants         map[string][]string
		want          string
	}{
		{sources, lock, map[string][]string{key: {"a", "more"}}, ""},
		{sources, lock, nil, ""},
		{sources, lock, map[string][]string{key: {"b"}}, "does not want as a"},
		{sources, lock, map[string][]string{}, "does not want"},
		{sources + "\n  tags: [z]", lock, nil, "has changed"},
		{sources, "", nil, "is not resolved"},
	} {
		p := readSelectors(t, tt.sources, "[]", tt.lock)
		err := resolve.Stale(p, p.Entries[0], tt.wants, resolve.Readers{})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("got error %v, want %q", err, tt.want)
		}
	}
}
