package rebase

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Candidates on the app's registry come first.
func TestCandidates(t *testing.T) {
	t.Parallel()
	mirrors := Names{"first.com/org/repo", []string{"as@ohd@as@op", "myorg/myrepo", "zonal.gcr.io/org/repo", "gcr.io/org/repo"}}
	for name, tc := range map[string]struct {
		app    string
		names  Names
		local  []string
		order  Order
		closed []string // names that cannot be read
		want   string
		err    []string
	}{
		"on Docker Hub":           {app: "index.docker.io/x/app", names: mirrors, want: "myorg/myrepo"},
		"on Docker Hub, in short": {app: "app", names: mirrors, want: "myorg/myrepo"},
		"on gcr.io":               {app: "gcr.io/x/app", names: mirrors, want: "gcr.io/org/repo"},
		"on a zone":               {app: "zonal.gcr.io/x/app", names: mirrors, want: "zonal.gcr.io/org/repo"},
		"on none of them":         {app: "missingzone.gcr.io/x/app", names: mirrors, want: "first.com/org/repo"},
		"gcr.io is closed":        {app: "gcr.io/x/app", names: mirrors, closed: []string{"gcr.io/org/repo"}, want: "first.com/org/repo"},
		"two are closed":          {app: "gcr.io/x/app", names: mirrors, closed: []string{"gcr.io/org/repo", "first.com/org/repo"}, want: "myorg/myrepo"},
		"all are closed": {
			app: "gcr.io/x/app", names: mirrors, closed: []string{"gcr.io/org/repo", "first.com/org/repo", "myorg/myrepo", "zonal.gcr.io/org/repo"},
			err: []string{"failed to find accessible run image", "run image first.com/org/repo: closed", "mirror as@ohd@as@op: bad image name", "mirror myorg/myrepo: closed", "zonal.gcr.io/org/repo: closed", "gcr.io/org/repo: closed"},
		},
		"no names":                      {app: "gcr.io/x/app", err: []string{"run image must be specified"}},
		"a local mirror on the host":    {app: "gcr.io/x/app", names: mirrors, local: []string{"gcr.io/local/repo"}, want: "gcr.io/local/repo"},
		"a local mirror elsewhere":      {app: "b.example/app", names: mirrors, local: []string{"c.example/run"}, want: "c.example/run"},
		"a local mirror in spec order":  {app: "b.example/app", names: mirrors, local: []string{"c.example/run"}, order: SpecOrder, want: "first.com/org/repo"},
		"one on the host in spec order": {app: "b.example/app", names: mirrors, local: []string{"b.example/run"}, order: SpecOrder, want: "b.example/run"},
		"one name twice":                {app: "b.example/app", names: Names{"x/y", []string{"docker.io/x/y:latest"}}, want: "x/y"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probed := map[Reference]bool{}
			all := Candidates(ref(t, tc.app).RegistryStr(), tc.names, tc.local, tc.order)
			got, err := pick(t.Context(), all, func(r Reference) (v1.Hash, error) {
				if probed[r] {
					t.Errorf("got %s probed twice, want once", r)
				}
				probed[r] = true
				for _, c := range tc.closed {
					if r == ref(t, c) {
						return v1.Hash{}, errors.New("closed")
					}
				}
				return v1.Hash{}, nil
			})
			if err != nil || tc.err != nil {
				contains(t, fmt.Sprint(err), tc.err...)
				return
			}
			if got.Reference != ref(t, tc.want) {
				t.Errorf("got %s, want %s", got.Reference, tc.want)
			}
		})
	}
}

// A missing image is skipped. Pick sends one request for each candidate up to the
// first that exists.
func TestPick(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	img := registrytest.Image(1, 1)
	s.Push(t, "there", img, "1")
	s.Push(t, "closed", img, "1")
	s.Fault(registrytest.Refuse(401, "UNAUTHORIZED", "no"), registrytest.Repo("closed"))
	all := Candidates(s.Host, Names{s.Host + "/missing:1", []string{s.Host + "/closed:1", s.Host + "/there@" + img.Digest, s.Host + "/there:1"}}, nil, PackOrder)
	got, err := Pick(t.Context(), newClient(t), all)
	if err != nil || got.String() != s.Host+"/there@"+img.Digest {
		t.Errorf("got %v, %v, want %s", got, err, s.Host+"/there@"+img.Digest)
	}
	contains(t, all[0].Rejected, registry.ErrNotFound.Error())
	contains(t, all[1].Rejected, "401")
	if all[3].Chosen || all[3].Rejected != "" {
		t.Errorf("last candidate: got %+v, want it neither chosen nor rejected", all[3])
	}
	// The GET confirms that the first does not exist: no HEAD has found anything on the host before.
	checkRequests(t, s, map[registrytest.Kind]int{registrytest.ManifestHead: 3, registrytest.ManifestGet: 1})
}

