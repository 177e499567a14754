package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"cip/pkg/image"
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
	return &ImagesText{text{data}, bare}
}

// Clone returns a copy that can be changed apart.
func (t *ImagesText) Clone() *ImagesText { return &ImagesText{t.text, t.bare} }

// Bytes returns the text.
func (t *ImagesText) Bytes() []byte { return t.text.data }

// Add makes the text want a digest of the image name under tags, among others it
// may have. A new digest goes into the last entry of that name, a new name to the
// end of the list.
func (t *ImagesText) Add(name string, d image.Digest, tags []string) error {
	return t.change("adding "+string(d)+" to "+name, func() error {
		entries, err := t.entries(name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if key, _ := pairOf(child(e, "dmap"), string(d)); key != nil {
				return t.addTags(name, d, tags)
			}
		}
		if len(entries) == 0 {
			return t.addEntry(name, d, tags)
		}
		return t.text.addDigest(entries[len(entries)-1], d, tags)
	}, func(wants map[string][]string) {
		k := name + "@" + string(d)
		for _, tag := range tags {
			if !slices.Contains(wants[k], tag) {
				wants[k] = append(wants[k], tag)
			}
		}
		wants[k] = append([]string{}, wants[k]...)
	})
}

// RemoveTag makes the text want a digest without one of its tags.
func (t *ImagesText) RemoveTag(name string, d image.Digest, tag string) error {
	return t.change("removing "+tag+" from "+string(d)+" of "+name, func() error {
		for {
			key, value := t.digestWith(name, d, tag)
			if key == nil {
				return nil
			}
			if err := t.text.removeItem(key, value, tag); err != nil {
				return err
			}
		}
	}, func(wants map[string][]string) {
		k := name + "@" + string(d)
		wants[k] = slices.DeleteFunc(wants[k], func(s string) bool { return s == tag })
	})
}

// RemoveDigest makes the text not want a digest of the image name.
func (t *ImagesText) RemoveDigest(name string, d image.Digest) error {
	return t.change("removing "+string(d)+" from "+name, func() error {
		for {
			entries, err := t.entries(name)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(entries, func(e *yaml.Node) bool {
				key, _ := pairOf(child(e, "dmap"), string(d))
				return key != nil
			})
			if i < 0 {
				return nil
			}
			if err := t.text.removeDigest(entries[i], d); err != nil {
				return err
			}
		}
	}, func(wants map[string][]string) { delete(wants, name+"@"+string(d)) })
}

