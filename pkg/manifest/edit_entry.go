package manifest

import (
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamledit"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"

	"go.yaml.in/yaml/v3"
)

// addEntry adds a new entry to the list l: in the order of a sorted list, or else at the end.
func (t *ImagesText) addEntry(l *imagesList, name string, all []Addition) error {
	lines := append([]string{"- name: " + yamledit.Word(name), "  dmap:"}, plainLines("    ", all)...)
	switch {
	case l.items == nil && !t.bare:
		if l.root.Kind != yaml.MappingNode || len(l.root.Content) == 0 {
			return yamledit.ErrShape
		}
		return t.addList(l.root, lines, flowEntry(l.root.Content[0], name, all))
	case l.items == nil || t.bare && yamlread.IsNull(l.items):
		t.text.AppendLines(lines)
		return nil
	case l.items.Kind == yaml.AliasNode:
		return yamledit.ErrAlias
	case len(l.items.Content) == 0 && t.bare:
		return t.text.Rewrite(l.items, strings.Join(lines, t.text.LineEnd()))
	case len(l.items.Content) == 0:
		key, _ := yamledit.Pair(l.root, "images")
		if l.root.Style&yaml.FlowStyle != 0 {
			return t.text.SetValue(key, l.items, "["+flowEntry(key, name, all)+"]")
		}
		return t.text.SetLines(key, l.items, lines)
	}
	entries := l.items.Content
	at := placeOfName(entries, name)
	if at == len(entries) || l.items.Style&yaml.FlowStyle != 0 {
		last := entries[len(entries)-1]
		return t.text.Grow(l.items, flowEntry(yamlread.Deref(last).Content[0], name, all), func() ([]string, error) {
			return t.entryLines(entries, len(entries), name, all)
		})
	}
	lines, err := t.entryLines(entries, at, name, all)
	switch {
	case err != nil:
		return err
	case at > 0:
		return t.text.InsertLinesAfter(entries[at-1], lines)
	}
	if lines[0] == "" { // the empty line is between this entry and the next one
		lines = append(lines[1:], "")
	}
	return t.text.InsertLinesBefore(entries[0], lines)
}

// placeOfName returns the index at which a name belongs in a list of entries: that of a
// list with at least minSorted entries in the order of their names, or else the end.
func placeOfName(entries []*yaml.Node, name string) int {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = yamlread.Scalar(e, "name")
	}
	if len(names) < minSorted || !slices.IsSorted(names) {
		return len(entries)
	}
	at, _ := slices.BinarySearch(names, name)
	return at
}

// entryLines returns the lines of an entry at an index of a list, in the style of the one
// before. An empty line comes first if the list has one before its last entry.
func (t *ImagesText) entryLines(entries []*yaml.Node, at int, name string, all []Addition) ([]string, error) {
	model := entries[max(0, at-1)]
	prefix, err := t.text.Dash(model)
	if err != nil {
		return nil, err
	}
	pad := strings.Repeat(" ", len(prefix))
	nameKey, nameValue := yamledit.Pair(model, "name")
	dmapKey, dmap := yamledit.Pair(model, "dmap")
	if nameKey == nil { // an alias or a merged mapping has no text of its own
		nameKey, nameValue = &yaml.Node{}, &yaml.Node{}
	}
	if dmapKey == nil {
		dmapKey = &yaml.Node{}
	}
	lines := []string{
		prefix + yamledit.Like(nameKey, "name") + ": " + yamledit.Like(nameValue, name),
		pad + yamledit.Like(dmapKey, "dmap") + ":",
	}
	if len(entries) > 1 && t.text.SpaceBefore(entries[len(entries)-1]) {
		lines = slices.Insert(lines, 0, "")
	}
	if dmap == nil || dmap.Kind != yaml.MappingNode || len(dmap.Content) == 0 || dmap.Style&yaml.FlowStyle != 0 {
		return append(lines, plainLines(pad+"  ", all)...), nil
	}
	digests, err := t.digestLines(dmap, len(dmap.Content)/2, all)
	return append(lines, digests...), err
}
