package importer

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// pattern returns the tags that an anchored regular expression selects and deny does not.
// It refuses an expression that selects any number of tags.
//
// n is the node that messages are about, and text the expression as it is in the file.
func (r *reader) pattern(n *yaml.Node, text, anchored string, from repository, deny []*regexp.Regexp) []string {
	tags, exact, ok := finite(anchored)
	if !ok {
		r.anyTags(n, text, from)
		return nil
	}
	tags = slices.DeleteFunc(tags, func(tag string) bool {
		return slices.ContainsFunc(deny, func(re *regexp.Regexp) bool { return re.MatchString(tag) })
	})
	switch {
	case len(tags) > 1:
		r.warn(n, "the pattern %q became the tags %s of %s: remove those that do not exist",
			yamlread.Clip(text), yamlread.Clip(strings.Join(tags, ", ")), from)
	case len(tags) == 1 && !exact:
		r.warn(n, "the pattern %q became the tag %s of %s, although its dot matches any character", yamlread.Clip(text), tags[0], from)
	}
	return tags
}
