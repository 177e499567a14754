package manifest

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamledit"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"

	"go.yaml.in/yaml/v3"
)

// addDigest adds a digest to the dmap of an entry, or adds a dmap with it.
func (t *ImagesText) addDigest(entry *yaml.Node, d v1.Hash, tags []string) error {
	if entry.Kind == yaml.AliasNode {
		return yamledit.ErrAlias
	}
	line := digestLine(d, tags)
	key, dmap := yamledit.Pair(entry, "dmap")
	switch {
	case key == nil && yamlread.Child(entry, "dmap") != nil, key != nil && dmap.Kind == yaml.AliasNode:
		return yamledit.ErrAlias
	case key == nil:
		return t.addDmap(entry, line)
	case yamlread.IsNull(dmap) && entry.Style&yaml.FlowStyle == 0:
		pad, err := t.text.Indent(key)
		if err != nil {
			return err
		}
		return t.text.SetLines(key, dmap, []string{pad + "  " + line})
	case yamlread.IsNull(dmap):
		return t.text.SetValue(key, dmap, "{"+line+"}")
	case dmap.Style&yaml.FlowStyle != 0 && len(dmap.Content) > 0 && t.text.Missing(dmap.Content[len(dmap.Content)-1]):
		return t.text.InsertAfter(dmap.Content[len(dmap.Content)-2], ": [], "+line)
	}
	at := placeOfDigest(dmap, tags)
	if pairs := len(dmap.Content) / 2; at == pairs || dmap.Style&yaml.FlowStyle != 0 {
		return t.text.Grow(dmap, line, func() ([]string, error) { return t.digestLines(dmap, pairs, d, tags) })
	}
	lines, err := t.digestLines(dmap, at, d, tags)
	switch {
	case err != nil:
		return err
	case at == 0:
		return t.text.InsertLinesBefore(dmap.Content[0], lines)
	}
	return t.text.InsertLinesAfterPair(dmap.Content[2*at-2], dmap.Content[2*at-1], lines)
}

// addList adds a list of images to a plain manifest that has none.
//
// The only entry of the list is lines, or flow if the manifest is in brackets.
func (t *ImagesText) addList(root *yaml.Node, lines []string, flow string) error {
	first := root.Content[0]
	return t.text.Grow(root, yamledit.Like(first, "images")+": ["+flow+"]", func() ([]string, error) {
		pad, err := t.text.Indent(first)
		all := []string{pad + "images:"}
		for _, line := range lines {
			all = append(all, pad+line)
		}
		return all, err
	})
}

// addDmap adds a dmap with one line to an entry that has none.
func (t *ImagesText) addDmap(entry *yaml.Node, line string) error {
	key, name := yamledit.Pair(entry, "name")
	if name == nil {
		return yamledit.ErrAlias
	}
	if entry.Style&yaml.FlowStyle != 0 {
		return t.text.InsertAfter(name, ", "+yamledit.Like(key, "dmap")+": {"+line+"}")
	}
	pad, err := t.text.Indent(entry.Content[0])
	if err != nil {
		return err
	}
	return t.text.InsertLinesAfter(name, []string{pad + "dmap:", pad + "  " + line})
}

// digestLines returns the lines of a digest at an index of a dmap, in the style of the one before.
func (t *ImagesText) digestLines(dmap *yaml.Node, at int, d v1.Hash, tags []string) ([]string, error) {
	at = max(0, at-1)
	key, value := dmap.Content[2*at], dmap.Content[2*at+1]
	pad, err := t.text.Indent(key)
	if err != nil {
		return nil, err
	}
	head := pad + yamledit.Like(key, d.String()) + ":"
	if value.Kind != yaml.SequenceNode || value.Style&yaml.FlowStyle != 0 || len(tags) == 0 {
		return []string{head + " " + t.text.ListLike(tagsModel(dmap, at), tags)}, nil
	}
	first := value.Content[0]
	prefix, err := t.text.Dash(first)
	lines := []string{head}
	for _, tag := range tags {
		lines = append(lines, prefix+yamledit.Like(first, tag))
	}
	return lines, err
}

// tagsModel returns the list of tags at an index of a dmap or the nearest one before it
// that is not empty and in brackets, or nil.
func tagsModel(dmap *yaml.Node, at int) *yaml.Node {
	for ; at >= 0; at-- {
		if n := dmap.Content[2*at+1]; n.Kind == yaml.SequenceNode && n.Style&yaml.FlowStyle != 0 && len(n.Content) > 0 {
			return n
		}
	}
	return nil
}

// removeDigest removes a digest and its tags from the dmap of an entry.
func (t *ImagesText) removeDigest(entry *yaml.Node, d v1.Hash) error {
	key, dmap := yamledit.Pair(entry, "dmap")
	return t.text.RemoveKey(key, dmap, d.String())
}
