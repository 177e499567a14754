package manifest

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits on one file, aliases counted wherever they are used.
const (
	maxNodes  = 2_000_000 // values: 600,000 digests with a tag each
	maxMerge  = 100       // merge keys within merge keys
	maxMerged = 1000      // keys and mappings behind the merge keys of a mapping that one key is looked for among
)

// reader walks the nodes of one file and notes what is wrong with them.
type reader struct {
	file   string // as messages call it
	faults []Fault
	nodes  int                     // looked at so far
	outer  map[*yaml.Node]struct{} // documents, and the items of those that are lists: no key says what they are
}

// field is one key of a mapping and its value. The value may be an alias.
type field struct{ key, value *yaml.Node }

// pos returns the place of n.
func (r *reader) pos(n *yaml.Node) Pos {
	return Pos{File: r.file, Line: int32(n.Line), Column: int32(n.Column)}
}

// fault notes that something is wrong at n.
func (r *reader) fault(severity Severity, n *yaml.Node, format string, args ...any) Fault {
	f := Fault{Pos: r.pos(n), Severity: severity, Message: fmt.Sprintf(format, args...)}
	r.faults = append(r.faults, f)
	return f
}

// wrong adds a fault: n, which messages call what, has the wrong type. A scalar without a key
// is not quoted: the file may be any file, such as a token that a symbolic link leads to.
func (r *reader) wrong(n *yaml.Node, what, want string) {
	found := describe(n)
	if _, ok := r.outer[n]; ok && deref(n).Kind == yaml.ScalarNode {
		found = "text"
	}
	r.fault(Broken, n, "%s: want %s, found %s", what, want, found)
}

// visit counts the parts of n and reports whether they may be looked at.
func (r *reader) visit(n *yaml.Node, parts int) bool {
	if r.nodes > maxNodes {
		return false
	}
	r.nodes += 1 + parts
	if r.nodes > maxNodes {
		r.fault(Broken, n, "more than %d values, those behind aliases counted each time", maxNodes)
		return false
	}
	return true
}

// fields returns the fields of the mapping n, those of merge keys behind its own, and whether n is a mapping.
// Its keys are quoted in messages if one of them is in names, or if there are no names: any key will do.
func (r *reader) fields(n *yaml.Node, what string, names ...string) ([]field, bool) {
	return r.merged(n, what, names, 0)
}

func (r *reader) merged(n *yaml.Node, what string, names []string, depth int) ([]field, bool) {
	m := deref(n)
	if m.Kind != yaml.MappingNode {
		r.wrong(n, what, "a mapping")
		return nil, false
	}
	if depth > maxMerge {
		r.fault(Broken, n, "more than %d merge keys within each other", maxMerge)
		r.nodes = maxNodes + 1
	}
	if !r.visit(n, len(m.Content)) {
		return nil, false
	}
	fields := make([]field, 0, len(m.Content)/2)
	first := make(map[string]int32, len(m.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := deref(m.Content[i]), m.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.wrong(m.Content[i], "a key", "text")
			continue
		}
		if key.Tag == "!!merge" && len(merges) > 0 {
			r.fault(Broken, m.Content[i], "duplicate key %q: several mappings are merged as a list", key.Value)
			continue
		}
		if key.Tag == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if line, ok := first[key.Value]; ok {
			r.fault(Broken, m.Content[i], "duplicate key%s: the first is on line %d", quoteKey(m, key.Value, names), line)
			continue
		}
		first[key.Value] = int32(m.Content[i].Line)
		fields = append(fields, field{m.Content[i], value})
	}
	for _, from := range r.mergeSources(merges) {
		more, _ := r.merged(from, "a merge key", names, depth+1)
		for _, f := range more {
			if _, ok := first[f.name()]; !ok {
				first[f.name()] = int32(f.key.Line)
				fields = append(fields, f)
			}
		}
	}
	return fields, true
}

// mergeSources returns the mappings that merge keys name, one by one or as lists.
func (r *reader) mergeSources(merges []*yaml.Node) []*yaml.Node {
	var sources []*yaml.Node
	for _, n := range merges {
		if deref(n).Kind != yaml.SequenceNode {
			sources = append(sources, n)
			continue
		}
		list, _ := r.items(n, "a merge key")
		sources = append(sources, list...)
	}
	return sources
}

