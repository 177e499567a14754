package add

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// atOnce is the number of images, and of tags of an image, that are read at the same time.
// The pace of their host limits the requests.
const atOnce = 32

// wanted is an image with the digests and tags to add.
type wanted struct {
	*target

	byDigest map[v1.Hash][]string
}

// read returns what to add to which image, ordered by files and names.
func (c *computation) read(ctx context.Context) ([]*wanted, error) {
	if c.request.Snapshot != nil {
		c.reader = &snapshotReader{teams: c.teams, snapshot: c.request.Snapshot}
	}
	images, regions, err := c.targets()
	if err != nil {
		return nil, err
	}
	found := make([][]*wanted, len(images)+len(regions))
	errs := make([]error, len(found)) // of all, so that one run reports all
	g := &errgroup.Group{}
	g.SetLimit(atOnce)
	for i, t := range images {
		g.Go(func() error {
			w, err := c.readImage(ctx, t)
			found[i], errs[i] = []*wanted{w}, err
			return nil
		})
	}
	for i, r := range regions {
		g.Go(func() error {
			found[len(images)+i], errs[len(images)+i] = c.readRegion(ctx, r)
			return nil
		})
	}
	_ = g.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return merge(slices.Concat(found...)), nil
}

// merge returns one wanted image for each image of a list, in the order of files and names.
func merge(all []*wanted) []*wanted {
	slices.SortStableFunc(all, func(a, b *wanted) int { return slices.Compare(a.key(), b.key()) })
	var merged []*wanted
	for _, w := range all {
		last := len(merged) - 1
		if last < 0 || !slices.Equal(merged[last].key(), w.key()) {
			merged = append(merged, w)
			continue
		}
		for d, tags := range w.byDigest {
			merged[last].byDigest[d] = append(merged[last].byDigest[d], tags...)
		}
	}
	return merged
}

// key returns what images are ordered by. No two images of one list have the same.
func (w *wanted) key() []string {
	return []string{w.team.path, w.team.Source.Name.String(), w.name}
}

// sorted returns the digests in the order in which they are added: by version, upwards.
func (w *wanted) sorted() []v1.Hash {
	highest := func(d v1.Hash) string {
		if len(w.byDigest[d]) == 0 {
			return ""
		}
		return slices.MaxFunc(w.byDigest[d], image.CompareTags)
	}
	return slices.SortedFunc(maps.Keys(w.byDigest), func(a, b v1.Hash) int {
		return cmp.Or(image.CompareTags(highest(a), highest(b)), image.CompareDigests(a, b))
	})
}

// tags returns the tags of a digest in the order in which they are added: versions, others,
// latest.
func (w *wanted) tags(d v1.Hash) []string {
	group := func(tag string) int {
		_, isVersion := image.Version(tag)
		switch {
		case isVersion:
			return 1
		case tag != latest:
			return 2
		}
		return 3
	}
	tags := slices.Clone(w.byDigest[d])
	slices.SortFunc(tags, func(a, b string) int { return cmp.Or(group(a)-group(b), image.CompareTags(a, b)) })
	return slices.Compact(tags)
}
