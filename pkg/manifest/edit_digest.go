package manifest

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"go.yaml.in/yaml/v3"
)

// grow adds to the end of a list or mapping: flow where it is in brackets, else lines.
func (t *text) grow(n *yaml.Node, flow string, lines func() ([]string, error)) error {
	if len(n.Content) == 0 {
		at := t.start(n) + 1
		t.replace(at, at, flow)
		return nil
	}
	if n.Style&yaml.FlowStyle != 0 {
		last := n.Content[len(n.Content)-1]
		if t.missing(last) {
			return errShape
		}
		return t.insertAfter(last, ", "+flow)
	}
	all, err := lines()
	if err != nil {
		return err
	}
	at, err := t.end(n)
	if err == nil {
		t.insertLines(at, all)
	}
	return err
}

// appendTags adds tags to the list of a digest.
func (t *text) appendTags(digest field, tags []string) error {
	list, model := digest.value, digest.key
	switch {
	case list.Kind == yaml.AliasNode:
		return errAlias
	case null(list):
		return t.setValue(digest.key, list, "["+strings.Join(alike(&yaml.Node{}, tags), ", ")+"]")
	case len(list.Content) > 0:
		model = list.Content[len(list.Content)-1]
	}
	all := alike(model, tags)
	return t.grow(list, strings.Join(all, ", "), func() ([]string, error) {
		prefix, err := t.dash(model)
		for i := range all {
			all[i] = prefix + all[i]
		}
		return all, err
	})
}

// alike returns tags in the quotes that n has, or else in quotes from the first one on that needs them.
func alike(n *yaml.Node, tags []string) []string {
	before := yaml.Node{Style: n.Style}
	all := make([]string, len(tags))
	for i, tag := range tags {
		all[i] = like(&before, tag)
		if strings.HasPrefix(all[i], `"`) {
			before.Style = yaml.DoubleQuotedStyle
		}
	}
	return all
}

// addDigest adds a digest to the dmap of an entry, and a dmap if it has none.
func (t *text) addDigest(entry *yaml.Node, d v1.Hash, tags []string) error {
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
		return t.setLines(key, dmap, []string{pad + "  " + line})
	case null(dmap):
		return t.setValue(key, dmap, "{"+line+"}")
	case dmap.Style&yaml.FlowStyle != 0 && len(dmap.Content) > 0 && t.missing(dmap.Content[len(dmap.Content)-1]):
		return t.insertAfter(dmap.Content[len(dmap.Content)-2], ": [], "+line)
	}
	return t.grow(dmap, line, func() ([]string, error) { return t.digestLines(dmap, d, tags) })
}

// addList adds a list of images to a plain manifest that has none: its one entry is
// lines, or flow where the manifest is in brackets.
func (t *text) addList(root *yaml.Node, lines []string, flow string) error {
	first := root.Content[0]
	return t.grow(root, like(first, "images")+": ["+flow+"]", func() ([]string, error) {
		pad, err := t.indent(first)
		all := []string{pad + "images:"}
		for _, line := range lines {
			all = append(all, pad+line)
		}
		return all, err
	})
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

// digestLines returns a digest as it is written behind the others of a dmap, in the style of the last.
func (t *text) digestLines(dmap *yaml.Node, d v1.Hash, tags []string) ([]string, error) {
	key, value := dmap.Content[len(dmap.Content)-2], dmap.Content[len(dmap.Content)-1]
	pad, err := t.indent(key)
	if err != nil {
		return nil, err
	}
	head := pad + like(key, d.String()) + ":"
	if value.Kind != yaml.SequenceNode || value.Style&yaml.FlowStyle != 0 || len(tags) == 0 {
		return []string{head + " " + tagList(tags)}, nil
	}
	first := value.Content[0]
	prefix, err := t.dash(first)
	lines := []string{head}
	for _, tag := range tags {
		lines = append(lines, prefix+like(first, tag))
	}
	return lines, err
}

// removeItem removes a tag from the list of a digest.
func (t *text) removeItem(key, list *yaml.Node, tag string) error {
	if list.Kind == yaml.AliasNode {
		return errAlias
	}
	if err := t.countable(); err != nil {
		return err
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
func (t *text) removeDigest(entry *yaml.Node, d v1.Hash) error {
	key, dmap := pairOf(entry, "dmap")
	if key == nil || dmap.Kind == yaml.AliasNode {
		return errAlias
	}
	if err := t.countable(); err != nil {
		return err
	}
	i := slices.IndexFunc(dmap.Content, func(n *yaml.Node) bool { return n.Value == d.String() })
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
