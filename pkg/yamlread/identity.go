package yamlread

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Line is the number of a line in a message. It does not count for Fault.ID.
type Line int32

// withoutLines returns the arguments of a message with zero in place of lines.
func withoutLines(args []any) []any {
	args = slices.Clone(args)
	for i, a := range args {
		if _, ok := a.(Line); ok {
			args[i] = Line(0)
		}
	}
	return args
}

// origin is the node of a fault, and its message without lines.
type origin struct {
	node *yaml.Node
	text string
}

// identify sets the IDs of faults: their text and the entries that they are in.
//
// The same text in another entry has another ID, in any order of the entries.
func (f *File) identify() {
	if len(f.at) == 0 {
		return
	}
	paths := map[*yaml.Node]*step{}
	for _, o := range f.at {
		paths[o.node] = nil
	}
	for _, root := range f.Docs {
		find(root, &step{node: root}, paths)
	}
	for i := range f.Faults {
		if o, ok := f.at[f.Faults[i]]; ok {
			f.Faults[i].ID = hash(paths[o.node].id(), o.text)
		}
	}
	f.at = nil
}

// step is a key or an item on the path from a document to a node.
type step struct {
	parent *step
	node   *yaml.Node
	sum    string // of the path up to here; empty: not computed yet
}

// id returns a hash of the path.
func (s *step) id() string {
	if s == nil {
		return ""
	}
	if s.sum == "" {
		s.sum = hash(s.parent.id(), identity(s.node)...)
	}
	return s.sum
}

// hash returns a short text that stands for others, however long they are.
func hash(parent string, texts ...string) string {
	h := sha256.New()
	for _, text := range append([]string{parent}, texts...) {
		fmt.Fprintf(h, "%d %s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// find sets the paths of the nodes that are keys of paths. It does not follow aliases.
func find(n *yaml.Node, at *step, paths map[*yaml.Node]*step) {
	if _, ok := paths[n]; ok {
		paths[n] = at
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			below := &step{parent: at, node: n.Content[i]}
			find(n.Content[i], below, paths)
			find(n.Content[i+1], below, paths)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			find(item, &step{parent: at, node: item}, paths)
		}
	}
}

// identity returns the texts that distinguish a node from others of its kind: its own
// text, or those of its keys that are neither mappings nor lists.
func identity(n *yaml.Node) []string {
	n = Deref(n)
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	var texts []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		if value := Deref(n.Content[i+1]); value.Kind == yaml.ScalarNode {
			texts = append(texts, n.Content[i].Value+": "+value.Value)
		}
	}
	slices.Sort(texts)
	return texts
}
