package yamlread

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits of one file. What is behind an alias counts at every use.
const (
	MaxNodes  = 2_000_000 // values; enough for 600,000 digests with a tag each
	maxMerge  = 100       // nested merge keys
	maxMerged = 1000      // keys and mappings that Lookup visits behind the merge keys of a mapping
)

// Field is one key of a mapping and its value.
//
// Both may be aliases.
type Field struct{ Key, Value *yaml.Node }

// Name returns the text of the key.
func (f Field) Name() string { return Deref(f.Key).Value }

// Pos returns the position of a node.
func (f *File) Pos(n *yaml.Node) Pos {
	return Pos{File: f.Display, Line: int32(n.Line), Column: int32(n.Column)}
}

// Fault adds and returns a fault at a node.
func (f *File) Fault(severity Severity, n *yaml.Node, format string, args ...any) Fault {
	fault := Fault{Pos: f.Pos(n), Severity: severity, Message: fmt.Sprintf(format, args...)}
	f.Faults = append(f.Faults, fault)
	if f.at == nil {
		f.at = map[Fault]origin{}
	}
	f.at[fault] = origin{n, fmt.Sprintf(format, withoutLines(args)...)}
	return fault
}

// Whole adds a fault of the whole file.
func (f *File) Whole(severity Severity, format string, args ...any) {
	f.Faults = append(f.Faults, Fault{Pos: Pos{File: f.Display}, Severity: severity, Message: fmt.Sprintf(format, args...)})
}

// Refuse adds a Broken fault at a node if err is not nil.
func (f *File) Refuse(n *yaml.Node, err error) {
	if err != nil {
		f.Fault(Broken, n, "%v", err)
	}
}

// WrongType adds a fault: n, which messages call subject, has the wrong type.
//
// A scalar without a key is not quoted. The file may be any file, such as a token
// that a symbolic link leads to.
func (f *File) WrongType(n *yaml.Node, subject, want string) {
	found := Describe(n)
	if _, ok := f.outer[n]; ok && Deref(n).Kind == yaml.ScalarNode {
		found = "text"
	}
	f.Fault(Broken, n, "%s: want %s, found %s", subject, want, found)
}

// visit counts n and its parts. It returns false if the file has more than MaxNodes.
func (f *File) visit(n *yaml.Node, parts int) bool {
	if f.nodes > MaxNodes {
		return false
	}
	f.nodes += 1 + parts
	if f.nodes > MaxNodes {
		f.Fault(Broken, n, "more than %d values, those behind aliases counted each time", MaxNodes)
		return false
	}
	return true
}

// Fields returns the fields of the mapping n, with those of its merge keys last.
//
// It returns false if n is not a mapping. Messages quote a key only if one of the
// keys is in names, or if names is empty, which allows all keys.
func (f *File) Fields(n *yaml.Node, subject string, names ...string) ([]Field, bool) {
	return f.fields(n, subject, names, 0)
}

// fields is Fields for a mapping behind a number of merge keys.
func (f *File) fields(n *yaml.Node, subject string, names []string, depth int) ([]Field, bool) {
	m := Deref(n)
	if m.Kind != yaml.MappingNode {
		f.WrongType(n, subject, "a mapping")
		return nil, false
	}
	if depth > maxMerge {
		f.Fault(Broken, n, "more than %d merge keys within each other", maxMerge)
		f.nodes = MaxNodes + 1
	}
	if !f.visit(n, len(m.Content)) {
		return nil, false
	}
	fields := make([]Field, 0, len(m.Content)/2)
	first := make(map[string]Line, len(m.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := Deref(m.Content[i]), m.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			f.WrongType(m.Content[i], "a key", "text")
			continue
		}
		if key.Tag == "!!merge" && len(merges) > 0 {
			f.Fault(Broken, m.Content[i], "duplicate key %q: several mappings are merged as a list", key.Value)
			continue
		}
		if key.Tag == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if line, ok := first[key.Value]; ok {
			f.Fault(Broken, m.Content[i], "duplicate key%s: the first is on line %d", quoteKey(m, key.Value, names), line)
			continue
		}
		first[key.Value] = Line(m.Content[i].Line)
		fields = append(fields, Field{m.Content[i], value})
	}
	for _, merged := range f.mergedMappings(merges) {
		more, _ := f.fields(merged, "a merge key", names, depth+1)
		for _, field := range more {
			if _, ok := first[field.Name()]; !ok {
				first[field.Name()] = Line(field.Key.Line)
				fields = append(fields, field)
			}
		}
	}
	return fields, true
}

// mergedMappings returns the mappings that merge keys name, one by one or as lists.
func (f *File) mergedMappings(merges []*yaml.Node) []*yaml.Node {
	var mappings []*yaml.Node
	for _, n := range merges {
		if Deref(n).Kind != yaml.SequenceNode {
			mappings = append(mappings, n)
			continue
		}
		list, _ := f.Items(n, "a merge key")
		mappings = append(mappings, list...)
	}
	return mappings
}

// Known returns the fields of a mapping that may only have the keys in names.
//
// It adds a fault for every other key. It returns nil if n is not a mapping.
func (f *File) Known(n *yaml.Node, subject string, names ...string) map[string]Field {
	fields, ok := f.Fields(n, subject, names...)
	if !ok {
		return nil
	}
	byName := make(map[string]Field, len(fields))
	ours := slices.ContainsFunc(fields, func(field Field) bool { return isLike(field.Name(), names) })
	for _, field := range fields {
		byName[field.Name()] = field
		switch hint, ok := closest(field.Name(), names); {
		case ok:
		case ours:
			f.Fault(Broken, field.Key, "%s: unknown key %q%s", subject, Clip(field.Name()), hint)
		default:
			f.Fault(Broken, field.Key, "%s: unknown key: want %s", subject, strings.Join(names, ", "))
		}
	}
	return byName
}

// quoteKey returns a key in quotes, after a space.
//
// It returns "" if none of the keys of m is similar to one of names. The mapping
// may then be that of any file.
func quoteKey(m *yaml.Node, key string, names []string) string {
	ours := len(names) == 0
	for i := 0; i+1 < len(m.Content) && !ours; i += 2 {
		ours = isLike(Deref(m.Content[i]).Value, names)
	}
	if !ours {
		return ""
	}
	return fmt.Sprintf(" %q", Clip(key))
}

// isLike reports whether key is one of names or similar to one.
func isLike(key string, names []string) bool {
	hint, ok := closest(key, names)
	return ok || hint != ""
}

// Items returns the items of the list n.
//
// It returns false if n is not a list. Null is an empty list.
func (f *File) Items(n *yaml.Node, subject string) ([]*yaml.Node, bool) {
	l := Deref(n)
	if IsNull(l) {
		return nil, true
	}
	if l.Kind != yaml.SequenceNode {
		f.WrongType(n, subject, "a list")
		return nil, false
	}
	if !f.visit(n, len(l.Content)) {
		return nil, false
	}
	return l.Content, true
}
