package resolve

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// imageTagsFile is the JSON form of an image tags file.
type imageTagsFile struct {
	Aliases map[string]string            `json:"aliases,omitempty"`
	Labels  map[string]map[string]string `json:"labels"`
}

// ExportImageTags returns image tags with the digest of each tag of a repository.
//
// With fold, the most specific tag of a digest has the label digest, and the others
// become aliases of it. removed lists tags that were deleted during the export.
func ExportImageTags(ctx context.Context, reg Registry, repo name.Repository, fold bool) (t *ImageTags, removed []string, err error) {
	tags, err := reg.Tags(ctx, repo)
	if err != nil {
		return nil, nil, err
	}
	all, removed, err := digests(ctx, reg, repo, slices.Clone(tags))
	if err != nil {
		return nil, nil, err
	}
	t = &ImageTags{Aliases: map[string]string{}, Labels: map[string]map[string]string{}}
	for _, h := range all {
		main := slices.MaxFunc(h.tags, specific)
		for _, tag := range h.tags {
			if fold && tag != main {
				t.Aliases[tag] = main
			} else {
				t.Labels[tag] = map[string]string{"digest": h.digest.String()}
			}
		}
	}
	return t, removed, nil
}

// Write writes t as an image tags file.
func (t *ImageTags) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(imageTagsFile{t.Aliases, t.Labels})
}

// specific orders tags from the least to the most specific.
//
// Tags without digits, such as latest, come first. Then come tags with fewer parts: 3
// before 3.0 before 3.0.1-2. The length and the name decide between the rest.
func specific(a, b string) int {
	numbered := func(tag string) int { return min(strings.IndexAny(tag, "0123456789"), 0) }
	parts := func(tag string) int {
		return len(strings.FieldsFunc(tag, func(r rune) bool { return strings.ContainsRune(".-_", r) }))
	}
	return cmp.Or(cmp.Compare(numbered(a), numbered(b)), cmp.Compare(parts(a), parts(b)), cmp.Compare(len(a), len(b)), strings.Compare(b, a))
}
