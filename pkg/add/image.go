package add

import (
	"context"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// readImage reads what to add of an image that the request names. Everything that the
// request names must exist.
func (c *computation) readImage(ctx context.Context, t *target) (*wanted, error) {
	named := slices.Concat(t.tags, c.request.Tags)
	pins := slices.Concat(t.digests, c.request.Digests)
	selects := len(named) > 0 || c.request.Filter != nil
	if !selects && len(pins) == 0 && !c.request.All {
		return nil, c.hint(ctx, t, nil)
	}
	for _, d := range pins {
		switch _, ok, err := c.reader.Digest(ctx, t.repo, d.String()); {
		case err != nil:
			return nil, err
		case !ok:
			return nil, fmt.Errorf("source %s has no digest %s", t.repo, d)
		}
	}
	tags, err := c.resolve(ctx, t, named)
	if err != nil {
		return nil, err
	}
	for _, tag := range named {
		if d := tags[tag]; len(pins) > 0 && !slices.Contains(pins, d) {
			return nil, fmt.Errorf("tag %s of source %s has digest %s, which is not named", tag, t.repo, d)
		}
	}
	if c.request.Filter != nil || !selects {
		if err := c.readListed(ctx, t, pins, tags); err != nil {
			return nil, err
		}
	}
	w := &wanted{target: t, byDigest: map[v1.Hash][]string{}}
	if !selects {
		for _, d := range pins { // without tags too
			w.byDigest[d] = nil
		}
	}
	for tag, d := range tags {
		w.byDigest[d] = append(w.byDigest[d], tag)
	}
	return w, nil
}

// readListed adds to tags those in the list of an image that the request selects.
func (c *computation) readListed(ctx context.Context, t *target, pins []v1.Hash, tags map[string]v1.Hash) error {
	all, err := c.reader.Tags(ctx, t.repo)
	if err != nil {
		return err
	}
	listed := slices.DeleteFunc(slices.Clone(all), func(tag string) bool { return !c.lists(tag) })
	if c.request.Filter != nil && len(listed)+len(tags) == 0 {
		return c.hint(ctx, t, fmt.Errorf("no tag of source %s matches %s", t.repo, c.request.Filter))
	}
	found, err := c.resolve(ctx, t, listed)
	for tag, d := range found {
		if len(pins) == 0 || slices.Contains(pins, d) {
			tags[tag] = d
		}
	}
	return err
}

// lists reports whether a tag of a listing is added: one that is named or matches the
// filter, or any if nothing selects tags. A tag that is not named is never latest, and
// never that of a signature or another referrer.
func (c *computation) lists(tag string) bool {
	r := c.request
	switch {
	case slices.Contains(r.Tags, tag):
		return true
	case tag == latest || image.IsAttached(tag):
		return false
	case r.Filter != nil:
		return r.Filter.MatchString(tag)
	}
	return len(r.Tags) == 0
}

// resolve reads the digests of tags, all of which must exist.
func (c *computation) resolve(ctx context.Context, t *target, tags []string) (map[string]v1.Hash, error) {
	tags = slices.Compact(slices.Sorted(slices.Values(tags)))
	digests, exist := make([]v1.Hash, len(tags)), make([]bool, len(tags))
	g, ctxTags := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, tag := range tags {
		g.Go(func() (err error) {
			digests[i], exist[i], err = c.reader.Digest(ctxTags, t.repo, tag)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := map[string]v1.Hash{}
	for i, tag := range tags {
		if !exist[i] {
			return nil, c.hint(ctx, t, fmt.Errorf("source %s has no tag %s", t.repo, tag))
		}
		all[tag] = digests[i]
	}
	return all, nil
}

// hint returns an error with the newest tags of an image. err is nil if no tag is named.
func (c *computation) hint(ctx context.Context, t *target, err error) error {
	tags, unread := c.reader.Tags(ctx, t.repo)
	tags = slices.DeleteFunc(slices.Clone(tags), image.IsAttached)
	switch {
	case unread != nil && err != nil:
		return t.near(err) // which says enough
	case unread != nil:
		return t.near(unread)
	case len(tags) == 0 && err == nil:
		return t.near(fmt.Errorf("source %s has no tags", t.repo))
	case len(tags) == 0:
		return t.near(fmt.Errorf("%w: it has no tags", err))
	}
	slices.SortFunc(tags, func(a, b string) int { return image.CompareTags(b, a) })
	newest := image.FirstNames(tags, maxNames)
	if err == nil {
		return fmt.Errorf("no tag of %s is named: source %s has %s: add one as %s:%s, or several with --tag, --filter-tag or --all",
			t.name, t.repo, newest, t.text, tags[0])
	}
	return fmt.Errorf("%w: it has %s", err, newest)
}

// near returns an error about an image that is not in its list with the most similar name that is.
func (t *target) near(err error) error {
	if t.team.has(t.name) {
		return err
	}
	if like := yamlread.Closest(t.name, slices.Sorted(maps.Keys(t.team.images))); like != "" {
		return fmt.Errorf("%w; did you mean %s?", err, like)
	}
	return err
}
