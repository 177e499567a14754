package manifest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamledit"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"

	"go.yaml.in/yaml/v3"
)

// ImagesText is the text of a file with an images list, for edits in place.
//
// Comments, quotes, order and repeated names stay as they are. If an edit would have
// to change other text too, it returns an error and changes nothing.
type ImagesText struct {
	text     yamledit.Text
	bare     bool // the file is an images.yaml, not a plain manifest
	document int  // the one to edit, counted from 0; -1: see NewImagesText

	list      *imagesList // the parsed text, as it was after listEdits edits; nil: not parsed
	listEdits int
}

// NewImagesText returns the text of an images.yaml (bare) or of a plain manifest.
//
// Of several documents in a plain manifest, the one with the key sources is edited.
func NewImagesText(data []byte, bare bool) *ImagesText {
	return &ImagesText{text: yamledit.New(data), bare: bare, document: -1}
}

// NewImagesTextOf returns the text with the images list of a manifest, whose content is
// data: an images.yaml, or the plain manifest itself. In that, its own document is edited.
func NewImagesTextOf(m *Manifest, data []byte) *ImagesText {
	return &ImagesText{text: yamledit.New(data), bare: m.Directory != "", document: m.Document}
}

// Clone returns a copy that can be edited independently.
func (t *ImagesText) Clone() *ImagesText {
	other := *t
	return &other
}

// Bytes returns the text. The caller must not modify it.
func (t *ImagesText) Bytes() []byte { return t.text.Bytes() }

// Addition is a digest to add to an image, with its tags.
type Addition struct {
	Digest v1.Hash
	Tags   []string
}

