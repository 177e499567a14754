package add

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// region is a registry all of whose images are added, or a snapshot.
type region struct {
	text  string // for messages
	root  image.Registry
	team  *team // nil: each image belongs to the team of its repository
	whole bool  // the snapshot of the request, whose names are those of lists
}

// readRegion reads what to add of all images of a region. Everything that the request names
// must be in one of them.
func (c *computation) readRegion(ctx context.Context, r region) ([]*wanted, error) {
	images := c.request.Snapshot
	if !r.whole {
		var err error
		if images, err = c.reader.Below(ctx, r.root, c.lists); err != nil {
			return nil, err
		}
	}
	var all []*wanted
	var faults []error
	for _, im := range images {
		byDigest := c.selected(im.Digests)
		if len(byDigest) == 0 {
			continue
		}
		t, err := c.targetIn(r, im.Name)
		switch {
		case err != nil:
			faults = append(faults, err)
		case t != nil:
			all = append(all, &wanted{target: t, byDigest: byDigest})
		}
	}
	if more := len(faults) - maxNames; more > 0 {
		faults = append(faults[:maxNames], fmt.Errorf("%d more images of %s belong to no team", more, r.text))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return all, c.lacks(r, all)
}

// selected returns those of digests and tags that the request selects. Digests without tags
// are not: they may be the platforms of an index.
func (c *computation) selected(all []inventory.Tagged) map[v1.Hash][]string {
	byDigest := map[v1.Hash][]string{}
	for _, d := range all {
		if len(c.request.Digests) > 0 && !slices.Contains(c.request.Digests, d.Digest) {
			continue
		}
		for _, tag := range d.Tags {
			if c.lists(tag) {
				byDigest[d.Digest] = append(byDigest[d.Digest], tag)
			}
		}
	}
	return byDigest
}

// lacks returns an error if none of the images has what the request names.
func (c *computation) lacks(r region, all []*wanted) error {
	tags, digests := map[string]struct{}{}, map[v1.Hash]struct{}{}
	for _, w := range all {
		for d, list := range w.byDigest {
			digests[d] = struct{}{}
			for _, tag := range list {
				tags[tag] = struct{}{}
			}
		}
	}
	for _, tag := range c.request.Tags {
		if _, ok := tags[tag]; !ok {
			return fmt.Errorf("no image of %s has tag %s", r.text, tag)
		}
	}
	for _, d := range c.request.Digests {
		if _, ok := digests[d]; !ok {
			return fmt.Errorf("no image of %s has digest %s with a tag that is added", r.text, d)
		}
	}
	switch {
	case len(all) > 0:
		return nil
	case c.request.Filter != nil:
		return fmt.Errorf("no image of %s has a tag that matches %s (%s and tags of signatures are added only where they are named)", r.text, c.request.Filter, latest)
	}
	return fmt.Errorf("no image of %s has a tag (%s and tags of signatures are added only where they are named)", r.text, latest)
}

// targetIn returns the target of an image in a region, or nil if it is in no source.
func (c *computation) targetIn(r region, text string) (*target, error) {
	if r.whole {
		team, below, err := c.find(text)
		if err != nil {
			return nil, err
		}
		return newTarget(team, below, text)
	}
	repo, err := image.NewRegistry(r.root.RegistryStr(), "").Repository(text)
	if err != nil {
		return nil, err
	}
	if !c.owned(repo) {
		return nil, nil //nolint:nilnil // an image of another registry next to the sources
	}
	return c.targetOf(r, repo)
}
