package manifest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"go.yaml.in/yaml/v3"
)

// ImagesText is the text of a file that holds an images list, to be changed in
// places: comments, quoting, order and repeated names stay as they are. A change
// that cannot be made without touching more is an error, and makes none.
type ImagesText struct {
	text text
	bare bool // an images.yaml; else a plain manifest, of which the document with sources
}

// NewImagesText returns the text of an images.yaml (bare), or of a plain manifest.
func NewImagesText(data []byte, bare bool) *ImagesText {
	return &ImagesText{text{data: data}, bare}
}

// Clone returns a copy that can be changed apart.
func (t *ImagesText) Clone() *ImagesText { return &ImagesText{t.text, t.bare} }

// Bytes returns the text.
func (t *ImagesText) Bytes() []byte { return t.text.data }

// Add makes the text want a digest of the image name under tags, among others it
// may have. A new digest goes into the last entry of that name, a new name to the
// end of the list.
func (t *ImagesText) Add(name string, d v1.Hash, tags []string) error {
	return t.change("adding "+d.String()+" to "+name, func() error {
		l, err := t.read()
		if err != nil {
			return err
		}
		places, entries := l.places(name, d), l.entries(name)
		lack := lacking(places, tags)
		if len(places) > 0 && len(lack) == 0 {
			return nil
		}
		if err := t.text.countable(); err != nil {
			return err
		}
		switch {
		case len(places) > 0:
			return t.text.appendTags(places[0], lack)
		case len(entries) > 0:
			return t.text.addDigest(entries[len(entries)-1], d, tags)
		}
		return t.addEntry(l, name, d, tags)
	}, func(wants map[string][]string) {
		k := name + "@" + d.String()
		all := append([]string{}, wants[k]...)
		for _, tag := range tags {
			if !slices.Contains(all, tag) {
				all = append(all, tag)
			}
		}
		wants[k] = all
	})
}

// RemoveTag makes the text want a digest without one of its tags.
func (t *ImagesText) RemoveTag(name string, d v1.Hash, tag string) error {
	return t.change("removing "+tag+" from "+d.String()+" of "+name, func() error {
		for {
			l, err := t.read()
			if err != nil {
				return err
			}
			places := l.places(name, d)
			i := slices.IndexFunc(places, func(f field) bool { return slices.Contains(texts(deref(f.value).Content), tag) })
			if i < 0 {
				return nil
			}
			if err := t.text.removeItem(places[i].key, places[i].value, tag); err != nil {
				return err
			}
		}
	}, func(wants map[string][]string) {
		k := name + "@" + d.String()
		wants[k] = slices.DeleteFunc(slices.Clone(wants[k]), func(s string) bool { return s == tag })
	})
}

// RemoveDigest makes the text not want a digest of the image name.
func (t *ImagesText) RemoveDigest(name string, d v1.Hash) error {
	return t.change("removing "+d.String()+" from "+name, func() error {
		for {
			l, err := t.read()
			if err != nil {
				return err
			}
			entries := l.entries(name)
			i := slices.IndexFunc(entries, func(e *yaml.Node) bool {
				key, _ := pairOf(child(e, "dmap"), d.String())
				return key != nil
			})
			if i < 0 {
				return nil
			}
			if err := t.text.removeDigest(entries[i], d); err != nil {
				return err
			}
		}
	}, func(wants map[string][]string) { delete(wants, name+"@"+d.String()) })
}