// TestCompare finds mirrors that lead to another image, and reads each one once.
func TestCompare(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	s.Push(t, "run", registrytest.Image(1, 1), "1")
	s.Push(t, "same", registrytest.Image(1, 1), "1")
	s.Push(t, "older", registrytest.Image(2, 1), "1")
	s.Push(t, "closed", registrytest.Image(3, 1), "1")
	s.Fault(registrytest.Refuse(401, "UNAUTHORIZED", "no"), registrytest.Repo("closed"))
	all := Candidates(s.Host, Names{s.Host + "/run:1", []string{s.Host + "/same:1", s.Host + "/older:1", s.Host + "/closed:1", s.Host + "/missing:1", "as@ohd@as@op"}}, nil, PackOrder)
	c := newClient(t)
	if _, err := Pick(t.Context(), c, all); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range Compare(t.Context(), c, all) {
		got = append(got, d.Name+" "+d.Held.String())
	}
	if diff := cmp.Diff([]string{s.Host + "/older:1 " + registrytest.Image(2, 1).Digest}, got); diff != "" {
		t.Errorf("other images (-want +got)\n%s", diff)
	}
	contains(t, all[3].Rejected, "401")
	contains(t, all[4].Rejected, registry.ErrNotFound.Error())
	checkRequests(t, s, map[registrytest.Kind]int{registrytest.ManifestHead: 5})
}

