package plan

import "iter"

// Group is items that differ only in their tags.
type Group struct {
	*Item          // the first one
	Tags  []string // sorted; empty: the digest without a tag
}

// Groups returns sorted items in groups, for people and reports.
func Groups(items []Item) iter.Seq[*Group] {
	return func(yield func(*Group) bool) {
		for rest := items; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Digest == rest[0].Digest && rest[n].Destination == rest[0].Destination {
				n++
			}
			for _, g := range groupsOf(rest[:n]) {
				if !yield(g) {
					return
				}
			}
			rest = rest[n:]
		}
	}
}

// groupsOf returns the groups of the items of one digest in one repository.
func groupsOf(items []Item) (groups []*Group) {
	if len(items) == 1 && items[0].Tag != "" { // mostly
		return []*Group{{&items[0], []string{items[0].Tag}}}
	}
	at := map[Item]*Group{}
	for i := range items {
		key := items[i]
		key.Tag = ""
		g := at[key]
		if g == nil {
			g = &Group{Item: &items[i]}
			groups = append(groups, g)
		}
		if tag := items[i].Tag; tag != "" {
			at[key] = g
			g.Tags = append(g.Tags, tag)
		}
	}
	return groups
}
