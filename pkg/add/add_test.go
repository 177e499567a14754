package add_test

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/add"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

func dig(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// long replaces ~a to ~f in texts of these tests with digests.
func long(s string) string {
	for _, c := range []string{"a", "b", "c", "d", "e", "f"} {
		s = strings.ReplaceAll(s, "~"+c, dig(c))
	}
	return s
}

// holdings are what repositories hold: digests by tag, and digests without tags. They are a
// Reader that counts what it is asked.
type holdings struct {
	tags   map[string]map[string]string // repository → tag → letter of the digest
	bare   map[string][]string          // repository → letters of digests without tags
	broken string                       // a repository that cannot be read

	mu    sync.Mutex
	asked []string
}

func (h *holdings) ask(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, what)
}

func (h *holdings) err(repo string) error {
	if repo == h.broken {
		return errors.New("503 of " + repo)
	}
	return nil
}

func (h *holdings) Tags(_ context.Context, repo name.Repository) ([]string, error) {
	h.ask("tags " + repo.String())
	return slices.Sorted(maps.Keys(h.tags[repo.String()])), h.err(repo.String())
}

func (h *holdings) Digest(_ context.Context, repo name.Repository, ref string) (v1.Hash, bool, error) {
	at := repo.String()
	if d, ok := h.tags[at][ref]; ok {
		h.ask("tag " + at + ":" + ref)
		return image.Hash(dig(d)), true, h.err(at)
	}
	h.ask("digest " + at)
	for _, d := range append(slices.Collect(maps.Values(h.tags[at])), h.bare[at]...) {
		if dig(d) == ref {
			return image.Hash(ref), true, h.err(at)
		}
	}
	return v1.Hash{}, false, h.err(at)
}

func (h *holdings) Below(_ context.Context, root image.Registry, keep func(string) bool) (inventory.Snapshot, error) {
	h.ask("below " + root.String())
	var all inventory.Snapshot
	for at, tags := range h.tags {
		if err := h.err(at); err != nil {
			return nil, err
		}
		host, path, _ := strings.Cut(at, "/")
		if _, ok := root.Relative(image.NewRepository(host, path)); !ok {
			continue
		}
		im := inventory.Image{Name: path}
		for tag, d := range tags {
			if keep(tag) {
				im.Digests = append(im.Digests, inventory.Tagged{Digest: image.Hash(dig(d)), Tags: []string{tag}})
			}
		}
		all = append(all, im)
	}
	return all.Sort(), nil
}

// thin are the manifests of the tests: teams a and b, which share no source, and team c,
// whose source is below that of a.
func thin() fstest.MapFS {
	files := fstest.MapFS{}
	put := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(long(text))} }
	put("manifests/a/promoter-manifest.yaml", "registries: [{name: s.example/a, src: true}, {name: p.example/a, mutable-tags: [latest, stable]}, {name: q.example/a, mutable-tags: [latest]}]\n")
	put("images/a/images.yaml", "# team a\n- name: apple\n  dmap:\n    \"~a\": [\"v1.0.0\", \"latest\", \"stable\"] # first\n- name: pear\n  dmap: {}\n")
	put("manifests/b/promoter-manifest.yaml", "registries: [{name: s.example/b, src: true}, {name: p.example/b}]\n")
	put("images/b/images.yaml", "- name: apple\n  dmap:\n    \"~a\": [ 'v1.0.0' ]\n- name: plum\n  dmap:\n")
	put("manifests/c/promoter-manifest.yaml", "registries: [{name: s.example/a/c, src: true}, {name: p.example/c}]\n")
	put("images/c/images.yaml", "[]\n")
	return files
}

func registries() *holdings {
	return &holdings{
		tags: map[string]map[string]string{
			"s.example/a/apple":  {"v1.0.0": "a", "v1.1.0": "b", "v1.2.0": "c", "v1.10.0": "d", "latest": "d", "stable": "b", "sha256-" + strings.Repeat("a", 64) + ".sig": "f"},
			"s.example/a/pear":   {"v1.1.0": "e"},
			"s.example/a/c/kiwi": {"v1.1.0": "f", "latest": "f"},
			"s.example/b/apple":  {"v1.1.0": "b"},
			"s.example/b/new":    {"v1.1.0": "c"},
		},
		bare: map[string][]string{"s.example/a/apple": {"f"}},
	}
}