func TestReferences(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	for in, want := range map[string]string{
		"ubuntu":                          "index.docker.io/library/ubuntu:latest",
		"paketo/run:22":                   "index.docker.io/paketo/run:22",
		"index.docker.io/paketo/run":      "index.docker.io/paketo/run:latest",
		"localhost/run":                   "localhost/run:latest",
		"localhost:5000/run:1":            "localhost:5000/run:1",
		"gcr.io/a/b@" + digest:            "gcr.io/a/b@" + digest,
		"gcr.io/a/b:1@" + digest:          "gcr.io/a/b:1@" + digest,
		"":                                "",
		"as@ohd@as@op":                    "",
		"gcr.io/a/b:":                     "",
		"gcr.io/UPPER":                    "",
		"https://gcr.io/a":                "",
		"gcr.io/a@sha256:short":           "",
		"gcr.io/a@sha512:" + digest[7:]:   "",
		"gcr.io/":                         "",
		"host:port/a":                     "",
		"a/b:" + strings.Repeat("x", 129): "",
	} {
		got, err := ParseReference(in)
		if want == "" {
			if err == nil {
				t.Errorf("%q: got %s, want an error", in, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%q: got %s, %v, want %s", in, got, err, want)
		}
	}
}

// The kind of a file follows from its keys.
func TestFiles(t *testing.T) {
	t.Parallel()
	one := []Names{{"x/run", []string{"gcr.io/x/run"}}}
	for name, tc := range map[string]struct {
		text string
		want File
		err  string
	}{
		"stack.toml":                         {"[build-image]\nimage = 'b'\n[run-image]\nimage = 'x/run'\nmirrors = ['gcr.io/x/run']", File{Images: one}, ""},
		"run.toml":                           {"[[images]]\nimage = 'x/run'\nmirrors = ['gcr.io/x/run']\n[[images]]\nimage = 'y'", File{Images: append(one, Names{Image: "y"})}, ""},
		"mirrors.toml":                       {"image = 'x/run'\nmirrors = ['gcr.io/x/run']", File{Images: one}, ""},
		"builder.toml, stack":                {"[[order]]\n[stack]\nid = 'i'\nbuild-image = 'b'\nrun-image = 'x/run'\nrun-image-mirrors = ['gcr.io/x/run']", File{Images: one}, ""},
		"builder.toml, run":                  {"[build]\nimage = 'b'\n[[run.images]]\nimage = 'x/run'\nmirrors = ['gcr.io/x/run']", File{Images: one}, ""},
		"builder.toml, both":                 {"[stack]\nrun-image = 'docker.io/x/run:latest'\nrun-image-mirrors = ['gcr.io/x/run:latest']\n[[run.images]]\nimage = 'x/run'\nmirrors = ['gcr.io/x/run']", File{Images: one}, ""},
		"builder.toml, both, do not agree":   {"[stack]\nrun-image = 'x/run'\n[[run.images]]\nimage = 'x/run'\nmirrors = ['gcr.io/x/run']", File{}, "f.toml: it names two different run images"},
		"config.toml":                        {"default-builder = 'b'\n[[run-images]]\nimage = 'x/run'\nmirrors = ['l']", File{LocalMirrors: []Names{{"x/run", []string{"l"}}}}, ""},
		"mirrors of nothing":                 {"mirrors = ['a']", File{}, "mirrors without an image"},
		"a nameless image":                   {"[[images]]\n", File{}, "a run image without a name"},
		"other keys only":                    {"[project]\nid = 'x'", File{}, "it names no run image"},
		"empty":                              {"", File{}, "it names no run image"},
		"not TOML":                           {"image = 'x'\nmirrors = [", File{}, "f.toml:2:"},
		"a number":                           {"\nimage = 1", File{}, "f.toml:2:1: "},
		"deep":                               {"x = " + strings.Repeat("[", 1000), File{}, "nested more than"},
		"large":                              {strings.Repeat("#", maxFile+1), File{}, "more than 1048576 bytes"},
		"too many mirrors":                   {"image = 'x'\nmirrors = [" + strings.Repeat("'a',", maxMirrors+1) + "]", File{}, "1001 mirrors"},
		"with byte order mark, CRLF endings": {"\ufeffimage = 'x/run'\r\nmirrors = ['gcr.io/x/run']\r\n", File{Images: one}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseFile("f.toml", []byte(tc.text))
			if tc.err != "" || err != nil {
				contains(t, fmt.Sprint(err), tc.err, "f.toml:")
				return
			}
			tc.want.Name = "f.toml"
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Files must agree on the image. The mirrors of all files are used.
func TestChooseAmongFiles(t *testing.T) {
	t.Parallel()
	stack := File{Name: "stack.toml", Images: []Names{{"x/run", []string{"a/run"}}}}
	run := File{Name: "run.toml", Images: []Names{{"docker.io/x/run", []string{"b/run", "docker.io/a/run"}}, {"y/run", nil}}}
	other := File{Name: "other.toml", Images: []Names{{"z/run", nil}}}
	config := File{Name: "config.toml", LocalMirrors: []Names{{"index.docker.io/x/run:latest", []string{"l2/run", "l1/run"}}, {"q", []string{"n"}}}}
	names, err := Choose([]File{config, stack, run}, Names{})
	if diff := cmp.Diff(Names{"x/run", []string{"a/run", "b/run"}}, names); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"given/run", "l2/run:latest", "l1/run"}, LocalMirrors([]string{"given/run", "l2/run:latest"}, []File{config, stack}, names)); diff != "" {
		t.Errorf("local mirrors (-want +got):\n%s", diff)
	}
	if names, err = Choose([]File{run}, Names{Image: "y/run"}); err != nil || names.Image != "y/run" {
		t.Errorf("the app's own: got %v, %v, want y/run", names, err)
	}
	if _, err = Choose([]File{stack, other}, Names{}); err == nil {
		t.Error("files with different images: got no error, want one")
	} else {
		contains(t, err.Error(), `stack.toml names the run image "x/run", other.toml names "z/run"`)
	}
}

// The label of a builder names a run image.
func TestBuilderLabel(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	reader := NewReader(newClient(t))
	for label, want := range map[string]string{
		`{"stack":{"runImage":{"image":"a","mirrors":["b"]}},"buildpacks":[{}]}`:            "a",
		`{"stack":{"runImage":{"image":"a"}},"images":[{"image":"c","mirrors":["d","e"]}]}`: "c",
	} {
		s.Push(t, "builder", registrytest.Image(1, 1, registrytest.Label(builderLabel, label)), want)
		if got, err := reader.Names(t.Context(), ref(t, s.Host+"/builder:"+want)); err != nil || got.Image != want {
			t.Errorf("got %v, %v, want %s", got, err, want)
		}
	}
	s.Push(t, "none", registrytest.MultiArch(1, 2, 1), "1")
	if _, err := reader.Names(t.Context(), ref(t, s.Host+"/none:1")); err == nil {
		t.Error("image without labels: got no error, want one")
	} else {
		contains(t, err.Error(), "could not find label "+lifecycleLabel)
	}
}

// A rebase skips a run image that cannot be read, with a note, and uses a mirror.
func TestRebaseOnAMirror(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	far := registrytest.New(t)
	far.Push(t, "run", w.new, "22")
	w.Push(t, "shop/web", appImage(1, w.old, oldLayers, w.Host+"/base/absent:22",
		registrytest.Label(lifecycleLabel, lifecycle(w.old.DiffIDs()[1], w.Host+"/base/absent:22", far.Host+"/run:22"))), "1.4")
	dir := t.TempDir() + "/config.toml"
	text := fmt.Sprintf("[[run-images]]\nimage = %q\nmirrors = [%q]\n", w.Host+"/base/absent:22", w.run)
	if err := os.WriteFile(dir, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	res, _ := rebaseTo(t, "", Options{}, w.name)
	if got, want := res.Onto.Image, far.Host+"/run:22"; got != want {
		t.Errorf("new base: got %s, want %s", got, want)
	}
	contains(t, strings.Join(res.Notes, "\n"), "passing over run image "+w.Host+"/base/absent:22: ", "404")
	f, err := ParseFile(dir, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	w.Push(t, "shop/web", appImage(1, w.old, oldLayers, w.Host+"/base/absent:22"), "1.5")
	res, _ = rebaseTo(t, "", Options{Files: []File{f}}, w.Host+"/shop/web:1.5")
	if res.Onto.Image != w.run || len(res.Notes) != 0 {
		t.Errorf("new base: got %s with notes %q, want %s without notes", res.Onto.Image, res.Notes, w.run)
	}
}
