package manifest

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
)

// selectors are the keys of which a select has exactly one.
var selectors = []string{"tag", "digest", "semver", "numerical", "alphabetical", "gitRevision", "alias", "labels"}

// producers reads a list of producers, whose names are below registry.
func (r *reader) producers(items []*yaml.Node, registry *image.Registry) (all []*Producer) {
	first := map[string]int32{}
	for _, n := range items {
		entry, ok := r.producer(n, registry)
		if !ok {
			continue
		}
		intent := entry.Intent()
		if line, again := first[intent]; again {
			r.fault(Warning, n, "the same source as on line %d", line)
			continue
		}
		first[intent] = entry.Pos.Line
		all = append(all, entry)
	}
	return all
}

// producer reads one entry. It returns false if something in it is bad.
func (r *reader) producer(n *yaml.Node, registry *image.Registry) (*Producer, bool) {
	const what = "a sources entry"
	before := len(r.faults)
	e := r.known(n, what, "name", "select", "filterTags", "exclude", "labels", "ref", "tags", "update", "rebase")
	if e == nil {
		return nil, false
	}
	p := &Producer{Pos: r.pos(n)}
	var named bool
	if p.Name, named = r.required(n, e, "name", what); named {
		p.Repository = r.repository(e["name"].value, p.Name, registry)
	}
	if f, ok := e["select"]; ok {
		p.Select = r.selection(f)
	} else {
		r.fault(Broken, n, "%s without select", what)
	}
	p.Filter = r.filter(e)
	p.Exclude = values(r, e, "exclude", pattern)
	if p.Labels = r.labels(e, "labels"); p.Labels != nil && p.Select.Alias == nil {
		r.fault(Broken, e["labels"].key, "labels goes with a select by alias; to select by labels alone, put them into select")
	}
	p.Ref = r.optional(e, "ref")
	p.Tags = values(r, e, "tags", tagTemplate)
	p.Update = r.oneOf(e, "update", UpdateAppend, UpdateReplace)
	p.Output = p.Repository
	if p.Rebase = r.rebase(e); p.Rebase != nil && p.Rebase.To != "" {
		p.Output = r.repository(e["rebase"].value, p.Rebase.To, registry)
	}
	return p, !slices.ContainsFunc(r.faults[before:], func(f Fault) bool { return f.Severity > Warning })
}

// repository returns the repository called name, and notes a fault if it can be none.
func (r *reader) repository(n *yaml.Node, name string, registry *image.Registry) name.Repository {
	repo, err := registry.Repository(name)
	r.refuse(n, err)
	return repo
}

