package manifest_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// thinTree is a thin manifest directory of one pair, with these selectors.
func thinTree(sources, lock string) fstest.MapFS {
	fsys := fstest.MapFS{
		"manifests/a/promoter-manifest.yaml": {Data: []byte("registries: [{name: r.io/staging, src: true}, {name: r.io/prod}]\n")},
		"images/a/images.yaml":               {Data: []byte("[]\n")},
		"images/a/sources.yaml":              {Data: []byte(sources)},
	}
	if lock != "" {
		fsys["images/a/sources.lock.yaml"] = &fstest.MapFile{Data: []byte(lock)}
	}
	return fsys
}

func faultsOf(set *manifest.Set) []string {
	var all []string
	for _, f := range set.Faults {
		all = append(all, f.String())
	}
	return all
}

func TestSelectorFaults(t *testing.T) {
	t.Parallel()
	const at = "images/a/sources.yaml:"
	for _, tt := range []struct {
		name, sources string
		want          []string
	}{
		{"none", "", nil},
		{"wrapped", "sources: [{name: x, select: {tag: v1}}]", nil},
		{"not a list", "x: y", []string{at + `1:1: sources.yaml: unknown key: want sources`}},
		{"no name, no select", "- {ref: z}", []string{at + "1:3: a sources entry without name", at + "1:3: a sources entry without select"}},
		{"bad name", "- {name: UP, select: {tag: v1}}", []string{at + `1:10: bad repository name "UP": want lower-case letters and digits, joined by '.', '_', '__', '-' or '/'`}},
		{"no selector", "- {name: x, select: {}}", []string{at + "1:13: select wants exactly one of tag, digest, semver, numerical, alphabetical, newest, gitRevision, alias, labels, found none"}},
		{"newest", "- {name: x, select: {newest: {}}}\n- {name: y, select: {newest: }}", nil},
		{"newest with an option", "- {name: x, select: {newest: {order: asc}}}", []string{at + "1:31: newest has no keys: want newest: {}"}},
		{"newest of another type", "- {name: x, select: {newest: yes}}", []string{at + `1:30: newest: want a mapping, found the value "yes"`}},
		{"bad tag", "- {name: x, select: {tag: -v}}", []string{at + "1:27: bad tag \"-v\": want up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'"}},
		{"bad digest", "- {name: x, select: {digest: sha256:1}}", []string{at + `1:30: bad digest "sha256:1": want sha256: and 64 lower-case hexadecimal digits`}},
		{"bad range", "- {name: x, select: {semver: {range: 1x}}}", []string{at + `1:38: bad range "1x": want one such as 1.2.x, ^1.2 or >=1.2, <2`}},
		{"empty range", "- {name: x, select: {semver: {range: ''}}}", []string{at + "1:31: semver without range: it is empty"}},
		{"bad order", "- {name: x, select: {numerical: {order: up}}}", []string{at + `1:41: bad order "up": want asc or desc`}},
		{"bad pattern", "- {name: x, select: {tag: v}, exclude: ['(']}", []string{at + "1:41: exclude: bad pattern: error parsing regexp: missing closing ): `(`"}},
		{"no such group", "- {name: x, select: {numerical: }, filterTags: {pattern: '(?P<a>.)', extract: $b}}", []string{at + `1:79: the pattern has no group "b"`}},
		{"bad template", "- {name: x, select: {tag: v}, tags: ['{{.Tag']}", []string{at + `1:38: tags: bad template "{{.Tag": tag:1: unclosed action`}},
		{"templates that do more than name fields", "- {name: x, select: {tag: v}, tags: ['{{range 1000000000}}{{end}}', '{{printf \"%1000000000s\" .Tag}}', '{{define \"a\"}}x{{end}}', '{{$x := .Tag}}', '{{.Tag | len}}', '{{if .Tag}}a{{end}}', '{{slice (slice .Tag 1) 2}}', '{{index .Labels \"a\"}}']}", []string{
			at + `1:38: tags: bad template "{{range 1000000000}}{{end}}": {{range 1000000000}}{{end}}: ` + onlyFields,
			at + `1:69: tags: bad template "{{printf \"%1000000000s\" .Tag}}": {{printf "%1000000000s" .Tag}}: ` + onlyFields,
			at + `1:103: tags: bad template "{{define \"a\"}}x{{end}}": nested template: want only text and fields`,
			at + `1:129: tags: bad template "{{$x := .Tag}}": {{$x := .Tag}}: ` + onlyFields,
			at + `1:147: tags: bad template "{{.Tag | len}}": {{.Tag | len}}: ` + onlyFields,
			at + `1:165: tags: bad template "{{if .Tag}}a{{end}}": {{if .Tag}}a{{end}}: ` + onlyFields,
			at + `1:188: tags: bad template "{{slice (slice .Tag 1) 2}}": {{slice (slice .Tag 1) 2}}: ` + onlyFields,
		}},
		{"a long template", "- {name: x, select: {tag: v}, tags: ['{{.Tag}}" + strings.Repeat("a", 1000) + "'], filterTags: {pattern: (a), extract: " + strings.Repeat("$1", 501) + "}}", []string{
			at + `1:38: tags: bad template "{{.Tag}}` + strings.Repeat("a", 132) + `…": it has more than 1000 bytes`,
			at + `1:1087: a template of more than 1000 bytes`,
		}},
		{"template of no field", "- {name: x, select: {tag: v}, tags: ['{{.Tag}}-{{slice .Commit 0 7}}', '{{.Bogus}}']}", []string{
			at + `1:72: tags: bad template "{{.Bogus}}": tag:1:2: executing "tag" at <.Bogus>: can't evaluate field Bogus in type selector.TagFields`,
		}},
		{"alias without file", "- {name: x, select: {alias: v}}", []string{at + "1:21: a select by alias without imageTags"}},
		{"imageTags without alias", "- {name: x, select: {tag: v, imageTags: z}}", []string{at + "1:30: imageTags is only for a select by alias"}},
		{"labels without alias", "- {name: x, select: {tag: v}, labels: {a: b}}", []string{at + "1:31: labels is only for a select by alias; to select by labels, put them into select"}},
		{"update", "- {name: x, select: {tag: v}, update: never}", []string{at + `1:39: bad update "never": want append or replace`}},
		{"git", "- {name: x, select: {gitRevision: {repository: u, walk: up, maxBehind: -1, paths: [../x], identify: {}}}}", []string{
			at + "1:35: gitRevision without branch",
			at + `1:57: bad walk "up": want first-parent or all`,
			at + `1:72: maxBehind: want a whole number from 0 to 1073741824, found the value "-1"`,
			at + "1:84: paths: want a path below the root of the git repository",
			at + "1:91: identify wants tag or label, found neither",
		}},
		{"git, commit of no group", "- {name: x, select: {gitRevision: {repository: u, branch: m, identify: {tag: {pattern: '(.*)', commit: $sha}}}}}", []string{
			at + `1:104: the pattern has no group "sha"`,
		}},
		{"rebase", "- {name: x, select: {tag: v}, rebase: {accept: some}}", []string{
			at + "1:39: rebase without to", at + `1:48: bad accept "some": want listed or same-repository or any`,
		}},
		{"the same twice", "- {name: x, select: {tag: v}}\n- select: {tag: v}\n  name: x", []string{at + "2:3: the same selector as on line 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set, _ := manifest.ThinSelectors(thinTree(tt.sources, ""), "", false)
			if diff := cmp.Diff(tt.want, faultsOf(set)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestLockFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ lock, want string }{
		{"[]", ""},
		{"- {name: x, intent: i, digest: " + dig("a") + ", tags: [v]}", ""},
		{"x: y", "a lock: want a list"},
		{"- {name: x, intent: i, digest: nope}", "want a mapping as cip resolve --write makes it"},
		{"- {name: x, intent: i}", "it wants a name and a digest"},
		{"- {name: x, digest: " + dig("a") + ", extra: 1}", "unknown key \"extra\""},
		{"- {name: x, digest: " + dig("a") + ", tags: ['a b']}", "bad tag"},
		{"- [", "bad YAML"},
	} {
		set, _ := manifest.ThinSelectors(thinTree("- {name: x, select: {tag: v}}", tt.lock), "", false)
		got := strings.Join(faultsOf(set), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || tt.want != "" && !set.Broken() {
			t.Errorf("%s: got %q, want %q", tt.lock, got, tt.want)
		}
	}
}

const fluxStream = `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: flux-system}
spec: {image: r.io/staging/app, interval: 1h, exclusionList: ["^x"]}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: flux-system}
spec:
  imageRepositoryRef: {name: app}
  filterTags: {pattern: '^main-(?P<n>\d+)$', extract: $n}
  policy: {numerical: {order: asc}}
  digestReflectionPolicy: Always
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: repo, namespace: other}
spec: {url: https://git.example.com/app, ref: {branch: main}}
---
kind: ImagePolicy
metadata: {name: rev, namespace: flux-system}
spec:
  imageRepository: {name: app}
  policy: {gitRevision: {gitRepositoryRef: {name: repo, namespace: other}}}
`

func TestFlux(t *testing.T) {
	t.Parallel()
	app := repository(t, "r.io/staging/app")
	rev := &selector.GitRevision{Repository: "https://git.example.com/app", Branch: "main"}
	want := []*selector.Selector{
		{
			Name: "app", Policy: "flux-system/app", Select: selector.Select{Numerical: &selector.Order{Order: "asc"}}, Exclude: []string{"^x"}, AlwaysRefresh: true,
			Filter: &selector.Filter{Pattern: `^main-(?P<n>\d+)$`, Extract: "$n"}, Repository: app, Output: app,
			Pos: manifest.Pos{File: "images/a/sources.yaml", Line: 6, Column: 1},
		},
		{
			Name: "app", Policy: "flux-system/rev", Select: selector.Select{GitRevision: rev}, Exclude: []string{"^x"}, Repository: app, Output: app,
			Pos: manifest.Pos{File: "images/a/sources.yaml", Line: 20, Column: 1},
		},
	}
	set, files := manifest.ThinSelectors(thinTree(fluxStream, ""), "", false)
	if len(set.Faults) > 0 {
		t.Errorf("got faults %v, want none", set.Faults)
	}
	if diff := cmp.Diff(want, files[0].Entries, cmpopts.EquateComparable(name.Repository{})); diff != "" {
		t.Errorf("next to images.yaml (-want +got)\n%s", diff)
	}

	flux := fstest.MapFS{"flux.yaml": {Data: []byte(fluxStream)}}
	set, files = manifest.PlainSelectors(flux, "flux.yaml", "")
	if len(set.Faults) > 0 || len(files) != 1 || files[0].Images != "" {
		t.Fatalf("only Flux: got %v %v, want one file and no faults", set.Faults, files)
	}
	if got := files[0].Entries[1].Name; got != "r.io/staging/app" {
		t.Errorf("only Flux: got name %q, want r.io/staging/app", got)
	}
	if !manifest.Plain(flux, "flux.yaml", "").Broken() {
		t.Error("got no fault, want one: there is nothing to promote in it")
	}

	cut := fstest.MapFS{"flux.yaml": {Data: []byte(fluxStream + "---\nkind: [\n")}}
	set, _ = manifest.PlainSelectors(cut, "flux.yaml", "")
	if got := faultsOf(set); len(got) != 1 || !strings.Contains(got[0], "bad YAML") {
		t.Errorf("with a syntax error behind them: got %q, want one fault: bad YAML", got)
	}
}

// TestPlainSelectorsRead checks that a file with selectors is read once, and that its faults are reported once and by line.
func TestPlainSelectorsRead(t *testing.T) {
	t.Parallel()
	const head = "registries: [{name: r.io/staging, src: true}, {name: d.io}]\nimages: [{name: UP, dmap: {}}]\n"
	fsys := &opens{fstest.MapFS{"m.yaml": {Data: []byte(head + "sources: [{name: x, select: {tag: v1}}]\n---\n" + fluxStream)}}, map[string]int{}}
	set, files := manifest.PlainSelectors(fsys, "m.yaml", "")
	plain := manifest.Plain(fsys.MapFS, "m.yaml", "")
	if diff := cmp.Diff(faultsOf(plain), faultsOf(set)); diff != "" || len(plain.Faults) != 2 || plain.Digest != set.Digest {
		t.Errorf("(-plain +with selectors)\n%s", diff)
	}
	if len(files) != 1 || len(files[0].Entries) != 3 || fsys.of["m.yaml"] != 1 {
		t.Errorf("got files %+v, m.yaml opened %d times, want one file of 3 entries, opened once", files, fsys.of["m.yaml"])
	}
}

// opens counts how often files are opened.
type opens struct {
	fstest.MapFS
	of map[string]int
}

func (o *opens) Open(name string) (fs.File, error) {
	o.of[name]++
	return o.MapFS.Open(name)
}

func repository(t *testing.T, name string) name.Repository {
	t.Helper()
	repo, err := image.ParseRepository(name)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestFluxFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ from, to, want string }{
		{"imageRepositoryRef: {name: app}", "imageRepositoryRef: {name: nope}", `there is no ImageRepository "nope" in the file`},
		{"imageRepositoryRef: {name: app}", "interval: 1h", "app names no ImageRepository"},
		{"r.io/staging/app", "elsewhere.io/app", "elsewhere.io/app is not below the source registry r.io/staging"},
		{"r.io/staging/app", "app", "bad"},
		{"policy: {numerical: {order: asc}}", "policy: {}", "policy wants exactly one of"},
		{"{name: repo, namespace: other}}}", "{name: repo}}}", `there is no GitRepository "repo" in the file`},
		{"digestReflectionPolicy: Always", "suspend: true", "ImagePolicy app is suspended: not resolved"},
		{"kind: GitRepository\nmetadata: {name: repo, namespace: other}", "kind: Kustomization\nmetadata: {name: z}", "Kustomization is not read"},
		{fluxStream, "kind: ConfigMap\nmetadata: {name: z}\ndata: {a: b}\n---\n" + fluxStream, "images/a/sources.yaml:1:1: ConfigMap is not read: only ImagePolicy, ImageRepository and GitRepository are"},
		{"kind: GitRepository\nmetadata: {name: repo, namespace: other}", "kind: GitRepository\nmetadata: {namespace: other}", "GitRepository without metadata.name or spec"},
	} {
		set, _ := manifest.ThinSelectors(thinTree(strings.Replace(fluxStream, tt.from, tt.to, 1), ""), "", false)
		if got := strings.Join(faultsOf(set), "\n"); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.to, got, tt.want)
		}
	}
}

// TestIntent holds that an intent is of what is asked for, not of how it is written.
func TestIntent(t *testing.T) {
	t.Parallel()
	intent := func(sources string) string {
		_, files := manifest.ThinSelectors(thinTree(sources, ""), "", false)
		return files[0].Entries[0].Intent()
	}
	a := intent("- name: x # comment\n  select: {numerical: }\n")
	if b := intent("- {select: {numerical: {order: asc}}, name: 'x'}"); a != b {
		t.Errorf("got intent %v for another order and quoting, want %v", b, a)
	}
	if b := intent("- {select: {numerical: {order: desc}}, name: 'x'}"); a == b {
		t.Errorf("got intent %v for another order of numbers, want another", b)
	}
}

// onlyFields is what is said of a template that does more than name fields.
const onlyFields = `want only text and fields, such as {{.Tag}}, {{slice .Commit 0 7}} or {{index .Labels "a"}}`
