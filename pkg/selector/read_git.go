package selector

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// gitRevision reads the value of gitRevision in a select.
func (r *reader) gitRevision(n *yaml.Node) *GitRevision {
	const what = "gitRevision"
	e := r.Known(n, what, "repository", "branch", "walk", "identify", "paths", "maxBehind", "minAbbreviation", "equalTrees")
	if e == nil {
		return nil
	}
	g := &GitRevision{}
	g.Repository, _ = r.Required(n, e, "repository", what)
	g.Branch, _ = r.Required(n, e, "branch", what)
	g.Walk = r.OneOf(e, "walk", walkFirstParent, WalkAll)
	if f, ok := e["identify"]; ok {
		g.Identify = r.identify(f)
	}
	g.Paths = yamlread.Values(r.File, e, "paths", treePath)
	if f, ok := e["maxBehind"]; ok {
		behind := r.Number(f.Value, "maxBehind", 0, 1<<30)
		g.MaxBehind = &behind
	}
	if f, ok := e["minAbbreviation"]; ok {
		g.MinAbbreviation = r.Number(f.Value, "minAbbreviation", 4, 40)
	}
	if f, ok := e["equalTrees"]; ok {
		g.NoEqualTrees = !r.Boolean(f.Value, "equalTrees")
	}
	return g
}

// identify reads the value of identify.
func (r *reader) identify(f yamlread.Field) *Identify {
	e := r.Known(f.Value, "identify", "tag", "label", "source")
	if e == nil {
		return nil
	}
	id := &Identify{Label: r.Optional(e, "label"), Source: r.Optional(e, "source")}
	tag, byTag := e["tag"]
	switch {
	case byTag && id.Label != "":
		r.Fault(yamlread.Broken, f.Key, "identify wants tag or label, found both")
	case !byTag && id.Label == "":
		r.Fault(yamlread.Broken, f.Key, "identify wants tag or label, found neither")
	case byTag && id.Source != "":
		r.Fault(yamlread.Broken, e["source"].Key, "source is only for label")
	}
	if !byTag {
		return id
	}
	const what = "identify by tag"
	if e = r.Known(tag.Value, what, "pattern", "commit", "order"); e == nil {
		return id
	}
	id.Tag = &IdentifyTag{Order: r.Optional(e, "order")}
	var re *regexp.Regexp
	id.Tag.Pattern, re = r.expression(tag.Value, e, what)
	var ok bool
	if id.Tag.Commit, ok = r.Required(tag.Value, e, "commit", what); !ok || re == nil {
		return id
	}
	for _, key := range []string{"commit", "order"} {
		if f, given := e[key]; given {
			r.Refuse(f.Value, checkGroups(re, r.Optional(e, key)))
		}
	}
	return id
}

// groupReference matches a reference to a group in a template of regexp.Expand.
var groupReference = regexp.MustCompile(`\$(?:(\w+)|\{(\w+)\})`)

// checkGroups returns an error if a template refers to a group that re does not have.
//
// regexp.Expand would replace the reference with nothing.
func checkGroups(re *regexp.Regexp, template string) error {
	if len(template) > maxTemplate {
		return fmt.Errorf("a template of more than %d bytes", maxTemplate)
	}
	for _, m := range groupReference.FindAllStringSubmatch(template, -1) {
		name := m[1] + m[2]
		if n, err := strconv.Atoi(name); err == nil && n <= re.NumSubexp() {
			continue
		}
		if re.SubexpIndex(name) < 0 {
			return fmt.Errorf("the pattern has no group %q", name)
		}
	}
	return nil
}

// treePath parses a path in a git tree.
func treePath(n *yaml.Node) (string, error) {
	text := path.Clean(yamlread.Deref(n).Value)
	if text == "." || path.IsAbs(text) || text == ".." || strings.HasPrefix(text, "../") {
		return "", errors.New("want a path below the root of the git repository")
	}
	return text, nil
}
