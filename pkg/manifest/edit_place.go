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

// placeOfDigest returns the index at which a digest with tags belongs in a dmap: that of a
// sorted dmap, or else the end.
func placeOfDigest(dmap *yaml.Node, tags []string) int {
	n := len(dmap.Content) / 2
	if n < minSorted || len(tags) == 0 {
		return n
	}
	lists := make([][]string, n)
	for i := range lists {
		if lists[i] = yamlread.Texts(yamlread.Deref(dmap.Content[2*i+1]).Content); len(lists[i]) == 0 {
			return n
		}
	}
	for _, o := range orders() {
		if at, ok := o.place(lists, tags); ok {
			return at
		}
	}
	return n
}

// place returns the index at which tags belong among lists of tags, if these are in order.
func (o *order) place(lists [][]string, tags []string) (int, bool) {
	ranks := make([]string, len(lists))
	for i, list := range lists {
		ranks[i] = o.rank(list)
	}
	own := o.rank(tags)
	refused := func(tag string) bool { return !o.accepts(tag) }
	if slices.ContainsFunc(append(slices.Clone(ranks), own), refused) || !slices.IsSortedFunc(ranks, o.compare) {
		return 0, false
	}
	return sort.Search(len(ranks), func(i int) bool { return o.compare(ranks[i], own) > 0 }), true
}
