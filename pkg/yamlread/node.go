package yamlread

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Deref returns the node that an alias refers to, or n itself.
func Deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// IsNull reports whether n is null. It does not follow aliases.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// IsQuoted reports whether the scalar n is written as text: in quotes, or as a block.
func IsQuoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// Describe returns a description of n for messages.
func Describe(n *yaml.Node) string {
	n = Deref(n)
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case IsNull(n):
		return "null"
	case IsQuoted(n):
		return fmt.Sprintf("quoted text %q", Clip(n.Value))
	}
	return fmt.Sprintf("the value %q", Clip(n.Value))
}

// Clip shortens untrusted text for a message.
func Clip(s string) string {
	const most = 140 // bytes
	return image.Clip(s, most)
}

// Texts returns the texts of the scalars in a list, each once.
func Texts(items []*yaml.Node) []string {
	var all []string
	seen := make(map[string]struct{}, len(items))
	for _, n := range items {
		s := Deref(n)
		if _, ok := seen[s.Value]; s.Kind == yaml.ScalarNode && !ok {
			seen[s.Value] = struct{}{}
			all = append(all, s.Value)
		}
	}
	return all
}

// Lookup returns a field of a mapping, its own or one of a merge key.
//
// It adds no faults; Fields does. A large mapping may be merged into many others, so
// Lookup stops after maxMerged keys and mappings behind merge keys.
func Lookup(n *yaml.Node, key string) (Field, bool) {
	left := maxMerged
	for todo := []*yaml.Node{n}; len(todo) > 0 && left > 0; {
		m := todo[0]
		todo = todo[1:]
		if m == nil || Deref(m).Kind != yaml.MappingNode {
			continue
		}
		if m != n {
			left -= 1 + len(Deref(m).Content)/2
		}
		found, merges := ownField(Deref(m), key)
		if found.Value != nil {
			return found, true
		}
		todo = append(slices.Clone(merges[:min(len(merges), max(left, 0))]), todo...)
	}
	return Field{}, false
}

// ownField returns a field of the mapping m, or else the mappings that m merges.
func ownField(m *yaml.Node, key string) (found Field, merges []*yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, value := Deref(m.Content[i]), m.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
		case k.Tag != "!!merge" && k.Value == key:
			return Field{m.Content[i], value}, nil
		case k.Tag == "!!merge" && merges == nil && Deref(value).Kind == yaml.SequenceNode:
			merges = Deref(value).Content
		case k.Tag == "!!merge" && merges == nil:
			merges = []*yaml.Node{value}
		}
	}
	return Field{}, merges
}

// Child returns the node at a path of keys below a mapping, or nil.
func Child(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		f, ok := Lookup(n, key)
		if !ok {
			return nil
		}
		n = f.Value
	}
	return n
}

// Scalar returns the text at a path of keys below a mapping, or "".
func Scalar(n *yaml.Node, keys ...string) string {
	if n = Child(n, keys...); n == nil || Deref(n).Kind != yaml.ScalarNode || IsNull(Deref(n)) {
		return ""
	}
	return Deref(n).Value
}
