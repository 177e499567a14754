package manifest

import (
	"slices"
	"sort"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"

	"go.yaml.in/yaml/v3"
)

// minSorted is the number of items from which a list counts as sorted, if it is in order.
// Fewer are in some order by chance.
const minSorted = 3

// order is an order that the digests of an image may have.
type order struct {
	rank    func(tags []string) string // the tag by which a digest is compared
	accepts func(tag string) bool      // what must be so for all of them
	compare func(a, b string) int
}

// orders returns the orders of lists that people and tools keep: by version, upwards or
// downwards, or as text by the smallest tag.
func orders() []order {
	highest := func(tags []string) string { return slices.MaxFunc(tags, image.CompareTags) }
	isVersion := func(tag string) bool { _, ok := image.Version(tag); return ok }
	return []order{
		{highest, isVersion, image.CompareTags},
		{highest, isVersion, func(a, b string) int { return image.CompareTags(b, a) }},
		{slices.Min[[]string], func(string) bool { return true }, strings.Compare},
	}
}

// placesOf returns the digests to add at each index of a dmap: in the order of a sorted
// dmap, or else at the end.
func placesOf(dmap *yaml.Node, all []Addition) [][]Addition {
	n := len(dmap.Content) / 2
	groups := make([][]Addition, n+1)
	o, ranks := orderOf(dmap)
	if o == nil {
		groups[n] = all
		return groups
	}
	var others []Addition // without a rank: at the end
	for _, a := range all {
		if len(a.Tags) == 0 || !o.accepts(o.rank(a.Tags)) {
			others = append(others, a)
			continue
		}
		own := o.rank(a.Tags)
		at := sort.Search(n, func(i int) bool { return o.compare(ranks[i], own) > 0 })
		groups[at] = append(groups[at], a)
	}
	for _, group := range groups {
		slices.SortStableFunc(group, func(a, b Addition) int { return o.compare(o.rank(a.Tags), o.rank(b.Tags)) })
	}
	groups[n] = append(groups[n], others...)
	return groups
}

// orderOf returns the order of a dmap and the ranks of its digests. It is nil if there is none.
func orderOf(dmap *yaml.Node) (*order, []string) {
	n := len(dmap.Content) / 2
	if n < minSorted {
		return nil, nil
	}
	lists := make([][]string, n)
	for i := range lists {
		if lists[i] = yamlread.Texts(yamlread.Deref(dmap.Content[2*i+1]).Content); len(lists[i]) == 0 {
			return nil, nil
		}
	}
	for _, o := range orders() {
		ranks := make([]string, n)
		for i, list := range lists {
			ranks[i] = o.rank(list)
		}
		if !slices.ContainsFunc(ranks, func(tag string) bool { return !o.accepts(tag) }) && slices.IsSortedFunc(ranks, o.compare) {
			return &o, ranks
		}
	}
	return nil, nil
}