// selection reads a select.
func (r *reader) selection(f field) (s Select) {
	e := r.known(f.value, "select", append(slices.Clone(selectors), "imageTags")...)
	if e == nil {
		return s
	}
	var found []string
	for _, name := range selectors {
		if _, ok := e[name]; ok {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		r.fault(Broken, f.key, "select wants exactly one of %s, found %s", strings.Join(selectors, ", "),
			cmp.Or(strings.Join(found, " and "), "none"))
		return s
	}
	if _, ok := e["imageTags"]; ok && found[0] != "alias" {
		r.fault(Broken, e["imageTags"].key, "imageTags goes with alias alone")
	}
	name := found[0]
	switch value := e[name].value; name {
	case "tag":
		if s.Tag, _ = r.required(value, e, name, "select"); s.Tag != "" {
			r.refuse(value, image.CheckTag(s.Tag))
		}
	case "digest":
		text, _ := r.required(value, e, name, "select")
		if text != "" {
			d, err := image.ParseDigest(text)
			r.refuse(value, err)
			s.Digest = d
		}
	case "semver":
		s.SemVer = r.semver(value)
	case "numerical":
		s.Numerical = r.order(value, name)
	case "alphabetical":
		s.Alphabetical = r.order(value, name)
	case "gitRevision":
		s.GitRevision = r.gitRevision(value)
	case "alias":
		s.Alias = r.alias(f.value, e)
	case "labels":
		if s.Labels = r.labels(e, name); len(s.Labels) == 0 {
			r.fault(Broken, e[name].key, "labels is empty: any image would do")
		}
	}
	return s
}

// refuse notes err as a fault of n.
func (r *reader) refuse(n *yaml.Node, err error) {
	if err != nil {
		r.fault(Broken, n, "%v", err)
	}
}

// optional returns the text of a key that may be missing.
func (r *reader) optional(e map[string]field, key string) string {
	f, ok := e[key]
	if !ok {
		return ""
	}
	text, _ := r.text(f.value, key)
	return text
}

// oneOf returns the text of a key that is missing or one of words.
func (r *reader) oneOf(e map[string]field, key string, words ...string) string {
	text := r.optional(e, key)
	if text != "" && !slices.Contains(words, text) {
		r.fault(Broken, e[key].value, "bad %s %q: want %s", key, clip(text), strings.Join(words, " or "))
	}
	return text
}

// labels returns the mapping of text to text of a key that may be missing.
func (r *reader) labels(e map[string]field, key string) map[string]string {
	f, ok := e[key]
	if !ok {
		return nil
	}
	fields, _ := r.fields(f.value, key)
	all := make(map[string]string, len(fields))
	for _, l := range fields {
		text, _ := r.text(l.value, "label "+clip(l.name()))
		if l.name() == "" {
			r.fault(Broken, l.key, "%s: a label without a name", key)
		}
		all[l.name()] = text
	}
	return all
}

// semver reads {range: TEXT}.
func (r *reader) semver(n *yaml.Node) *SemVer {
	e := r.known(n, "semver", "range")
	if e == nil {
		return nil
	}
	text, ok := r.required(n, e, "range", "semver")
	if ok {
		if _, err := semver.NewConstraint(text); err != nil {
			r.fault(Broken, e["range"].value, "bad range %q: %v", clip(text), err)
		}
	}
	return &SemVer{Range: text}
}

// order reads {order: asc}, which may be empty.
func (r *reader) order(n *yaml.Node, what string) *Order {
	if null(deref(n)) {
		return &Order{Order: OrderAscending}
	}
	e := r.known(n, what, "order")
	if e == nil {
		return nil
	}
	o := &Order{Order: r.oneOf(e, "order", OrderAscending, OrderDescending)}
	if o.Order == "" {
		o.Order = OrderAscending
	}
	return o
}

// filter reads filterTags.
func (r *reader) filter(e map[string]field) *Filter {
	f, ok := e["filterTags"]
	if !ok {
		return nil
	}
	if e = r.known(f.value, "filterTags", "pattern", "extract"); e == nil {
		return nil
	}
	text, ok := r.required(f.value, e, "pattern", "filterTags")
	if ok {
		_, err := pattern(e["pattern"].value)
		r.refuse(e["pattern"].value, err)
	}
	to := &Filter{Pattern: text, Extract: r.optional(e, "extract")}
	if re, err := regexp.Compile(text); err == nil && to.Extract != "" {
		r.refuse(e["extract"].value, groups(re, to.Extract))
	}
	return to
}

// alias reads the keys of a select by alias.
func (r *reader) alias(n *yaml.Node, e map[string]field) *Alias {
	tag, _ := r.required(n, e, "alias", "select")
	file, _ := r.required(n, e, "imageTags", "a select by alias")
	return &Alias{Tag: tag, ImageTags: file}
}

// rebase reads a rebase.
func (r *reader) rebase(e map[string]field) *Rebase {
	f, ok := e["rebase"]
	if !ok {
		return nil
	}
	if e = r.known(f.value, "rebase", "runImage", "localMirrors", "accept", "to"); e == nil {
		return nil
	}
	b := &Rebase{Accept: r.oneOf(e, "accept", "listed", "same-repository", "any")}
	b.LocalMirrors = values(r, e, "localMirrors", nonempty)
	b.To, _ = r.required(f.value, e, "to", "rebase")
	f, ok = e["runImage"]
	if !ok {
		return b
	}
	if e = r.known(f.value, "runImage", "image", "mirrors"); e != nil {
		b.RunImage = &RunImage{Mirrors: values(r, e, "mirrors", nonempty)}
		b.RunImage.Image, _ = r.required(f.value, e, "image", "runImage")
	}
	return b
}

// pattern reads a regular expression (RE2).
func pattern(n *yaml.Node) (string, error) {
	text := deref(n).Value
	if _, err := regexp.Compile(text); err != nil {
		return "", fmt.Errorf("bad pattern: %w", err)
	}
	return text, nil
}

// nonempty reads text that cannot be empty.
func nonempty(n *yaml.Node) (string, error) {
	if deref(n).Value == "" {
		return "", errors.New("empty")
	}
	return deref(n).Value, nil
}
