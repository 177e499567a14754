package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// readAhead is the maximum number of concurrent requests for one repository. The pace
// of the host limits how many of them are sent.
const readAhead = 64

// Read returns which of the wanted digests and tags a destination repository holds.
//
// wanted yields digests with their tags. Read requests the tag list. On hosts without
// Google's extension, it also sends one HEAD for each wanted tag in the list, and one
// for each wanted digest to which none of its tags points. If the tag list is not
// found, there are no tags, and HEAD is only sent for digests wanted without tags.
func (c *Client) Read(ctx context.Context, repo name.Repository, wanted iter.Seq2[v1.Hash, []string]) (*inventory.Repository, error) {
	have := &inventory.Repository{}
	tags := map[string]struct{}{}
	for _, all := range wanted {
		for _, t := range all {
			tags[t] = struct{}{}
		}
	}
	list, err := c.List(ctx, repo, func(tag string) bool { _, ok := tags[tag]; return ok })
	noTags := errors.Is(err, ErrNotFound)
	if err == nil || noTags {
		c.setListed(repo, noTags || list.Empty)
	}
	switch {
	case noTags && image.Google(repo.RegistryStr()):
		have.Close()
		return have, nil
	case noTags:
		have.CloseTags()
	case err != nil:
		return nil, fmt.Errorf("listing tags: %w", err)
	case list.Extended:
		for d, m := range list.Digests {
			have.SetDigest(d, inventory.Present)
			for _, t := range m.Tags {
				have.SetTag(t, d)
			}
		}
		// A tag without a digest in the list has a digest that is not sha256.
		err := c.readTags(ctx, repo, list.Tags, have)
		have.Close()
		return have, err
	}
	if err := c.readTags(ctx, repo, list.Tags, have); err != nil {
		return nil, err
	}
	return have, c.readDigests(ctx, repo, noTags, wanted, have)
}

// ReadTags returns the digests of some tags of a repository.
//
// It sends one HEAD for each tag, and does not read the tag list. A tag that cannot
// be read is unknown, with its own error. An absent tag is not confirmed with a GET,
// because tags are read again before they are written.
func (c *Client) ReadTags(ctx context.Context, repo name.Repository, tags []string) *inventory.Repository {
	type answer struct {
		digest v1.Hash
		state  inventory.State
		err    error
	}
	answers, _ := each(ctx, tags, func(ctx context.Context, tag string) (a answer, _ error) {
		a.digest, a.state, a.err = c.ResolveUnconfirmed(ctx, repo, tag)
		return a, nil
	})
	have := &inventory.Repository{}
	for i, a := range answers {
		switch a.state {
		case inventory.Present:
			have.SetTag(tags[i], a.digest)
		case inventory.Absent:
			have.SetAbsent(tags[i])
		default:
			have.SetFailed(tags[i], a.err)
		}
	}
	return have
}

// readTags resolves the tags in the tag list, which has only wanted ones.
func (c *Client) readTags(ctx context.Context, repo name.Repository, listed []string, have *inventory.Repository) error {
	ask := distinctTags(listed)
	digests, err := each(ctx, ask, func(ctx context.Context, tag string) (v1.Hash, error) {
		d, s, err := c.ResolveListed(ctx, repo, tag)
		if s == inventory.Unknown {
			return v1.Hash{}, fmt.Errorf("reading tag %s: %w", tag, err)
		}
		return d, nil // zero if the tag was deleted after it was listed
	})
	if err != nil {
		return err
	}
	for i, d := range digests {
		if d != (v1.Hash{}) {
			have.SetTag(ask[i], d)
		}
	}
	have.CloseTags()
	return nil
}

// readDigests sends a HEAD for each wanted digest whose state is unknown.
func (c *Client) readDigests(ctx context.Context, repo name.Repository, taglessOnly bool, wanted iter.Seq2[v1.Hash, []string], have *inventory.Repository) error {
	var ask []v1.Hash
	for d, tags := range wanted {
		if have.Digest(d) == inventory.Unknown && (len(tags) == 0 || !taglessOnly) {
			ask = append(ask, d)
		}
	}
	states, err := each(ctx, ask, func(ctx context.Context, d v1.Hash) (inventory.State, error) {
		s, err := c.Has(ctx, repo, d)
		if s == inventory.Unknown {
			return s, fmt.Errorf("reading %s: %w", d, err)
		}
		return s, nil
	})
	if err != nil {
		return err
	}
	for i, s := range states {
		have.SetDigest(ask[i], s)
		if s == inventory.Present {
			c.setListed(repo, false)
		}
	}
	return nil
}

// distinctTags returns the tags in order, each once.
func distinctTags(tags []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(tags)))
}

// each calls f concurrently for all items. It returns the results in order, or the first error.
func each[T, R any](ctx context.Context, items []T, f func(context.Context, T) (R, error)) ([]R, error) {
	out := make([]R, len(items))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for i, item := range items {
		g.Go(func() (err error) {
			out[i], err = f(ctx, item)
			return err
		})
	}
	return out, g.Wait()
}
