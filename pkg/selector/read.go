package selector

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// reader reads selectors from a YAML file.
type reader struct{ *yamlread.File }

// kinds are the keys of select of which exactly one must be set.
var kinds = []string{"tag", "digest", "semver", "numerical", "alphabetical", "newest", "gitRevision", "alias", "labels"}

// Read reads the items of a list as selectors.
//
// registry is the source registry that the names are relative to; nil if the names
// include the host. Bad selectors add faults to f and are left out, and so are
// repeated ones.
func Read(f *yamlread.File, items []*yaml.Node, registry *image.Registry) []*Selector {
	r := &reader{f}
	var all []*Selector
	first := map[string]int32{} // lines, by intent
	for _, n := range items {
		entry, ok := r.selector(n, registry)
		if !ok {
			continue
		}
		intent := entry.Intent()
		if line, again := first[intent]; again {
			r.Fault(yamlread.Warning, n, "the same selector as on line %d", yamlread.Line(line))
			continue
		}
		first[intent] = entry.Pos.Line
		all = append(all, entry)
	}
	return all
}

// AddSources adds selectors and Flux resources of the sources.yaml f.
//
// Names are relative to registry.
func (p *File) AddSources(f *yamlread.File, registry *image.Registry) {
	for _, root := range f.Docs {
		if IsResource(root) {
			continue
		}
		if yamlread.Deref(root).Kind == yaml.MappingNode {
			list, ok := f.Known(root, sourcesName, "sources")["sources"]
			if !ok {
				continue
			}
			root = list.Value
		}
		items, _ := f.Items(root, sourcesName)
		p.Entries = append(p.Entries, Read(f, items, registry)...)
	}
	p.AddFlux(f, registry)
}

// sourcesName is the name of a sources.yaml in messages.
const sourcesName = "sources.yaml"

// selector reads one entry. It returns false if the entry has a fault that is not a warning.
func (r *reader) selector(n *yaml.Node, registry *image.Registry) (*Selector, bool) {
	const what = "a sources entry"
	before := len(r.Faults)
	e := r.Known(n, what, "name", "select", "filterTags", "exclude", "labels", "ref", "tags", "update", "rebase")
	if e == nil {
		return nil, false
	}
	p := &Selector{Pos: r.Pos(n)}
	var named bool
	if p.Name, named = r.Required(n, e, "name", what); named {
		p.Repository = r.repository(e["name"].Value, p.Name, registry)
	}
	if f, ok := e["select"]; ok {
		p.Select = r.selectRule(f)
	} else {
		r.Fault(yamlread.Broken, n, "%s without select", what)
	}
	if f, ok := e["filterTags"]; ok {
		p.Filter = r.filter(f.Value)
	}
	p.Exclude = yamlread.Values(r.File, e, "exclude", pattern)
	if p.Labels = r.labels(e, "labels"); p.Labels != nil && p.Select.Alias == nil {
		r.Fault(yamlread.Broken, e["labels"].Key, "labels is only for a select by alias; to select by labels, put them into select")
	}
	p.Ref = r.Optional(e, "ref")
	p.Tags = yamlread.Values(r.File, e, "tags", tagTemplate)
	p.Update = r.OneOf(e, "update", updateAppend, UpdateReplace)
	p.Output = p.Repository
	if p.Rebase = r.rebase(e); p.Rebase != nil && p.Rebase.To != "" {
		p.Output = r.repository(e["rebase"].Value, p.Rebase.To, registry)
	}
	return p, !slices.ContainsFunc(r.Faults[before:], func(f yamlread.Fault) bool { return f.Severity > yamlread.Warning })
}

// repository returns the repository name below registry. It adds a fault for a bad name.
func (r *reader) repository(n *yaml.Node, name string, registry *image.Registry) name.Repository {
	repo, err := registry.Repository(name)
	r.Refuse(n, err)
	return repo
}