// change carries out an edit and holds its result against what was meant.
func (t *ImagesText) change(what string, edit func() error, meant func(map[string][]string)) error {
	before := t.text
	wants, err := t.Wants()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	want := maps.Clone(wants)
	meant(want)
	err = edit()
	if err == nil {
		var got map[string][]string
		if got, err = t.Wants(); err == nil && !sameWants(got, want) {
			err = errors.New("the text around it is of a form that cannot be edited")
		}
	}
	if err != nil {
		t.text = before
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// sameWants reports whether a and b want the same tags of the same digests.
func sameWants(a, b map[string][]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, tags := range a {
		others, ok := b[k]
		if !ok || !sameSet(tags, others) {
			return false
		}
	}
	return true
}

// Wants returns the tags of every "name@digest" of the list; none: by digest alone. It is not to be changed.
func (t *ImagesText) Wants() (map[string][]string, error) {
	l, err := t.read()
	if err != nil {
		return nil, err
	}
	return l.wants, nil
}

// imagesList is what a text says.
type imagesList struct {
	root  *yaml.Node // what holds the list in a plain manifest
	items *yaml.Node // the list; nil if there is none
	wants map[string][]string
}

// read parses the text, once until it is changed.
func (t *ImagesText) read() (*imagesList, error) {
	if t.text.says != nil {
		return t.text.says, nil
	}
	l, err := t.list()
	if err != nil {
		return nil, err
	}
	if l.wants, err = wantsOf(l.items); err != nil {
		return nil, err
	}
	t.text.says = l
	return l, nil
}

// wantsOf returns the tags of every "name@digest" of a list, which may be nil.
func wantsOf(list *yaml.Node) (map[string][]string, error) {
	r, m := &reader{}, &Manifest{}
	if list != nil {
		r.mark(list)
		items, _ := r.items(list, "images")
		r.images(items, m)
	}
	for _, f := range r.faults {
		if f.Severity == Broken {
			return nil, f
		}
	}
	all := map[string][]string{}
	for _, im := range m.Images {
		for _, d := range im.Digests {
			k := im.Name + "@" + d.Digest.String()
			tags, ok := all[k]
			if !ok {
				tags = make([]string, 0, len(d.Tags))
			}
			for _, tag := range d.Tags {
				if !slices.Contains(tags, tag.Name) {
					tags = append(tags, tag.Name)
				}
			}
			all[k] = tags
		}
	}
	return all, nil
}

// list returns the images list and what holds it.
func (t *ImagesText) list() (*imagesList, error) {
	var docs []*yaml.Node
	if err := parse(t.text.data, func(root *yaml.Node) { docs = append(docs, root) }); err != nil {
		return nil, errors.New("bad YAML") // Plain and Thin report where
	}
	docs = slices.DeleteFunc(docs, isResource)
	if len(docs) > 1 && !t.bare {
		docs = slices.DeleteFunc(docs, func(root *yaml.Node) bool { return child(root, "sources") == nil })
	}
	switch {
	case len(docs) == 0 && t.bare:
		return &imagesList{}, nil
	case len(docs) != 1:
		return nil, errors.New("want one document with a list of images")
	case t.bare:
		return &imagesList{items: docs[0]}, nil
	}
	_, items := pairOf(docs[0], "images")
	return &imagesList{root: docs[0], items: items}, nil
}

// entries returns the entries of the list that have a name.
func (l *imagesList) entries(name string) []*yaml.Node {
	if l.items == nil {
		return nil
	}
	var all []*yaml.Node
	for _, e := range deref(l.items).Content {
		if scalar(e, "name") == name {
			all = append(all, e)
		}
	}
	return all
}

// places returns where the entries of a name have a digest.
func (l *imagesList) places(name string, d v1.Hash) []field {
	var all []field
	for _, e := range l.entries(name) {
		if key, value := pairOf(child(e, "dmap"), d.String()); key != nil {
			all = append(all, field{key, value})
		}
	}
	return all
}

// lacking returns which of some tags none of the places of a digest has, each once.
func lacking(places []field, tags []string) []string {
	var have, lack []string
	for _, f := range places {
		have = append(have, texts(deref(f.value).Content)...)
	}
	for _, tag := range tags {
		if !slices.Contains(have, tag) && !slices.Contains(lack, tag) {
			lack = append(lack, tag)
		}
	}
	return lack
}

// addEntry puts a new entry to the end of the list l, which is the text's.
func (t *ImagesText) addEntry(l *imagesList, name string, d v1.Hash, tags []string) error {
	lines := []string{"- name: " + word(name), "  dmap:", "    " + digestLine(d, tags)}
	switch {
	case l.items == nil && !t.bare:
		if l.root.Kind != yaml.MappingNode || len(l.root.Content) == 0 {
			return errShape
		}
		return t.text.addList(l.root, lines, flowEntry(l.root.Content[0], name, d, tags))
	case l.items == nil || t.bare && null(l.items):
		t.text.insertLines(len(t.text.data), lines)
		return nil
	case l.items.Kind == yaml.AliasNode:
		return errAlias
	case len(l.items.Content) == 0 && t.bare:
		return t.text.rewrite(l.items, strings.Join(lines, t.text.feed()))
	case len(l.items.Content) == 0:
		key, _ := pairOf(l.root, "images")
		if l.root.Style&yaml.FlowStyle != 0 {
			return t.text.setValue(key, l.items, "["+flowEntry(key, name, d, tags)+"]")
		}
		return t.text.setLines(key, l.items, lines)
	}
	last := l.items.Content[len(l.items.Content)-1]
	return t.text.grow(l.items, flowEntry(deref(last).Content[0], name, d, tags), func() ([]string, error) {
		prefix, err := t.text.dash(last)
		pad := strings.Repeat(" ", len(prefix))
		return []string{prefix + "name: " + word(name), pad + "dmap:", pad + "  " + digestLine(d, tags)}, err
	})
}

// flowEntry returns an entry as it is written in brackets, its keys in the quotes that key has.
func flowEntry(key *yaml.Node, name string, d v1.Hash, tags []string) string {
	return fmt.Sprintf("{%s: %q, %s: {%s}}", like(key, "name"), name, like(key, "dmap"), digestLine(d, tags))
}

// errAlias says that what should change stands elsewhere.
var errAlias = errors.New("it is an alias: write it out, since a change would change other places too")

// pairOf returns the key and value of a mapping's own key, not of what it merges.
func pairOf(m *yaml.Node, key string) (k, v *yaml.Node) {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i], m.Content[i+1]
		}
	}
	return nil, nil
}

// digestLine returns a digest and its tags as they are written in a dmap.
func digestLine(d v1.Hash, tags []string) string {
	return fmt.Sprintf("%q: %s", d.String(), tagList(tags))
}

// tagList returns tags as they are written in a dmap.
func tagList(tags []string) string {
	return "[" + strings.Join(alike(&yaml.Node{Style: yaml.DoubleQuotedStyle}, tags), ", ") + "]"
}