// Add adds digests with tags to the image name.
//
// Tags that a digest has already stay. New digests are added to the last entry of that
// name, a new name to the list. They go to their place in a sorted list, or else to the end.
func (t *ImagesText) Add(name string, all ...Addition) error {
	return t.change("adding to "+name, func() error {
		var fresh []Addition
		for _, a := range all {
			isNew, err := t.addTags(name, a)
			if err != nil {
				return err
			}
			if isNew {
				fresh = append(fresh, a)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		l, err := t.read()
		if err != nil {
			return err
		}
		if err := t.text.CheckLineEnds(); err != nil {
			return err
		}
		if entries := l.entries(name); len(entries) > 0 {
			return t.addDigests(entries[len(entries)-1], fresh)
		}
		return t.addEntry(l, name, fresh)
	}, func(wants map[string][]string) {
		for _, a := range all {
			k := name + "@" + a.Digest.String()
			wants[k] = with(slices.Clone(wants[k]), a.Tags)
		}
	})
}

// addTags adds the tags of a digest that the list has. It reports whether it lacks the digest.
func (t *ImagesText) addTags(name string, a Addition) (isNew bool, err error) {
	l, err := t.read()
	if err != nil {
		return false, err
	}
	digests := l.digests(name, a.Digest)
	missing := missingTags(digests, a.Tags)
	if len(digests) == 0 || len(missing) == 0 {
		return len(digests) == 0, nil
	}
	if err := t.text.CheckLineEnds(); err != nil {
		return false, err
	}
	return false, t.text.AppendItems(digests[0].Key, digests[0].Value, missing)
}

// RemoveTag removes a tag from a digest of the image name. The digest stays.
func (t *ImagesText) RemoveTag(name string, d v1.Hash, tag string) error {
	return t.change("removing "+tag+" from "+d.String()+" of "+name, func() error {
		for {
			l, err := t.read()
			if err != nil {
				return err
			}
			digests := l.digests(name, d)
			i := slices.IndexFunc(digests, func(f yamlread.Field) bool {
				return slices.Contains(yamlread.Texts(yamlread.Deref(f.Value).Content), tag)
			})
			if i < 0 {
				return nil
			}
			if err := t.text.RemoveItem(digests[i].Key, digests[i].Value, tag); err != nil {
				return err
			}
		}
	}, func(wants map[string][]string) {
		k := name + "@" + d.String()
		wants[k] = slices.DeleteFunc(slices.Clone(wants[k]), func(s string) bool { return s == tag })
	})
}

// RemoveDigest removes a digest and its tags from image name.
func (t *ImagesText) RemoveDigest(name string, d v1.Hash) error {
	return t.change("removing "+d.String()+" from "+name, func() error {
		for {
			l, err := t.read()
			if err != nil {
				return err
			}
			entries := l.entries(name)
			i := slices.IndexFunc(entries, func(e *yaml.Node) bool {
				key, _ := yamledit.Pair(yamlread.Child(e, "dmap"), d.String())
				return key != nil
			})
			if i < 0 {
				return nil
			}
			key, dmap := yamledit.Pair(entries[i], "dmap")
			if err := t.text.RemoveKey(key, dmap, d.String()); err != nil {
				return err
			}
		}
	}, func(wants map[string][]string) { delete(wants, name+"@"+d.String()) })
}

// change makes an edit and compares its result with the expected one.
//
// expect changes the wanted tags, by "name@digest", as the edit should. If the result
// is different, the text is restored.
func (t *ImagesText) change(action string, edit func() error, expect func(map[string][]string)) error {
	before := *t
	wants, err := t.Wants()
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	want := maps.Clone(wants)
	expect(want)
	err = edit()
	if err == nil {
		if got, broken := t.Wants(); broken != nil || !sameWants(got, want) {
			err = errors.New("the text around it is of a form that cannot be edited")
		}
	}
	if err != nil {
		*t = before
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}

// sameWants reports whether a and b have the same digests with the same tags.
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

// Wants returns the tags of the list by "name@digest".
//
// A digest without tags has an empty slice. The caller must not modify the map.
func (t *ImagesText) Wants() (map[string][]string, error) {
	l, err := t.read()
	if err != nil {
		return nil, err
	}
	return l.wants, nil
}

// imagesList is the parsed images list of a text.
type imagesList struct {
	root  *yaml.Node // the mapping with the list, in a plain manifest
	items *yaml.Node // the list; nil if there is none
	wants map[string][]string
}

// read parses the text, once after each edit.
func (t *ImagesText) read() (*imagesList, error) {
	if t.list != nil && t.listEdits == t.text.Edits() {
		return t.list, nil
	}
	l, err := t.parse()
	if err != nil {
		return nil, err
	}
	if l.wants, err = wantsOf(l.items); err != nil {
		return nil, err
	}
	t.list, t.listEdits = l, t.text.Edits()
	return l, nil
}

// wantsOf returns the tags of a list by "name@digest". list may be nil.
func wantsOf(list *yaml.Node) (map[string][]string, error) {
	r, m := &reader{&yamlread.File{}}, &Manifest{}
	if list != nil {
		r.File = yamlread.Of(list)
		items, _ := r.Items(list, "images")
		r.images(items, m)
	}
	for _, f := range r.Faults {
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

// parse finds the images list in the text.
func (t *ImagesText) parse() (*imagesList, error) {
	var docs []*yaml.Node
	if err := yamlread.Parse(t.text.Bytes(), func(root *yaml.Node) { docs = append(docs, root) }); err != nil {
		return nil, errors.New("bad YAML") // Plain and Thin report the position
	}
	if !t.bare && t.document >= 0 && t.document < len(docs) {
		docs = docs[t.document : t.document+1]
	}
	docs = slices.DeleteFunc(docs, selector.IsResource)
	if len(docs) > 1 && !t.bare {
		docs = slices.DeleteFunc(docs, func(root *yaml.Node) bool { return yamlread.Child(root, "sources") == nil })
	}
	switch {
	case len(docs) == 0 && t.bare:
		return &imagesList{}, nil
	case len(docs) != 1:
		return nil, errors.New("want one document with a list of images")
	case t.bare:
		return &imagesList{items: docs[0]}, nil
	}
	_, items := yamledit.Pair(docs[0], "images")
	return &imagesList{root: docs[0], items: items}, nil
}

// entries returns the entries of the list with a name.
func (l *imagesList) entries(name string) []*yaml.Node {
	if l.items == nil {
		return nil
	}
	var all []*yaml.Node
	for _, e := range yamlread.Deref(l.items).Content {
		if yamlread.Scalar(e, "name") == name {
			all = append(all, e)
		}
	}
	return all
}

// digests returns the dmap fields of a digest in all entries of a name.
func (l *imagesList) digests(name string, d v1.Hash) []yamlread.Field {
	var all []yamlread.Field
	for _, e := range l.entries(name) {
		if key, value := yamledit.Pair(yamlread.Child(e, "dmap"), d.String()); key != nil {
			all = append(all, yamlread.Field{Key: key, Value: value})
		}
	}
	return all
}

// missingTags returns the tags that none of the dmap fields of a digest has, each once.
func missingTags(digests []yamlread.Field, tags []string) []string {
	var have []string
	for _, f := range digests {
		have = append(have, yamlread.Texts(yamlread.Deref(f.Value).Content)...)
	}
	return with(have, tags)[len(have):]
}

// with returns a list with the texts that it lacks, each once.
func with(list, texts []string) []string {
	for _, text := range texts {
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// flowEntry returns an entry in brackets, its keys in quotes like those of key.
func flowEntry(key *yaml.Node, name string, all []Addition) string {
	return fmt.Sprintf("{%s: %q, %s: {%s}}", yamledit.Like(key, "name"), name, yamledit.Like(key, "dmap"), flowDigests(all))
}

// flowDigests returns digests and their tags for a dmap in brackets.
func flowDigests(all []Addition) string { return strings.Join(plainLines("", all), ", ") }

// plainLines returns a line for each digest and its tags in a dmap.
func plainLines(pad string, all []Addition) []string {
	var lines []string
	for _, a := range all {
		lines = append(lines, fmt.Sprintf("%s%q: %s", pad, a.Digest.String(), yamledit.List(a.Tags)))
	}
	return lines
}
