package manifest

import (
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamledit"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"

	"go.yaml.in/yaml/v3"
)

// addDigests adds digests to the dmap of an entry, or adds a dmap with them.
func (t *ImagesText) addDigests(entry *yaml.Node, all []Addition) error {
	if entry.Kind == yaml.AliasNode {
		return yamledit.ErrAlias
	}
	key, dmap := yamledit.Pair(entry, "dmap")
	switch {
	case key == nil && yamlread.Child(entry, "dmap") != nil, key != nil && dmap.Kind == yaml.AliasNode:
		return yamledit.ErrAlias
	case key == nil:
		return t.addDmap(entry, all)
	case (yamlread.IsNull(dmap) || len(dmap.Content) == 0) && entry.Style&yaml.FlowStyle == 0:
		pad, err := t.text.Indent(key)
		if err != nil {
			return err
		}
		return t.text.SetLines(key, dmap, plainLines(pad+"  ", all))
	case yamlread.IsNull(dmap):
		return t.text.SetValue(key, dmap, "{"+flowDigests(all)+"}")
	case dmap.Style&yaml.FlowStyle != 0 && len(dmap.Content) > 0 && t.text.Missing(dmap.Content[len(dmap.Content)-1]):
		return t.text.InsertAfter(dmap.Content[len(dmap.Content)-2], ": [], "+flowDigests(all))
	case dmap.Style&yaml.FlowStyle != 0 || len(dmap.Content) == 0:
		return t.text.Grow(dmap, flowDigests(all), nil)
	}
	groups := placesOf(dmap, all)
	for at := len(groups) - 1; at >= 0; at-- { // the last first: an insertion keeps the positions before it
		if len(groups[at]) == 0 {
			continue
		}
		lines, err := t.digestLines(dmap, at, groups[at])
		switch {
		case err != nil:
		case at == 0:
			err = t.text.InsertLinesBefore(dmap.Content[0], lines)
		default:
			err = t.text.InsertLinesAfterPair(dmap.Content[2*at-2], dmap.Content[2*at-1], lines)
		}
		if err != nil {
			return err
		}
	}
	return nil
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

// addDmap adds a dmap to an entry that has none.
func (t *ImagesText) addDmap(entry *yaml.Node, all []Addition) error {
	key, name := yamledit.Pair(entry, "name")
	if name == nil {
		return yamledit.ErrAlias
	}
	if entry.Style&yaml.FlowStyle != 0 {
		return t.text.InsertAfter(name, ", "+yamledit.Like(key, "dmap")+": {"+flowDigests(all)+"}")
	}
	pad, err := t.text.Indent(entry.Content[0])
	if err != nil {
		return err
	}
	return t.text.InsertLinesAfter(name, append([]string{pad + "dmap:"}, plainLines(pad+"  ", all)...))
}

// digestLines returns the lines of digests at an index of a dmap, in the style of the one before.
func (t *ImagesText) digestLines(dmap *yaml.Node, at int, all []Addition) ([]string, error) {
	at = max(0, at-1)
	key, value := dmap.Content[2*at], dmap.Content[2*at+1]
	pad, err := t.text.Indent(key)
	if err != nil {
		return nil, err
	}
	block := value.Kind == yaml.SequenceNode && value.Style&yaml.FlowStyle == 0
	var lines []string
	for _, a := range all {
		head := pad + yamledit.Like(key, a.Digest.String()) + ":"
		if !block || len(a.Tags) == 0 {
			lines = append(lines, head+" "+t.text.ListLike(tagsModel(dmap, at), a.Tags))
			continue
		}
		first := value.Content[0]
		prefix, err := t.text.Dash(first)
		if err != nil {
			return nil, err
		}
		lines = append(lines, head)
		for _, tag := range a.Tags {
			lines = append(lines, prefix+yamledit.Like(first, tag))
		}
	}
	return lines, nil
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
