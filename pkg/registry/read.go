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

// readAhead is how many requests about one repository wait for the host's pace at once.
const readAhead = 64

// Read returns what a destination repository holds of what is wanted there: pairs
// of a digest and its tags. It asks, at most: one tag list; on hosts without
// Google's extension also one HEAD for each wanted tag in the list and one HEAD for
// each wanted digest that none of its tags has shown. A tag list that is not found
// says that there are no tags; only digests wanted without tags are then asked for.
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
		c.setListed(repo)
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
		// A tag in the list that no digest carries is of a digest that is no sha256.
		err := c.readTags(ctx, repo, list.Tags, wanted, have)
		have.Close()
		return have, err
	}
	if err := c.readTags(ctx, repo, list.Tags, wanted, have); err != nil {
		return nil, err
	}
	return have, c.readDigests(ctx, repo, noTags, wanted, have)
}

// ReadTags returns what a repository holds under some tags: one HEAD each, no list.
// A tag that cannot be read is unknown, for a reason of its own. One that is not found
// is not confirmed: that is done when it is read again before it is written.
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

// readTags resolves the wanted tags that the list names.
func (c *Client) readTags(ctx context.Context, repo name.Repository, listed []string, wanted iter.Seq2[v1.Hash, []string], have *inventory.Repository) error {
	exists := make(map[string]struct{}, len(listed))
	for _, t := range listed {
		exists[t] = struct{}{}
	}
	var ask []string
	for _, tags := range wanted {
		for _, t := range tags {
			if _, ok := exists[t]; ok {
				ask = append(ask, t)
			}
		}
	}
	slices.Sort(ask)
	ask = slices.Compact(ask)
	digests, err := each(ctx, ask, func(ctx context.Context, tag string) (v1.Hash, error) {
		d, s, err := c.ResolveListed(ctx, repo, tag)
		if s == inventory.Unknown {
			return v1.Hash{}, fmt.Errorf("reading tag %s: %w", tag, err)
		}
		return d, nil // empty: deleted since it was listed
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

// readDigests asks for the wanted digests that no tag has shown to be there.
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
	}
	return nil
}

// each calls f for every item, some at a time, and returns the results in order or the first error.
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
