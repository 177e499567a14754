package attest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

const (
	maxSigned = 1000 // images below one index
	tagTries  = 5    // of a tag of cosign that somebody else writes, too
)

// planSignature plans the signature of a subject and its children. The subject is signed
// last, so that its signature stands for those of its children.
func (w *Writer) planSignature(ctx context.Context, g *group) {
	s := g.of[0]
	if !s.Absent {
		switch done, err := w.signed(ctx, s, s.Digest); {
		case err != nil:
			g.fail(plan.ImageSignature, s.Digest, err)
			return
		case done:
			return
		}
	}
	g.add(plan.ImageSignature, s.Digest, func(ctx context.Context, tags []string) error {
		if len(tags) == 0 {
			return nil // images without a tag are not signed
		}
		all, err := w.tree(ctx, s)
		if err != nil {
			return err
		}
		for _, digest := range slices.Backward(all) {
			if err := w.signOnce(ctx, s, digest); err != nil {
				return fmt.Errorf("of %s: %w", digest, err)
			}
		}
		return nil
	})
}

// tree returns the digest of a subject and those of all images below it, each once, from
// the top.
func (w *Writer) tree(ctx context.Context, s *Subject) ([]v1.Hash, error) {
	all := []v1.Hash{s.Digest}
	for i := 0; i < len(all); i++ {
		m, err := w.o.Client.Manifest(ctx, s.Repository, all[i].String())
		if i > 0 && errors.Is(err, registry.ErrNotFound) {
			continue // a child that is promoted without
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", all[i], err)
		}
		content, err := m.Parse()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", all[i], err)
		}
		for _, child := range content.Children {
			if !slices.Contains(all, child.Digest) {
				all = append(all, child.Digest)
			}
		}
		if len(all) > maxSigned {
			return nil, fmt.Errorf("more than %d images are below it", maxSigned)
		}
	}
	return all, nil
}

// signOnce signs an image, unless it has such a signature.
func (w *Writer) signOnce(ctx context.Context, s *Subject, digest v1.Hash) error {
	if done, err := w.signed(ctx, s, digest); done || err != nil {
		return err
	}
	claim, err := w.claim(s, digest)
	if err != nil {
		return err
	}
	annotations, err := w.o.Signer.SignPayload(ctx, claim)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	d := descriptor(image.CosignSimpleSigning, claim)
	if err := w.blobs.Upload(ctx, s.Repository, d, claim); err != nil {
		return fmt.Errorf("uploading the signature: %w", err)
	}
	d.Annotations = annotations
	return w.addSignature(ctx, s.Repository, registry.FallbackTag(digest)+image.SignatureSuffix, d)
}

// claim returns the document that a signature signs: a digest under its production name.
func (w *Writer) claim(s *Subject, digest v1.Hash) ([]byte, error) {
	return payload.Cosign{Image: s.Repository.Digest(digest.String()), ClaimedIdentity: s.Name}.MarshalJSON()
}

// signed reports whether an image has a signature of the signer for its production name.
func (w *Writer) signed(ctx context.Context, s *Subject, digest v1.Hash) (bool, error) {
	for sig, err := range w.o.Client.Signatures(ctx, s.Repository, digest) {
		if err != nil {
			return false, err
		}
		var claim payload.SimpleContainerImage
		if json.Unmarshal(sig.Payload, &claim) != nil || claim.Critical.Identity.DockerReference != s.Name {
			continue // of another name, or a bundle, which names none
		}
		verified, err := w.o.Trust.VerifyImage(ctx, sig, digest)
		if err != nil {
			return false, err
		}
		if verified.Invalid != "" {
			continue
		}
		id, known, err := w.identity(ctx, w.o.Signer)
		if err != nil || known && isOurs(verified.By, id) {
			return err == nil, err
		}
	}
	return false, nil
}

// errTagChanged is the error of a tag that another client has written since it was read.
var errTagChanged = errors.New("the tag of the signatures is written by somebody else, again and again")

// addSignature adds a signature to those under a tag of cosign. It keeps what others write
// there at the same time.
func (w *Writer) addSignature(ctx context.Context, repo name.Repository, tag string, d v1.Descriptor) error {
	for try := 1; ; try++ {
		was, next, err := w.withSignature(ctx, repo, tag, d)
		if err != nil || next == nil {
			return err
		}
		err = w.blobs.Tag(ctx, repo, tag, next, func(at v1.Hash) error {
			if at != was {
				return errTagChanged
			}
			return nil
		})
		if !errors.Is(err, errTagChanged) || try == tagTries {
			return err
		}
		if err := w.o.Client.Pause(ctx, try); err != nil {
			return err
		}
	}
}

// withSignature returns the digest that a tag points to, and its manifest with a signature
// added. The manifest is nil if it has the signature. Its config is uploaded.
func (w *Writer) withSignature(ctx context.Context, repo name.Repository, tag string, d v1.Descriptor) (was v1.Hash, next *registry.Manifest, err error) {
	layer, err := registry.NewLayer(d)
	if err != nil {
		return was, nil, err
	}
	have, err := w.o.Client.Manifest(ctx, repo, tag)
	switch {
	case err == nil:
		was = have.Digest
	case errors.Is(err, registry.ErrNotFound):
		if have, err = w.noSignatures(ctx, repo); err != nil {
			return was, nil, err
		}
	default:
		return was, nil, fmt.Errorf("reading tag %s: %w", tag, err)
	}
	more, err := w.o.Client.AddLayers(ctx, repo, have, []registry.Layer{layer})
	if err != nil || more == nil {
		return was, nil, err
	}
	if more.Config != nil {
		if err := w.blobs.Upload(ctx, repo, more.ConfigDescriptor, more.Config); err != nil {
			return was, nil, fmt.Errorf("uploading the config: %w", err)
		}
	}
	return was, &more.Manifest, nil
}

// noSignatures returns a manifest without signatures, and uploads its config.
func (w *Writer) noSignatures(ctx context.Context, repo name.Repository) (*registry.Manifest, error) {
	raw := []byte(`{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`)
	config := descriptor(types.OCIConfigJSON, raw)
	if err := w.blobs.Upload(ctx, repo, config, raw); err != nil {
		return nil, fmt.Errorf("uploading the config: %w", err)
	}
	m, err := strictjson.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{}})
	return &registry.Manifest{Raw: m, MediaType: types.OCIManifestSchema1, Digest: registry.DigestOf(m)}, err
}
