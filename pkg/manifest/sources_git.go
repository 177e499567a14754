package manifest

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// gitRevision reads the select by the commits of a branch.
func (r *reader) gitRevision(n *yaml.Node) *GitRevision {
	const what = "gitRevision"
	e := r.known(n, what, "repository", "branch", "walk", "identify", "paths", "maxBehind", "minAbbreviation", "equalTrees")
	if e == nil {
		return nil
	}
	g := &GitRevision{}
	g.Repository, _ = r.required(n, e, "repository", what)
	g.Branch, _ = r.required(n, e, "branch", what)
	g.Walk = r.oneOf(e, "walk", WalkFirstParent, WalkAll)
	if f, ok := e["identify"]; ok {
		g.Identify = r.identify(f)
	}
	g.Paths = values(r, e, "paths", treePath)
	if f, ok := e["maxBehind"]; ok {
		behind := r.number(f.value, "maxBehind", 0, 1<<30)
		g.MaxBehind = &behind
	}
	if f, ok := e["minAbbreviation"]; ok {
		g.MinAbbreviation = r.number(f.value, "minAbbreviation", 4, 40)
	}
	if f, ok := e["equalTrees"]; ok {
		g.NoEqualTrees = !r.boolean(f.value, "equalTrees")
	}
	return g
}

// identify reads how the commit of an image is told.
func (r *reader) identify(f field) *Identify {
	e := r.known(f.value, "identify", "tag", "label", "source")
	if e == nil {
		return nil
	}
	id := &Identify{Label: r.optional(e, "label"), Source: r.optional(e, "source")}
	tag, byTag := e["tag"]
	switch {
	case byTag && id.Label != "":
		r.fault(Broken, f.key, "identify wants tag or label, found both")
	case !byTag && id.Label == "":
		r.fault(Broken, f.key, "identify wants tag or label, found neither")
	case byTag && id.Source != "":
		r.fault(Broken, e["source"].key, "source goes with label alone")
	}
	if !byTag {
		return id
	}
	const what = "identify by tag"
	if e = r.known(tag.value, what, "pattern", "commit", "order"); e == nil {
		return id
	}
	id.Tag = &IdentifyTag{Order: r.optional(e, "order")}
	text, ok := r.required(tag.value, e, "pattern", what)
	if ok {
		_, err := pattern(e["pattern"].value)
		r.refuse(e["pattern"].value, err)
	}
	id.Tag.Pattern = text
	if id.Tag.Commit, ok = r.required(tag.value, e, "commit", what); !ok {
		return id
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return id
	}
	for _, key := range []string{"commit", "order"} {
		if f, given := e[key]; given {
			r.refuse(f.value, groups(re, r.optional(e, key)))
		}
	}
	return id
}

// reference is a group in a template of regexp.Expand.
var reference = regexp.MustCompile(`\$(?:(\w+)|\{(\w+)\})`)

// groups returns an error if a template names a group that re does not have: it would stand for nothing.
func groups(re *regexp.Regexp, template string) error {
	if len(template) > maxTemplate {
		return fmt.Errorf("a template of more than %d bytes", maxTemplate)
	}
	for _, m := range reference.FindAllStringSubmatch(template, -1) {
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

// number returns n as a whole number between least and most.
func (r *reader) number(n *yaml.Node, what string, least, most int) int {
	s := deref(n)
	v, err := strconv.Atoi(s.Value)
	if s.Kind != yaml.ScalarNode || err != nil || quoted(s) || v < least || v > most {
		r.wrong(n, what, fmt.Sprintf("a whole number from %d to %d", least, most))
		return least
	}
	return v
}

// treePath reads a path in a git tree.
func treePath(n *yaml.Node) (string, error) {
	text := path.Clean(deref(n).Value)
	if text == "." || path.IsAbs(text) || text == ".." || strings.HasPrefix(text, "../") {
		return "", errors.New("want a path below the root of the git repository")
	}
	return text, nil
}
