package resolve

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
)

// ExportImageTags returns image tags with the digest of each tag of a repository.
//
// With fold, the most specific tag of a digest has the label digest, and the others
// become aliases of it. removed lists tags that were deleted during the export.
func ExportImageTags(ctx context.Context, reg Registry, repo name.Repository, fold bool) (t *imagetags.File, removed []string, err error) {
	tags, err := reg.Tags(ctx, repo)
	if err != nil {
		return nil, nil, err
	}
	all, removed, err := digests(ctx, reg, repo, tags)
	if err != nil {
		return nil, nil, err
	}
	t = &imagetags.File{Aliases: map[string]string{}, Labels: map[string]map[string]string{}}
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

// candidateRE matches tags of candidates: a number, then a word for an early version, as
// in 2.0.0-rc.1, 2.0rc1, 1.4-SNAPSHOT and v3.0.0-beta.
var candidateRE = regexp.MustCompile(`(?i)[0-9][-._]?(?:alpha|beta|rc|cr|pre|preview|dev|snapshot|milestone|nightly|canary)(?:[-._]?[0-9]|[-._]|$)`)

// specific orders tags from the least to the most specific.
//
// Tags without digits, such as latest, come first, then candidates of releases, such as
// 3.0.1-rc.1. Then come tags with fewer parts: 3 before 3.0 before 3.0.1-2. The length
// and the name decide between the rest.
func specific(a, b string) int {
	kind := func(tag string) int {
		switch {
		case !strings.ContainsAny(tag, "0123456789"):
			return 1
		case candidateRE.MatchString(tag):
			return 2
		}
		return 3
	}
	parts := func(tag string) int {
		return len(strings.FieldsFunc(tag, func(r rune) bool { return strings.ContainsRune(".-_", r) }))
	}
	return cmp.Or(cmp.Compare(kind(a), kind(b)), cmp.Compare(parts(a), parts(b)), cmp.Compare(len(a), len(b)), strings.Compare(b, a))
}