// added describes changes: "file: image@letter new? tags (moved)", one line for each digest.
func added(changes []add.Change) []string {
	var lines []string
	for _, c := range changes {
		for _, a := range c.Added {
			line := c.Path + ": " + a.Image + "@" + a.Digest.Hex[:1]
			if a.New {
				line += " new"
			}
			line += " " + strings.Join(a.Tags, ",")
			for _, m := range a.Moved {
				line += " " + m.Tag + "<-" + m.From.Hex[:1]
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// compute loads manifests and adds to them.
func compute(t *testing.T, files add.Files, request add.Request, reader add.Reader) ([]add.Change, error) {
	t.Helper()
	m, err := add.Load(files)
	if err != nil {
		return nil, err
	}
	return m.Compute(t.Context(), request, reader)
}

func TestCompute(t *testing.T) {
	t.Parallel()
	images := func(all ...string) add.Request { return add.Request{Images: all} }
	type test struct {
		request add.Request
		want    []string // of added
		err     string   // a part of the error
		asked   []string // sorted; nil: not compared
	}
	for name, tt := range map[string]test{
		"a tag in full":       {images("s.example/a/apple:v1.1.0"), []string{"images/a/images.yaml: apple@b new v1.1.0"}, "", []string{"tag s.example/a/apple:v1.1.0"}},
		"a short name":        {images("pear:v1.1.0"), []string{"images/a/images.yaml: pear@e new v1.1.0"}, "", nil},
		"a team's":            {images("b/apple:v1.1.0"), []string{"images/b/images.yaml: apple@b new v1.1.0"}, "", nil},
		"a new image":         {images("b/new:v1.1.0"), []string{"images/b/images.yaml: new@c new v1.1.0"}, "", nil},
		"a new image in full": {images("s.example/a/c/kiwi:v1.1.0"), []string{"images/c/images.yaml: kiwi@f new v1.1.0"}, "", nil},
		"what is there":       {images("a/apple:v1.0.0"), nil, "", nil},
		"a tag of the digest": {images("s.example/b/apple:v1.1.0", "b/apple:v1.1.0"), []string{"images/b/images.yaml: apple@b new v1.1.0"}, "", nil},
		"several images": {add.Request{Images: []string{"b/new", "a/apple", "pear"}, Tags: []string{"v1.1.0"}},
			[]string{"images/a/images.yaml: apple@b new v1.1.0", "images/a/images.yaml: pear@e new v1.1.0", "images/b/images.yaml: new@c new v1.1.0"}, "",
			[]string{"tag s.example/a/apple:v1.1.0", "tag s.example/a/pear:v1.1.0", "tag s.example/b/new:v1.1.0"}},
		"a filter": {add.Request{Images: []string{"a/apple"}, Filter: regexp.MustCompile(`^v1\.1`)},
			[]string{"images/a/images.yaml: apple@b new v1.1.0", "images/a/images.yaml: apple@d new v1.10.0"}, "",
			[]string{"tag s.example/a/apple:v1.1.0", "tag s.example/a/apple:v1.10.0", "tags s.example/a/apple"}},
		"a filter never selects latest and signatures": {add.Request{Images: []string{"a/apple"}, Filter: regexp.MustCompile(`latest|sig`)}, nil, "no tag of source s.example/a/apple matches latest|sig: it has v1.10.0, v1.2.0, v1.1.0, v1.0.0, stable and 1 more", nil},
		"latest moves where it is named":               {images("a/apple:latest"), []string{"images/a/images.yaml: apple@d new latest latest<-a"}, "", nil},
		"a tag that may not move":                      {images("a/apple:stable"), nil, "editing team/images/a/images.yaml: tag stable of apple belongs to " + dig("a") + " and may not move to " + dig("b") + ": it is not in mutable-tags of q.example/a", nil},
		"a digest with its tags":                       {add.Request{Images: []string{"pear"}, Digests: []v1.Hash{image.Hash(dig("e"))}}, []string{"images/a/images.yaml: pear@e new v1.1.0"}, "", nil},
		"a digest without tags":                        {images("a/apple@" + dig("f")), []string{"images/a/images.yaml: apple@f new "}, "", nil},
		"a digest without latest":                      {images("a/apple@" + dig("d")), []string{"images/a/images.yaml: apple@d new v1.10.0"}, "", nil},
		"a tag and its digest":                         {images("a/apple:v1.2.0@" + dig("c")), []string{"images/a/images.yaml: apple@c new v1.2.0"}, "", nil},
		"a tag and another digest":                     {images("a/apple:v1.2.0@" + dig("b")), nil, "tag v1.2.0 of source s.example/a/apple has digest " + dig("c") + ", which is not named", nil},
		"a digest that does not exist":                 {images("pear@" + dig("0")), nil, "source s.example/a/pear has no digest " + dig("0"), nil},
		"a tag that does not exist":                    {images("pear:v9"), nil, "source s.example/a/pear has no tag v9: it has v1.1.0", nil},
		"tags that do not exist":                       {add.Request{Images: []string{"pear"}, Tags: []string{"v9", "v8"}}, nil, "source s.example/a/pear has no tag v8: it has v1.1.0", nil},
		"no tag":                                       {images("a/apple"), nil, "no tag of apple is named: source s.example/a/apple has v1.10.0, v1.2.0, v1.1.0, v1.0.0, stable and 1 more: add one as a/apple:v1.10.0, or several with --tag, --filter-tag or --all", nil},
		"no image":                                     {images(), nil, "no IMAGE is named", nil},
		"an image without tags":                        {images("b/none"), nil, "source s.example/b/none has no tags", nil},
		"a name like another":                          {images("b/plun:v1"), nil, "source s.example/b/plun has no tag v1: it has no tags; did you mean plum?", nil},
		"a name of two teams":                          {images("apple:v1.1.0"), nil, "several teams have an image apple: name one of a/apple, b/apple", nil},
		"a name of no team":                            {images("plumb:v1"), nil, `no list has an image "plumb": name a new one with the directory of its team, or in full, as in a/plumb; did you mean plum?`, nil},
		"a destination":                                {images("p.example/a/apple:v1.1.0"), nil, "p.example/a/apple is in a destination: name the image in its source, s.example/a/apple", nil},
		"another registry":                             {images("x.example/a/apple:v1.1.0"), nil, "no manifest has a source with x.example/a/apple: the sources are s.example/a, s.example/b, s.example/a/c", nil},
		"every fault":                                  {images("apple:v1.1.0", "pear:v9"), nil, "several teams", nil},
		"a bad tag":                                    {images("pear:-"), nil, `bad tag "-"`, nil},
		"a bad digest":                                 {images("pear@sha256:1"), nil, `bad digest "sha256:1"`, nil},
		"a bad name":                                   {images("a/Pear:v1"), nil, `bad repository name "Pear"`, nil},
		"all of a source": {add.Request{Images: []string{"s.example/a"}, All: true, Tags: []string{"v1.1.0"}},
			[]string{"images/a/images.yaml: apple@b new v1.1.0", "images/a/images.yaml: pear@e new v1.1.0", "images/c/images.yaml: kiwi@f new v1.1.0"}, "", []string{"below s.example/a"}},
		"all of a team":                  {add.Request{Images: []string{"b"}, All: true}, []string{"images/b/images.yaml: apple@b new v1.1.0", "images/b/images.yaml: new@c new v1.1.0"}, "", []string{"below s.example/b"}},
		"all below an image":             {add.Request{Images: []string{"a/c"}, All: true}, []string{"images/a/images.yaml: c/kiwi@f new v1.1.0"}, "", nil},
		"all that match":                 {add.Request{Images: []string{"a"}, All: true, Filter: regexp.MustCompile(`^v1\.2`)}, []string{"images/a/images.yaml: apple@c new v1.2.0"}, "", nil},
		"all, of which none matches":     {add.Request{Images: []string{"b"}, All: true, Filter: regexp.MustCompile(`^x`)}, nil, "no image of s.example/b has a tag that matches ^x", nil},
		"all, of which none has the tag": {add.Request{Images: []string{"b"}, All: true, Tags: []string{"v1.1.0", "v9"}}, nil, "no image of s.example/b has tag v9", nil},
		"all with a digest":              {add.Request{Images: []string{"a"}, All: true, Digests: []v1.Hash{image.Hash(dig("e"))}}, []string{"images/a/images.yaml: pear@e new v1.1.0"}, "", nil},
		"all without the digest":         {add.Request{Images: []string{"b"}, All: true, Digests: []v1.Hash{image.Hash(dig("e"))}}, nil, "no image of s.example/b has digest " + dig("e"), nil},
		"all of several teams":           {add.Request{All: true}, nil, "several sources could be meant: name one of a, b, c", nil},
		"all with a tag":                 {add.Request{Images: []string{"b/apple:v1"}, All: true}, nil, "name tags with --tag", nil},
		"images of a source": {add.Request{Images: []string{"s.example/b"}, Below: []string{"apple", "new"}, Tags: []string{"v1.1.0"}},
			[]string{"images/b/images.yaml: apple@b new v1.1.0", "images/b/images.yaml: new@c new v1.1.0"}, "", []string{"tag s.example/b/apple:v1.1.0", "tag s.example/b/new:v1.1.0"}},
		"images of a team": {add.Request{Images: []string{"b"}, Below: []string{"new"}, All: true}, []string{"images/b/images.yaml: new@c new v1.1.0"}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader := registries()
			files := add.Files{FS: thin(), Name: ".", Display: "team"}
			changes, err := compute(t, files, tt.request, reader)
			switch {
			case tt.err == "" && err != nil:
				t.Fatal(err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got error %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, added(changes)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			slices.Sort(reader.asked)
			if diff := cmp.Diff(tt.asked, reader.asked); tt.asked != nil && diff != "" {
				t.Errorf("asked (-want +got)\n%s", diff)
			}
			again(t, files, tt.request, changes)
		})
	}
}

// again holds that the same request adds nothing to the changed files, and that a change
// only adds lines where it moves no tag.
func again(t *testing.T, files add.Files, request add.Request, changes []add.Change) {
	t.Helper()
	if len(changes) == 0 {
		return
	}
	tree := thin()
	for _, c := range changes {
		tree[c.Path] = &fstest.MapFile{Data: c.New}
	}
	files.FS = tree
	if more, err := compute(t, files, request, registries()); err != nil || len(more) > 0 {
		t.Errorf("the second time: got %v, error %v, want nothing", added(more), err)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]add.Request{
		"a tag":    {Images: []string{"a/apple:v1.1.0", "pear:v1.1.0"}},
		"a list":   {Images: []string{"a/apple:v1.1.0", "pear"}},
		"a digest": {Images: []string{"a/apple:v1.1.0", "pear@" + dig("e")}},
		"all":      {Images: []string{"a"}, All: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader := registries()
			reader.broken = "s.example/a/pear"
			changes, err := compute(t, add.Files{FS: thin(), Name: "."}, request, reader)
			if len(changes) > 0 || err == nil || !strings.Contains(err.Error(), "503 of s.example/a/pear") {
				t.Errorf("got changes %v, error %v, want none, and the error of the registry", added(changes), err)
			}
		})
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	tagged := func(c string, tags ...string) inventory.Tagged {
		return inventory.Tagged{Digest: image.Hash(dig(c)), Tags: tags}
	}
	pears := inventory.Snapshot{{Name: "pear", Digests: []inventory.Tagged{tagged("b", "latest", "v1.2.0"), tagged("c", "v1.3.0"), tagged("d")}}}
	both := append(slices.Clone(pears), inventory.Image{Name: "apple", Digests: []inventory.Tagged{tagged("b", "v1.1.0")}})
	for name, tt := range map[string]struct {
		request  add.Request
		snapshot inventory.Snapshot
		want     []string
		err      string
	}{
		"whole":             {add.Request{}, pears, []string{"images/a/images.yaml: pear@b new v1.2.0", "images/a/images.yaml: pear@c new v1.3.0"}, ""},
		"a tag":             {add.Request{Tags: []string{"latest"}}, pears, []string{"images/a/images.yaml: pear@b new latest"}, ""},
		"an image":          {add.Request{Images: []string{"pear:v1.3.0"}}, pears, []string{"images/a/images.yaml: pear@c new v1.3.0"}, ""},
		"a digest":          {add.Request{Images: []string{"pear@" + dig("d")}}, pears, []string{"images/a/images.yaml: pear@d new "}, ""},
		"of a team":         {add.Request{Images: []string{"b"}, All: true}, both, []string{"images/b/images.yaml: apple@b new v1.1.0", "images/b/images.yaml: pear@b new v1.2.0", "images/b/images.yaml: pear@c new v1.3.0"}, ""},
		"of a source":       {add.Request{Images: []string{"s.example/b"}, All: true, Tags: []string{"v1.1.0"}}, both, []string{"images/b/images.yaml: apple@b new v1.1.0"}, ""},
		"of two sources":    {add.Request{Images: []string{"s.example/a"}, All: true}, both, nil, "a snapshot is that of one source: name one of a, c"},
		"a name of two":     {add.Request{}, both, nil, "several teams have an image apple"},
		"an absent image":   {add.Request{Images: []string{"b/plum:v1"}}, both, nil, "source s.example/b/plum has no tag v1"},
		"an empty snapshot": {add.Request{}, inventory.Snapshot{}, nil, "no image of the snapshot has a tag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.request.Snapshot = tt.snapshot
			changes, err := compute(t, add.Files{FS: thin(), Name: "."}, tt.request, nil)
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got error %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, added(changes)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBroken(t *testing.T) {
	t.Parallel()
	files := thin()
	files["images/b/images.yaml"] = &fstest.MapFile{Data: []byte("- nam: x\n")}
	_, err := compute(t, add.Files{FS: files, Name: "."}, add.Request{Images: []string{"pear:v1.1.0"}}, registries())
	broken, ok := errors.AsType[*add.BrokenError](err)
	if !ok || !slices.ContainsFunc(broken.Faults, func(f manifest.Fault) bool { return f.Severity == manifest.Broken }) {
		t.Errorf("got error %v, want the faults", err)
	}
}

// A tag that another list wants for another digest at the same destination is refused, and so
// is one of a retag entry. What contradicted itself before does not matter.
func TestContradictions(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	put := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(long(text))} }
	for _, team := range []string{"a", "b"} {
		put("manifests/"+team+"/promoter-manifest.yaml", "registries: [{name: s.example/"+team+", src: true}, {name: p.example}]\n")
	}
	put("images/a/images.yaml", "- name: x\n  dmap:\n    \"~a\": [\"v1.0.0\"]\n- name: y\n  retag:\n  - {src_build_tag: build, tag: v1.1.0, digest: ~b}\n")
	put("images/b/images.yaml", "- name: x\n  dmap:\n    \"~b\": [\"v1.0.0\", \"v1.1.0\"]\n")
	reader := &holdings{tags: map[string]map[string]string{
		"s.example/a/x": {"v1.1.0": "c", "v1.2.0": "d"}, "s.example/a/y": {"v1.1.0": "c"},
	}}
	for image, want := range map[string]string{
		"a/x:v1.1.0": `team/images/a/images.yaml:4:81: overlap: tag "v1.1.0" of p.example/x is wanted for ` + dig("c"),
		"a/y:v1.1.0": `overlap: tag "v1.1.0" of p.example/y is wanted for`,
		"a/x:v1.2.0": "",
	} {
		changes, err := compute(t, add.Files{FS: files, Name: ".", Display: "team"}, add.Request{Images: []string{image}}, reader)
		if want == "" && (err != nil || len(changes) != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got changes %v, error %v, want %q", image, added(changes), err, want)
		}
	}
}

// Manifests may be below the root of a file system, and files of others are not touched.
func TestBelowRoot(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for name, file := range thin() {
		files["registry/"+name] = file
	}
	changes, err := compute(t, add.Files{FS: files, Name: "registry", Display: "../registry"}, add.Request{Images: []string{"pear:v1.1.0"}}, registries())
	if want := []string{"registry/images/a/images.yaml: pear@e new v1.1.0"}; err != nil || !slices.Equal(added(changes), want) {
		t.Errorf("got %v, error %v, want %v", added(changes), err, want)
	}
	_, err = compute(t, add.Files{FS: files, Name: "registry", Display: "../registry"}, add.Request{Images: []string{"a/apple:stable"}}, registries())
	if err == nil || !strings.Contains(err.Error(), "editing ../registry/images/a/images.yaml: ") {
		t.Errorf("got error %v, want one with the path", err)
	}
	_, err = compute(t, add.Files{FS: files, Name: "none", Display: "../none"}, add.Request{}, nil)
	if err == nil || !strings.Contains(err.Error(), "reading ../none: ") {
		t.Errorf("got error %v, want one with the path", err)
	}
}

// The directory of a team may look like a host.
func TestDirectoryLikeHost(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for name, file := range thin() {
		files[strings.ReplaceAll(name, "/b/", "/b.example/")] = file
	}
	for _, request := range []add.Request{
		{Images: []string{"b.example/apple:v1.1.0"}},
		{Images: []string{"b.example"}, Below: []string{"apple"}, Tags: []string{"v1.1.0"}},
	} {
		changes, err := compute(t, add.Files{FS: files, Name: "."}, request, registries())
		if want := []string{"images/b.example/images.yaml: apple@b new v1.1.0"}; err != nil || !slices.Equal(added(changes), want) {
			t.Errorf("%v: got %v, error %v, want %v", request.Images, added(changes), err, want)
		}
	}
}

// Names of Docker Hub have several spellings: the one in the list stays.
func TestSpelling(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"m.yaml": &fstest.MapFile{Data: []byte("registries: [{name: docker.io, src: true}, {name: p.example}]\nimages:\n- name: busybox\n  dmap:\n")}}
	reader := &holdings{tags: map[string]map[string]string{"index.docker.io/library/busybox": {"1.37.0": "a"}}}
	for _, name := range []string{"busybox:1.37.0", "docker.io/busybox:1.37.0", "index.docker.io/library/busybox:1.37.0"} {
		changes, err := compute(t, add.Files{FS: files, Name: "m.yaml"}, add.Request{Images: []string{name}}, reader)
		if want := []string{"m.yaml: busybox@a new 1.37.0"}; err != nil || !slices.Equal(added(changes), want) {
			t.Errorf("%s: got %v, error %v, want %v", name, added(changes), err, want)
		}
	}
}
