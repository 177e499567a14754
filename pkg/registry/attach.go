package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// linkTries is the maximum number of times that a fallback tag is read and written while
// other clients write it, too.
const linkTries = 5

// PutReferrer writes a manifest that has a subject, by digest.
//
// Where the registry does not link it to the subject, it adds it to the fallback tag.
func (c *Client) PutReferrer(ctx context.Context, repo name.Repository, m *Manifest) error {
	res, err := c.Put(ctx, repo, m.Digest, m)
	if err == nil {
		err = res.Stored(m.Digest)
	}
	if err != nil {
		return fmt.Errorf("putting manifest: %w", err)
	}
	return c.LinkReferrer(ctx, repo, m, res)
}

// LinkReferrer adds a manifest that was put to the fallback tag of its subject.
//
// It does nothing if the answer to the PUT says that the registry keeps the list itself
// (OCI distribution-spec, "Pushing manifests with subject"), unless that list does not
// reach clients, because something between them and the registry does not know its API.
func (c *Client) LinkReferrer(ctx context.Context, repo name.Repository, m *Manifest, res PutResult) error {
	content, err := m.Parse()
	if err != nil {
		return err
	}
	if content.Subject == nil {
		return errors.New("the manifest has no subject")
	}
	if res.Subject {
		// After an error the confirmation counts.
		if api, err := c.HasReferrersAPI(ctx, repo, content.Subject.Digest); api || err != nil {
			return nil
		}
	}
	known := c.repos.Of(repo)
	known.links.Lock() // the tag is read, changed and written
	defer known.links.Unlock()
	if err := c.link(ctx, repo, FallbackTag(content.Subject.Digest), m); err != nil {
		return fmt.Errorf("listing it under its subject's tag: %w", err)
	}
	return nil
}

// errChanged is the error of a tag that another client has written since it was read.
var errChanged = errors.New("it was written by somebody else, again and again")

// link adds a manifest to the index under a fallback tag.
//
// It keeps the entries of other clients, and starts again if one of them writes the tag
// in between.
func (c *Client) link(ctx context.Context, repo name.Repository, tag string, m *Manifest) error {
	for try := 1; ; try++ {
		was, next, err := c.withReferrer(ctx, repo, tag, m)
		if next == nil || err != nil {
			return err
		}
		res, err := c.PutTag(ctx, repo, tag, next, func(at v1.Hash) error {
			if at != was {
				return errChanged
			}
			return nil
		})
		switch {
		case err == nil:
			return res.Stored(next.Digest)
		case !errors.Is(err, errChanged) || try == linkTries:
			return err
		}
		if err := c.Pause(ctx, try); err != nil {
			return err
		}
	}
}

// withReferrer returns the digest that a fallback tag points to, and its index with the
// manifest added.
//
// The index is nil if it lists the manifest already.
func (c *Client) withReferrer(ctx context.Context, repo name.Repository, tag string, m *Manifest) (was v1.Hash, next *Manifest, err error) {
	// Fields that other clients have added stay.
	index := map[string]json.RawMessage{"schemaVersion": json.RawMessage("2"), "mediaType": json.RawMessage(`"` + types.OCIImageIndex + `"`)}
	var all []json.RawMessage
	have, err := c.Manifest(ctx, repo, tag)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return v1.Hash{}, nil, err
	case !have.MediaType.IsIndex():
		return v1.Hash{}, nil, fmt.Errorf("tag %s is an image, not a list of referrers: it is kept", tag)
	default:
		was = have.Digest
		if err := json.Unmarshal(have.Raw, &index); err != nil {
			return v1.Hash{}, nil, fmt.Errorf("parsing tag %s: %w", tag, err)
		}
		if err := json.Unmarshal(index["manifests"], &all); err != nil {
			return v1.Hash{}, nil, fmt.Errorf("parsing tag %s: %w", tag, err)
		}
	}
	for _, raw := range all {
		var d v1.Descriptor
		if json.Unmarshal(raw, &d) == nil && d.Digest == m.Digest {
			return was, nil, nil
		}
	}
	entry, err := m.ReferrerDescriptor()
	if err != nil {
		return v1.Hash{}, nil, err
	}
	raw, err := strictjson.Marshal(entry)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	if index["manifests"], err = strictjson.Marshal(append(all, raw)); err != nil {
		return v1.Hash{}, nil, err
	}
	next, err = newManifest(index, types.OCIImageIndex)
	return was, next, err
}
