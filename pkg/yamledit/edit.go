package yamledit

import (
	"bytes"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Grow appends to a list or mapping: flow if it is in brackets, or else lines.
//
// lines is called only if the list or mapping is a block.
func (t *Text) Grow(n *yaml.Node, flow string, lines func() ([]string, error)) error {
	if len(n.Content) == 0 {
		at := t.start(n) + 1
		t.replace(at, at, flow)
		return nil
	}
	if n.Style&yaml.FlowStyle != 0 {
		last := n.Content[len(n.Content)-1]
		if t.Missing(last) {
			return ErrShape
		}
		return t.InsertAfter(last, t.separator(n)+flow)
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

// AppendItems appends texts to the list that is the value of key.
func (t *Text) AppendItems(key, list *yaml.Node, texts []string) error {
	model := key
	switch {
	case list.Kind == yaml.AliasNode:
		return ErrAlias
	case yamlread.IsNull(list):
		return t.SetValue(key, list, "["+strings.Join(alike(&yaml.Node{}, texts), ", ")+"]")
	case len(list.Content) > 0:
		model = list.Content[len(list.Content)-1]
	}
	all := alike(model, texts)
	return t.Grow(list, strings.Join(all, t.separator(list)), func() ([]string, error) {
		prefix, err := t.Dash(model)
		for i := range all {
			all[i] = prefix + all[i]
		}
		return all, err
	})
}

// List returns texts as a list in brackets, each text in double quotes.
func List(texts []string) string {
	return "[" + strings.Join(alike(&yaml.Node{Style: yaml.DoubleQuotedStyle}, texts), ", ") + "]"
}

// ListLike returns texts as a list in brackets, with the quotes and spaces of the list n.
//
// If n is nil, or has several lines, the list is one of List.
func (t *Text) ListLike(n *yaml.Node, texts []string) string {
	if n == nil || len(texts) == 0 {
		return List(texts)
	}
	from := t.start(n)
	to, err := t.closing(from)
	if err != nil || bytes.IndexByte(t.data[from:to], '\n') >= 0 {
		return List(texts)
	}
	inside := string(t.data[from+1 : to-1])
	left := inside[:len(inside)-len(strings.TrimLeft(inside, " "))]
	right := inside[len(strings.TrimRight(inside, " ")):]
	return "[" + left + strings.Join(alike(n.Content[0], texts), t.separator(n)) + right + "]"
}

// separator returns the text between the items of a list in brackets: "," where the last two
// have no space between them, or else ", ".
func (t *Text) separator(list *yaml.Node) string {
	if last := len(list.Content) - 1; last > 0 {
		if end, err := t.end(list.Content[last-1]); err == nil && string(t.data[end:t.start(list.Content[last])]) == "," {
			return ","
		}
	}
	return ", "
}

// alike returns texts in quotes like those of n.
//
// If n has none, all texts after the first one that needs quotes get them.
func alike(n *yaml.Node, texts []string) []string {
	before := yaml.Node{Style: n.Style}
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = Like(&before, text)
		if strings.HasPrefix(all[i], `"`) {
			before.Style = yaml.DoubleQuotedStyle
		}
	}
	return all
}

// RemoveItem removes the item text from the list that is the value of key.
func (t *Text) RemoveItem(key, list *yaml.Node, text string) error {
	if list.Kind == yaml.AliasNode {
		return ErrAlias
	}
	if err := t.CheckLineEnds(); err != nil {
		return err
	}
	i := slices.IndexFunc(list.Content, func(n *yaml.Node) bool { return yamlread.Deref(n).Value == text })
	item := list.Content[i]
	if list.Style&yaml.FlowStyle != 0 {
		return t.removeFlow(list.Content, i, 1)
	}
	if _, err := t.Dash(item); err != nil {
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

// removeFlow removes width nodes at index i from a list or mapping in brackets.
//
// nodes is the content of the list or mapping.
func (t *Text) removeFlow(nodes []*yaml.Node, i, width int) error {
	last := nodes[i+width-1]
	if t.Missing(last) {
		return ErrShape
	}
	end, err := t.end(last)
	if err != nil {
		return err
	}
	from := t.start(nodes[i])
	switch {
	case i > 0 && t.Missing(nodes[i-1]):
		return ErrShape
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

// RemoveKey removes the key name and its value from the mapping that is the value of key.
func (t *Text) RemoveKey(key, mapping *yaml.Node, name string) error {
	if key == nil || mapping.Kind == yaml.AliasNode {
		return ErrAlias
	}
	if err := t.CheckLineEnds(); err != nil {
		return err
	}
	i := slices.IndexFunc(mapping.Content, func(n *yaml.Node) bool { return n.Value == name })
	if mapping.Style&yaml.FlowStyle != 0 {
		return t.removeFlow(mapping.Content, i, 2)
	}
	if _, err := t.Indent(mapping.Content[i]); err != nil {
		return err
	}
	at := t.start(mapping.Content[i])
	end, err := t.pairEnd(mapping.Content[i], mapping.Content[i+1])
	if err != nil {
		return err
	}
	from, _ := t.line(at)
	_, next := t.line(end)
	t.replace(from, next, "")
	if len(mapping.Content) > 2 {
		return nil
	}
	if at, err = t.colon(key); err == nil {
		t.replace(at, at, " {}")
	}
	return err
}

// pairEnd returns the offset after a key and its value.
func (t *Text) pairEnd(key, value *yaml.Node) (int, error) {
	if t.Missing(value) {
		return t.colon(key)
	}
	return t.end(value)
}

// InsertLinesAfterPair inserts lines after the last line of a key and its value.
func (t *Text) InsertLinesAfterPair(key, value *yaml.Node, lines []string) error {
	at, err := t.pairEnd(key, value)
	if err == nil {
		t.insertLines(at, lines)
	}
	return err
}

// InsertLinesBefore inserts lines before the line of n, which must begin with n or its dash.
func (t *Text) InsertLinesBefore(n *yaml.Node, lines []string) error {
	if _, err := t.Indent(n); err != nil {
		return err
	}
	from, _ := t.line(t.start(n))
	feed := t.LineEnd()
	t.replace(from, from, strings.Join(lines, feed)+feed)
	return nil
}

// SpaceBefore reports whether an empty line is before n, or before the comments above it.
func (t *Text) SpaceBefore(n *yaml.Node) bool {
	at, _ := t.line(t.start(n))
	for at > 0 {
		from, _ := t.line(at - 1)
		switch line := bytes.TrimSpace(t.data[from:at]); {
		case len(line) == 0:
			return true
		case line[0] != '#':
			return false
		}
		at = from
	}
	return false
}

// Pair returns the node of a mapping's key and that of its value.
//
// It ignores merge keys, because their text belongs to other mappings. Both are nil
// if there is no such key.
func Pair(m *yaml.Node, key string) (k, v *yaml.Node) {
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