// change carries out an edit and holds its result against what was meant.
func (t *ImagesText) change(what string, edit func() error, meant func(map[string][]string)) error {
	before := t.text.data
	want, err := t.Wants()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	meant(want)
	err = edit()
	if err == nil {
		var got map[string][]string
		if got, err = t.Wants(); err == nil && !sameWants(got, want) {
			err = errors.New("the text around it is of a form that cannot be edited")
		}
	}
	if err != nil {
		t.text.data = before
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

// Wants returns the tags of every "name@digest" of the list; none: by digest alone.
func (t *ImagesText) Wants() (map[string][]string, error) {
	_, items, err := t.list()
	if err != nil {
		return nil, err
	}
	r, m := &reader{}, &Manifest{}
	if items != nil {
		list, _ := r.items(items, "images")
		r.images(list, m)
	}
	for _, f := range r.faults {
		if f.Severity == Broken {
			return nil, f
		}
	}
	all := map[string][]string{}
	for _, im := range m.Images {
		for _, d := range im.Digests {
			k := im.Name + "@" + string(d.Digest)
			all[k] = append([]string{}, all[k]...)
			for _, tag := range d.Tags {
				if !slices.Contains(all[k], tag.Name) {
					all[k] = append(all[k], tag.Name)
				}
			}
		}
	}
	return all, nil
}

// list returns the images list, nil if there is none, and what holds it in a plain manifest.
func (t *ImagesText) list() (root, list *yaml.Node, err error) {
	var docs []*yaml.Node
	if err := parse(t.text.data, func(root *yaml.Node) { docs = append(docs, root) }); err != nil {
		return nil, nil, err
	}
	docs = slices.DeleteFunc(docs, isResource)
	if len(docs) > 1 && !t.bare {
		docs = slices.DeleteFunc(docs, func(root *yaml.Node) bool { return child(root, "sources") == nil })
	}
	switch {
	case len(docs) == 0 && t.bare:
		return nil, nil, nil
	case len(docs) != 1:
		return nil, nil, errors.New("want one document with a list of images")
	case t.bare:
		return nil, docs[0], nil
	}
	_, list = pairOf(docs[0], "images")
	return docs[0], list, nil
}

// entries returns the entries of the list that have a name.
func (t *ImagesText) entries(name string) ([]*yaml.Node, error) {
	_, list, err := t.list()
	if err != nil || list == nil {
		return nil, err
	}
	var all []*yaml.Node
	for _, e := range deref(list).Content {
		if scalar(e, "name") == name {
			all = append(all, e)
		}
	}
	return all, nil
}

// addTags adds tags to a digest that the text wants.
func (t *ImagesText) addTags(name string, d image.Digest, tags []string) error {
	for _, tag := range tags {
		if key, _ := t.digestWith(name, d, tag); key != nil {
			continue
		}
		key, value := t.digest(name, d)
		if err := t.text.appendTag(key, value, tag); err != nil {
			return err
		}
	}
	return nil
}

// digest returns the nodes of a digest that the text wants.
func (t *ImagesText) digest(name string, d image.Digest) (key, value *yaml.Node) {
	entries, _ := t.entries(name)
	for _, e := range entries {
		if key, value = pairOf(child(e, "dmap"), string(d)); key != nil {
			return key, value
		}
	}
	return nil, nil
}

// digestWith returns the nodes of a digest where it has a tag.
func (t *ImagesText) digestWith(name string, d image.Digest, tag string) (key, value *yaml.Node) {
	entries, _ := t.entries(name)
	for _, e := range entries {
		if key, value = pairOf(child(e, "dmap"), string(d)); key != nil && slices.Contains(texts(deref(value).Content), tag) {
			return key, value
		}
	}
	return nil, nil
}

// addEntry puts a new entry to the end of the list.
func (t *ImagesText) addEntry(name string, d image.Digest, tags []string) error {
	root, list, err := t.list()
	if err != nil {
		return err
	}
	lines := []string{"- name: " + word(name), "  dmap:", "    " + digestLine(d, tags)}
	switch {
	case list == nil && !t.bare:
		if root.Kind != yaml.MappingNode || len(root.Content) == 0 {
			return errShape
		}
		return t.text.addList(root, lines, flowEntry(root.Content[0], name, d, tags))
	case list == nil || t.bare && null(list):
		t.text.insertLines(len(t.text.data), lines)
		return nil
	case list.Kind == yaml.AliasNode:
		return errAlias
	case len(list.Content) == 0:
		key, _ := pairOf(root, "images")
		if key != nil && root.Style&yaml.FlowStyle != 0 {
			return t.text.setValue(key, list, "["+flowEntry(key, name, d, tags)+"]")
		}
		return t.text.fill(key, list, lines)
	}
	last := list.Content[len(list.Content)-1]
	if list.Style&yaml.FlowStyle != 0 {
		return t.text.insertAfter(last, ", "+flowEntry(deref(last).Content[0], name, d, tags))
	}
	prefix, err := t.text.dash(last)
	if err != nil {
		return err
	}
	at, err := t.text.end(last)
	if err != nil {
		return err
	}
	pad := strings.Repeat(" ", len(prefix))
	lines[0], lines[1], lines[2] = prefix+lines[0][2:], pad+"dmap:", pad+"  "+digestLine(d, tags)
	t.text.insertLines(at, lines)
	return nil
}

// flowEntry returns an entry as it is written in brackets, its keys in the quotes that key has.
func flowEntry(key *yaml.Node, name string, d image.Digest, tags []string) string {
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
func digestLine(d image.Digest, tags []string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%q: [", string(d))
	for i, tag := range tags {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", tag)
	}
	b.WriteString("]")
	return b.String()
}