// selectRule reads the value of select.
func (r *reader) selectRule(f yamlread.Field) (s Select) {
	e := r.Known(f.Value, "select", append(slices.Clone(kinds), "imageTags")...)
	if e == nil {
		return s
	}
	var found []string
	for _, name := range kinds {
		if _, ok := e[name]; ok {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		r.Fault(yamlread.Broken, f.Key, "select wants exactly one of %s, found %s", strings.Join(kinds, ", "),
			cmp.Or(strings.Join(found, " and "), "none"))
		return s
	}
	if _, ok := e["imageTags"]; ok && found[0] != "alias" {
		r.Fault(yamlread.Broken, e["imageTags"].Key, "imageTags is only for a select by alias")
	}
	name := found[0]
	switch value := e[name].Value; name {
	case "tag":
		if s.Tag, _ = r.Required(value, e, name, "select"); s.Tag != "" {
			r.Refuse(value, image.CheckTag(s.Tag))
		}
	case "digest":
		if text, _ := r.Required(value, e, name, "select"); text != "" {
			var err error
			s.Digest, err = image.ParseDigest(text)
			r.Refuse(value, err)
		}
	case "semver":
		s.SemVer = r.semver(value)
	case "numerical":
		s.Numerical = r.order(value, name)
	case "alphabetical":
		s.Alphabetical = r.order(value, name)
	case "newest":
		s.Newest = r.newest(value)
	case "gitRevision":
		s.GitRevision = r.gitRevision(value)
	case "alias":
		s.Alias = r.alias(f.Value, e)
	case "labels":
		if s.Labels = r.labels(e, name); len(s.Labels) == 0 {
			r.Fault(yamlread.Broken, e[name].Key, "labels is empty: any image would do")
		}
	}
	return s
}

// labels returns the value of a key that holds labels, or nil if there is no such key.
func (r *reader) labels(e map[string]yamlread.Field, key string) map[string]string {
	f, ok := e[key]
	if !ok {
		return nil
	}
	fields, _ := r.Fields(f.Value, key)
	all := make(map[string]string, len(fields))
	for _, l := range fields {
		text, _ := r.Text(l.Value, "label "+yamlread.Clip(l.Name()))
		if l.Name() == "" {
			r.Fault(yamlread.Broken, l.Key, "%s: a label without a name", key)
		}
		all[l.Name()] = text
	}
	return all
}

// semver reads a mapping {range: TEXT}.
func (r *reader) semver(n *yaml.Node) *SemVer {
	e := r.Known(n, "semver", "range")
	if e == nil {
		return nil
	}
	text, ok := r.Required(n, e, "range", "semver")
	if ok {
		if _, err := semver.NewConstraint(text); err != nil {
			r.Fault(yamlread.Broken, e["range"].Value, "bad range %q: want one such as 1.2.x, ^1.2 or >=1.2, <2", yamlread.Clip(text))
		}
	}
	return &SemVer{Range: text}
}

// order reads a mapping {order: asc} or {order: desc}. Ascending is the default.
func (r *reader) order(n *yaml.Node, what string) *Order {
	if yamlread.IsNull(yamlread.Deref(n)) {
		return &Order{Order: orderAscending}
	}
	e := r.Known(n, what, "order")
	if e == nil {
		return nil
	}
	return &Order{Order: cmp.Or(r.OneOf(e, "order", orderAscending, OrderDescending), orderAscending)}
}

// newest reads an empty mapping, or null.
func (r *reader) newest(n *yaml.Node) *Newest {
	if yamlread.IsNull(yamlread.Deref(n)) {
		return &Newest{}
	}
	if fields, _ := r.Fields(n, "newest"); len(fields) > 0 {
		r.Fault(yamlread.Broken, fields[0].Key, "newest has no keys: want newest: {}")
	}
	return &Newest{}
}

// filter reads the value of filterTags.
func (r *reader) filter(n *yaml.Node) *Filter {
	const what = "filterTags"
	e := r.Known(n, what, "pattern", "extract")
	if e == nil {
		return nil
	}
	text, re := r.expression(n, e, what)
	to := &Filter{Pattern: text, Extract: r.Optional(e, "extract")}
	if re != nil && to.Extract != "" {
		r.Refuse(e["extract"].Value, checkGroups(re, to.Extract))
	}
	return to
}

// expression reads the regular expression at the key pattern. A bad one is nil.
func (r *reader) expression(n *yaml.Node, e map[string]yamlread.Field, subject string) (string, *regexp.Regexp) {
	text, ok := r.Required(n, e, "pattern", subject)
	re, err := compile(text)
	if ok {
		r.Refuse(e["pattern"].Value, err)
	}
	return text, re
}

// alias reads the keys alias and imageTags of a select.
func (r *reader) alias(n *yaml.Node, e map[string]yamlread.Field) *Alias {
	tag, _ := r.Required(n, e, "alias", "select")
	file, _ := r.Required(n, e, "imageTags", "a select by alias")
	return &Alias{Tag: tag, ImageTags: file}
}

// rebase reads rebase, or returns nil if there is no such key.
func (r *reader) rebase(e map[string]yamlread.Field) *Rebase {
	f, ok := e["rebase"]
	if !ok {
		return nil
	}
	if e = r.Known(f.Value, "rebase", "runImage", "localMirrors", "accept", "to"); e == nil {
		return nil
	}
	b := &Rebase{Accept: r.OneOf(e, "accept", "listed", "same-repository", "any")}
	b.LocalMirrors = yamlread.Values(r.File, e, "localMirrors", nonempty)
	b.To, _ = r.Required(f.Value, e, "to", "rebase")
	f, ok = e["runImage"]
	if !ok {
		return b
	}
	if e = r.Known(f.Value, "runImage", "image", "mirrors"); e != nil {
		b.RunImage = &RunImage{Mirrors: yamlread.Values(r.File, e, "mirrors", nonempty)}
		b.RunImage.Image, _ = r.Required(f.Value, e, "image", "runImage")
	}
	return b
}

// compile parses a regular expression (RE2).
func compile(text string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("bad pattern: %w", err)
	}
	return re, nil
}

// pattern parses the text of a regular expression.
func pattern(n *yaml.Node) (string, error) {
	text := yamlread.Deref(n).Value
	_, err := compile(text)
	return text, err
}

// nonempty parses a text that must not be empty.
func nonempty(n *yaml.Node) (string, error) {
	if yamlread.Deref(n).Value == "" {
		return "", errors.New("empty")
	}
	return yamlread.Deref(n).Value, nil
}
