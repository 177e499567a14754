package output

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// What comes from registries and files is escaped, and what is not known takes no line.
func TestSourceText(t *testing.T) {
	t.Parallel()
	explanations := []Explanation{
		{
			Source: "m.yaml:3:3", Repository: "s.io/fig", Tag: "1.1", Digest: image.Hash("sha256:b"), Locked: image.Hash("sha256:a"), Notes: []string{"no\x1bte"},
			Candidates: []resolve.Candidate{{Tag: "1.1", Digest: image.Hash("sha256:b"), Chosen: true, Reason: "the highest"}, {Digest: image.Hash("sha256:a"), Reason: "older\n"}},
		},
		{Source: "m.yaml:9:3", Repository: "s.io/pear", Error: "503"},
	}
	wantExplanations := `m.yaml:3:3: s.io/fig
  chosen  1.1
  digest  sha256:b
  locked  sha256:a
  note    no\x1bte
* 1.1       the highest
  sha256:a  older\n

m.yaml:9:3: s.io/pear
  error   503
`
	tags := []ListedTag{
		{Tag: "latest", Path: []string{"latest", "1.x", "1.1"}, Labels: map[string]string{"os": "linux", "arch": "amd64"}},
		{Tag: "old", Path: []string{"old"}, Error: "a circle"},
	}
	wantTags := "TAG     ALIAS OF    LABELS\n" +
		"latest  1.x -> 1.1  arch=amd64, os=linux\n" +
		"old                 error: a circle\n"
	for name, tc := range map[string]struct {
		write func(*strings.Builder) error
		want  string
	}{
		"explanations": {func(b *strings.Builder) error { return WriteExplanations(b, explanations, Text) }, wantExplanations},
		"tags":         {func(b *strings.Builder) error { return WriteTags(b, tags, Text) }, wantTags},
		"tag": {func(b *strings.Builder) error {
			return WriteResolvedTag(b, ResolvedTag{Digest: image.Hash("sha256:a")}, Text)
		}, "sha256:a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := tc.write(&b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, b.String()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTextOrJSON(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Format{"": Text, "Text": Text, "json": JSON} {
		if got, err := TextOrJSON(s, "tag"); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", s, got, err, want)
		}
	}
	const want = `unknown output format "yaml" of a tag: want text or json`
	if _, err := TextOrJSON("yaml", "tag"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