// lookup returns a field of a mapping, its own or one of a merge key. Faults are for those who read all fields to
// tell; since a large mapping may be merged into each of many, what is merged beyond maxMerged is not looked at.
func lookup(n *yaml.Node, key string) (field, bool) {
	left := maxMerged
	for todo := []*yaml.Node{n}; len(todo) > 0 && left > 0; {
		m := todo[0]
		todo = todo[1:]
		if m == nil || deref(m).Kind != yaml.MappingNode {
			continue
		}
		if m != n {
			left -= 1 + len(deref(m).Content)/2
		}
		found, merges := own(deref(m), key)
		if found.value != nil {
			return found, true
		}
		todo = append(slices.Clone(merges[:min(len(merges), max(left, 0))]), todo...)
	}
	return field{}, false
}

// own returns a field that stands in the mapping m itself, and the mappings that its merge key names.
func own(m *yaml.Node, name string) (found field, merges []*yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := deref(m.Content[i]), m.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
		case key.Tag != "!!merge" && key.Value == name:
			return field{m.Content[i], value}, nil
		case key.Tag == "!!merge" && merges == nil && deref(value).Kind == yaml.SequenceNode:
			merges = deref(value).Content
		case key.Tag == "!!merge" && merges == nil:
			merges = []*yaml.Node{value}
		}
	}
	return field{}, merges
}

// known returns the fields of a mapping that can only have certain keys; nil if n is no mapping.
func (r *reader) known(n *yaml.Node, what string, names ...string) map[string]field {
	fields, ok := r.fields(n, what, names...)
	if !ok {
		return nil
	}
	byName := make(map[string]field, len(fields))
	ours := slices.ContainsFunc(fields, func(f field) bool { return isLike(f.name(), names) })
	for _, f := range fields {
		byName[f.name()] = f
		switch hint, ok := closest(f.name(), names); {
		case ok:
		case ours:
			r.fault(Broken, f.key, "%s: unknown key %q%s", what, clip(f.name()), hint)
		default:
			r.fault(Broken, f.key, "%s: unknown key: want %s", what, strings.Join(names, ", "))
		}
	}
	return byName
}

// quoteKey returns a key of the mapping m as messages quote it, after a space; "" if none of the
// keys is like one of names, so that the mapping may be that of any file.
func quoteKey(m *yaml.Node, key string, names []string) string {
	ours := len(names) == 0
	for i := 0; i+1 < len(m.Content) && !ours; i += 2 {
		ours = isLike(deref(m.Content[i]).Value, names)
	}
	if !ours {
		return ""
	}
	return fmt.Sprintf(" %q", clip(key))
}

// isLike reports whether key is one of names, or may be meant as one.
func isLike(key string, names []string) bool {
	hint, ok := closest(key, names)
	return ok || hint != ""
}

// items returns the items of the list n, and whether n is one. Null is an empty list.
func (r *reader) items(n *yaml.Node, what string) ([]*yaml.Node, bool) {
	l := deref(n)
	if null(l) {
		return nil, true
	}
	if l.Kind != yaml.SequenceNode {
		r.wrong(n, what, "a list")
		return nil, false
	}
	if !r.visit(n, len(l.Content)) {
		return nil, false
	}
	return l.Content, true
}

// text returns the scalar n as it is written, and whether n is one. Null is "".
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	s := deref(n)
	if s.Kind != yaml.ScalarNode {
		r.wrong(n, what, "text")
		return "", false
	}
	if null(s) {
		return "", true
	}
	return s.Value, true
}

// required returns the text of a key that has to be there, and whether it is.
func (r *reader) required(n *yaml.Node, e map[string]field, key, what string) (string, bool) {
	f, ok := e[key]
	if !ok {
		r.fault(Broken, n, "%s without %s", what, key)
		return "", false
	}
	text, ok := r.text(f.value, key)
	if ok && text == "" {
		r.fault(Broken, f.key, "%s without %s: it is empty", what, key)
		return "", false
	}
	return text, ok
}

// name returns the key.
func (f field) name() string { return deref(f.key).Value }

// deref returns what an alias stands for.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// null reports whether n, which is no alias, is null.
func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// quoted reports whether the scalar n is certainly text.
func quoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// describe says what n is, for messages.
func describe(n *yaml.Node) string {
	n = deref(n)
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case null(n):
		return "null"
	case quoted(n):
		return fmt.Sprintf("quoted text %q", clip(n.Value))
	}
	return fmt.Sprintf("the value %q", clip(n.Value))
}

// clip bounds foreign text in a message, in bytes.
func clip(s string) string {
	const most = 140
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
