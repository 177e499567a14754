package resolve_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// resolveSelector resolves one selector. The image tags file is t.json.
func resolveSelector(t *testing.T, s *stubRepository, p selector.Selector, previous *selector.Lock, o resolve.Options, file string) (*resolve.Choice, error) {
	t.Helper()
	p.Name, p.Repository = "app", image.NewRepository("reg.example", "app")
	return resolve.Resolve(t.Context(), &p, previous, resolve.Readers{Registry: s, ReadFile: func(name string) ([]byte, error) {
		if name != "t.json" {
			return nil, errors.New("no such file")
		}
		return []byte(file), nil
	}}, o)
}

func TestSelectByAlias(t *testing.T) {
	t.Parallel()
	byAlias := selector.Selector{Select: selector.Select{Alias: &selector.Alias{Tag: "latest", ImageTags: "t.json"}}, Labels: set{"os": "linux", "arch": "amd64"}}
	c, err := resolveSelector(t, repository(), byAlias, nil, resolve.Options{}, chained)
	if err != nil {
		t.Fatal(letters(err.Error()))
	}
	want := &selector.LockAlias{
		File: "t.json", FileDigest: parse(t, chained).Digest, Path: []string{"latest", "3.x", "3.0.x", "3.0.1", "3.0.1-2"}, Labels: set{"version": "3.0.1", "build": "2"},
	}
	if diff := cmp.Diff(want, c.Alias); diff != "" {
		t.Errorf("lock entry (-want +got):\n%s", diff)
	}
	if c.Digest != hash("S") || c.Tag != "3.0.1-2" || !slices.Equal(c.Default, []string{"3.0.1-2"}) {
		t.Errorf("got %s, %s, %v, want S and the last tag of the chain", letters(c.Digest.String()), c.Tag, c.Default)
	}
	out := slices.IndexFunc(c.Candidates, func(c resolve.Candidate) bool { return c.Tag == "x.sig" })
	if out < 0 || c.Candidates[out].Chosen {
		t.Errorf("got candidates %v, want the rejected tag x.sig among them", c.Candidates)
	}

	if diff := cmp.Diff(set{"version": "3.0.1", "build": "2", "os": "linux", "arch": "amd64"}, c.Fields.Labels); diff != "" {
		t.Errorf("labels in templates (-want +got):\n%s", diff)
	}

	// The digest in the lock is kept until a refresh, or until the file changes.
	lock := &selector.Lock{Name: "app", Digest: hash("Y"), Tag: "3.0.1-2", Alias: c.Alias, Intent: func() string {
		p := byAlias
		p.Name = "app"
		return p.Intent()
	}()}
	for _, tc := range []struct {
		name, want string
		o          resolve.Options
		file       string
	}{
		{"kept", "Y", resolve.Options{}, chained},
		{"refreshed", "S", resolve.Options{Refresh: true}, chained},
		{"another chain", "S", resolve.Options{}, `{"aliases": {"latest": "3.0.1-2"}, "labels": {"3.0.1-2": {"version": "3.0.1", "build": "2"}}}`},
		{"other labels", "S", resolve.Options{}, strings.Replace(chained, `"version": "3.0.1", "build": "2"`, `"version": "3.0.1-2"`, 1)},
	} {
		c, err := resolveSelector(t, repository(), byAlias, lock, tc.o, tc.file)
		if err != nil || letters(c.Digest.String()) != tc.want {
			t.Errorf("%s: got %v %v, want %s", tc.name, c, err, tc.want)
		}
	}

	for file, want := range map[string]string{
		`{"aliases": {"": ""}}`: "t.json:1:14: aliases: empty tag name\nt.json:1:18: ",
		`{}`:                    `t.json: unknown tag "latest"`,
		`{"labels": {"latest": {"version": "4", "build": "x"}}}`: "following tag latest of t.json: no image of source",
	} {
		if _, err := resolveSelector(t, repository(), byAlias, nil, resolve.Options{}, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
	}
	byAlias.Select.Alias.ImageTags = "missing.json"
	if _, err := resolveSelector(t, repository(), byAlias, nil, resolve.Options{}, "{}"); err == nil || !strings.Contains(err.Error(), "reading image tags missing.json") {
		t.Errorf("got error %v, want that missing.json cannot be read", err)
	}
}

func TestSelectByLabels(t *testing.T) {
	t.Parallel()
	p := selector.Selector{Select: selector.Select{Labels: set{"version": "multi", "os": "linux", "arch": "aarch64"}}}
	c, err := resolveSelector(t, repository(), p, nil, resolve.Options{}, "")
	if err != nil || c.Digest != hash("C") || c.Tag != "" || !slices.Equal(c.Default, []string{"multi"}) || c.Alias != nil {
		t.Errorf("got %v, %v, want C with the tag multi", c, err)
	}
	p.Exclude = []string{"^multi$"}
	if _, err := resolveSelector(t, repository(), p, nil, resolve.Options{}, ""); err == nil {
		t.Error("excluded tag: got no error, want one")
	}
}

// TestFoldCandidates checks that the candidate of a release becomes an alias of the release.
func TestFoldCandidates(t *testing.T) {
	t.Parallel()
	for head, others := range map[string][]string{
		"2.0.0":         {"2.0.0-rc.1", "2.0.0-rc1", "2.0.0rc2", "2.0.0-SNAPSHOT", "2.0.0-beta", "2", "latest"},
		"v3.0.0":        {"v3.0.0-alpha.1.2", "v3"},
		"3.0.1-2":       {"3.0.1", "3.0.1-rc.4"},
		"1.4-alpine":    {"1.4", "1.4-canary.7", "latest-rc"},
		"2.0.0-rc.1":    {"latest", "rc"},
		"1.0-predicate": {"1.0"},
	} {
		s := &stubRepository{tags: set{head: "A"}}
		for _, tag := range others {
			s.tags[tag] = "A"
		}
		tags, _, err := resolve.ExportImageTags(t.Context(), s, image.NewRepository("reg.example", "app"), true)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range others {
			if tags.Aliases[tag] != head {
				t.Errorf("%s: got an alias of %q, want one of %s", tag, tags.Aliases[tag], head)
			}
		}
		if len(tags.Labels) != 1 || tags.Labels[head] == nil {
			t.Errorf("got labels %v, want those of %s only", tags.Labels, head)
		}
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	s := &stubRepository{tags: set{"latest": "A", "3": "A", "3.0": "A", "3.0.1": "A", "main": "B", "b-2": "B", "x": "C", "y": "C"}}
	for fold, want := range map[bool]string{
		false: `{"labels":{"3":A,"3.0":A,"3.0.1":A,"b-2":B,"latest":A,"main":B,"x":C,"y":C}}`,
		true:  `{"aliases":{"3":"3.0.1","3.0":"3.0.1","latest":"3.0.1","main":"b-2","y":"x"},"labels":{"3.0.1":A,"b-2":B,"x":C}}`,
	} {
		tags, _, err := resolve.ExportImageTags(t.Context(), s, image.NewRepository("reg.example", "app"), fold)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := tags.Write(&b); err != nil {
			t.Fatal(err)
		}
		got := letters(strings.Join(strings.Fields(b.String()), ""))
		for _, l := range "ABC" {
			got = strings.ReplaceAll(got, fmt.Sprintf(`{"digest":"%c"}`, l), string(l))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("fold %v (-want +got):\n%s", fold, diff)
		}
		if read := parse(t, b.String()); len(read.Tags()) != 8 {
			t.Errorf("parsed again: got tags %v, want 8", read.Tags())
		}
	}
}

// chained is the example in the appc proposal for image tags.
const chained = `{"aliases": {"latest": "3.x", "3.x": "3.0.x", "3.0.x": "3.0.1", "3.0.1": "3.0.1-2"},
 "labels":  {"3.0.1-2": {"version": "3.0.1", "build": "2"}, "3.0.1-3": {"version": "3.0.1", "build": "3"}}}`

// parse parses image tags that must have no fault.
func parse(t *testing.T, text string) *imagetags.File {
	t.Helper()
	tags, faults := imagetags.Parse("t.json", []byte(text))
	if tags == nil {
		t.Fatalf("%s: got faults %v, want none", text, faults)
	}
	return tags
}
