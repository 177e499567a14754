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

// imageTagsFile is an image tags file as it is written.
type imageTagsFile struct {
	Aliases map[string]string            `json:"aliases,omitempty"`
	Labels  map[string]map[string]string `json:"labels"`
}

// ExportImageTags returns image tags that say of each tag of a repository which digest
// it has, and the tags that were deleted meanwhile. With fold, tags of one digest are
// aliases of the most specific one.
func ExportImageTags(ctx context.Context, reg Registry, repo name.Repository, fold bool) (t *ImageTags, gone []string, err error) {
	tags, err := reg.Tags(ctx, repo)
	if err != nil {
		return nil, nil, err
	}
	all, gone, err := digests(ctx, reg, repo, slices.Clone(tags))
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
	return t, gone, nil
}

// Write writes the file.
func (t *ImageTags) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(imageTagsFile{t.Aliases, t.Labels})
}

// specific orders tags from moving names to those of one build: names without digits
// come first (latest), then those of fewer parts (3 before 3.0 before 3.0.1-2).
func specific(a, b string) int {
	numbered := func(tag string) int { return min(strings.IndexAny(tag, "0123456789"), 0) }
	parts := func(tag string) int {
		return len(strings.FieldsFunc(tag, func(r rune) bool { return strings.ContainsRune(".-_", r) }))
	}
	return cmp.Or(cmp.Compare(numbered(a), numbered(b)), cmp.Compare(parts(a), parts(b)), cmp.Compare(len(a), len(b)), strings.Compare(b, a))
}
