package manifest

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"cip/pkg/image"
)

// appendTag adds a tag to the list of a digest.
func (t *text) appendTag(key, value *yaml.Node, tag string) error {
	switch {
	case value.Kind == yaml.AliasNode:
		return errAlias
	case null(value):
		return t.setValue(key, value, "["+word(tag)+"]")
	case len(value.Content) == 0:
		at := t.start(value) + 1
		t.replace(at, at, like(key, tag))
		return nil
	}
	last := value.Content[len(value.Content)-1]
	if value.Style&yaml.FlowStyle != 0 {
		return t.insertAfter(last, ", "+like(last, tag))
	}
	prefix, err := t.dash(last)
	if err != nil {
		return err
	}
	at, err := t.end(last)
	if err == nil {
		t.insertLines(at, []string{prefix + like(last, tag)})
	}
	return err
}

// setValue puts s in place of a value that is null or empty.
func (t *text) setValue(key, value *yaml.Node, s string) error {
	at, err := t.colon(key)
	if err != nil {
		return err
	}
	end := at
	if !t.missing(value) {
		if end, err = t.end(value); err != nil {
			return err
		}
	}
	t.replace(at, end, " "+s)
	return nil
}

// addDigest adds a digest to the dmap of an entry, and a dmap if it has none.
func (t *text) addDigest(entry *yaml.Node, d image.Digest, tags []string) error {
	if entry.Kind == yaml.AliasNode {
		return errAlias
	}
	line := digestLine(d, tags)
	key, dmap := pairOf(entry, "dmap")
	switch {
	case key == nil && child(entry, "dmap") != nil, key != nil && dmap.Kind == yaml.AliasNode:
		return errAlias
	case key == nil:
		return t.addDmap(entry, line)
	case null(dmap) && entry.Style&yaml.FlowStyle == 0:
		pad, err := t.indent(key)
		if err != nil {
			return err
		}
		if err := t.setValue(key, dmap, ""); err != nil {
			return err
		}
		at, err := t.colon(key)
		if err == nil {
			t.replace(at, at+1, "")
			t.insertLines(at, []string{pad + "  " + line})
		}
		return err
	case null(dmap):
		return t.setValue(key, dmap, "{"+line+"}")
	case len(dmap.Content) == 0:
		at := t.start(dmap) + 1
		t.replace(at, at, line)
		return nil
	}
	return t.appendDigest(dmap, d, tags)
}

// addList adds a list of images to a plain manifest that has none: its one entry is
// lines, or flow where the manifest is in brackets.
func (t *text) addList(root *yaml.Node, lines []string, flow string) error {
	first, last := root.Content[0], root.Content[len(root.Content)-1]
	if root.Style&yaml.FlowStyle != 0 {
		if t.missing(last) {
			return errShape
		}
		return t.insertAfter(last, ", "+like(first, "images")+": ["+flow+"]")
	}
	pad, err := t.indent(first)
	if err != nil {
		return err
	}
	at, err := t.end(root)
	if err != nil {
		return err
	}
	all := []string{pad + "images:"}
	for _, line := range lines {
		all = append(all, pad+line)
	}
	t.insertLines(at, all)
	return nil
}

// addDmap adds a dmap to an entry that has none.
func (t *text) addDmap(entry *yaml.Node, line string) error {
	key, name := pairOf(entry, "name")
	if name == nil {
		return errAlias
	}
	if entry.Style&yaml.FlowStyle != 0 {
		return t.insertAfter(name, ", "+like(key, "dmap")+": {"+line+"}")
	}
	pad, err := t.indent(entry.Content[0])
	if err != nil {
		return err
	}
	at, err := t.end(name)
	if err == nil {
		t.insertLines(at, []string{pad + "dmap:", pad + "  " + line})
	}
	return err
}

// appendDigest adds a digest behind the others of a dmap, in their style.
func (t *text) appendDigest(dmap *yaml.Node, d image.Digest, tags []string) error {
	key, value := dmap.Content[len(dmap.Content)-2], dmap.Content[len(dmap.Content)-1]
	line := digestLine(d, tags)
	if dmap.Style&yaml.FlowStyle != 0 {
		if t.missing(value) {
			return t.insertAfter(key, ": [], "+line)
		}
		return t.insertAfter(value, ", "+line)
	}
	pad, err := t.indent(key)
	if err != nil {
		return err
	}
	at, err := t.end(dmap)
	if err != nil {
		return err
	}
	_, list, _ := strings.Cut(line, "\": ")
	lines := []string{pad + like(key, string(d)) + ": " + list}
	if value.Kind == yaml.SequenceNode && value.Style&yaml.FlowStyle == 0 && len(tags) > 0 {
		first := value.Content[0]
		prefix, err := t.dash(first)
		if err != nil {
			return err
		}
		lines[0] = strings.TrimSuffix(lines[0], " "+list)
		for _, tag := range tags {
			lines = append(lines, prefix+like(first, tag))
		}
	}
	t.insertLines(at, lines)
	return nil
}

// removeItem removes a tag from the list of a digest.
func (t *text) removeItem(key, list *yaml.Node, tag string) error {
	if list.Kind == yaml.AliasNode {
		return errAlias
	}
	i := slices.IndexFunc(list.Content, func(n *yaml.Node) bool { return deref(n).Value == tag })
	item := list.Content[i]
	if list.Style&yaml.FlowStyle != 0 {
		return t.removeFlow(list.Content, i, 1)
	}
	if _, err := t.dash(item); err != nil {
		return err
	}
	from, next := t.line(t.start(item))
	t.replace(from, next, "")
	if len(list.Content) > 1 {
		return nil
	}
	at, err := t.colon(key)
	if err == nil {
		t.replace(at, at, " []")
	}
	return err
}

// removeFlow removes the width nodes at i, an item or a key and its value, from a list or mapping in brackets.
func (t *text) removeFlow(nodes []*yaml.Node, i, width int) error {
	last := nodes[i+width-1]
	if t.missing(last) {
		return errShape
	}
	end, err := t.end(last)
	if err != nil {
		return err
	}
	from := t.start(nodes[i])
	switch {
	case i > 0 && t.missing(nodes[i-1]):
		return errShape
	case i > 0:
		if from, err = t.end(nodes[i-1]); err != nil {
			return err
		}
	case i+width < len(nodes):
		end = t.start(nodes[i+width])
	}
	t.replace(from, end, "")
	return nil
}

// removeDigest removes a digest and its tags from the dmap of an entry.
func (t *text) removeDigest(entry *yaml.Node, d image.Digest) error {
	key, dmap := pairOf(entry, "dmap")
	if key == nil || dmap.Kind == yaml.AliasNode {
		return errAlias
	}
	i := slices.IndexFunc(dmap.Content, func(n *yaml.Node) bool { return n.Value == string(d) })
	if dmap.Style&yaml.FlowStyle != 0 {
		return t.removeFlow(dmap.Content, i, 2)
	}
	if _, err := t.indent(dmap.Content[i]); err != nil {
		return err
	}
	at := t.start(dmap.Content[i])
	value := dmap.Content[i+1]
	end, err := t.colon(dmap.Content[i])
	if err == nil && !t.missing(value) {
		end, err = t.end(value)
	}
	if err != nil {
		return err
	}
	from, _ := t.line(at)
	_, next := t.line(end)
	t.replace(from, next, "")
	if len(dmap.Content) > 2 {
		return nil
	}
	if at, err = t.colon(key); err == nil {
		t.replace(at, at, " {}")
	}
	return err
}
