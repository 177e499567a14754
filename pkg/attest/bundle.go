package attest

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// The form of a referrer with a bundle, as cosign writes it.
const (
	createdAnnotation = "org.opencontainers.image.created"
	contentAnnotation = "dev.sigstore.bundle.content"
	contentEnvelope   = "dsse-envelope"
)

// referrer is the manifest of a bundle.
type referrer struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        v1.Descriptor     `json:"config"`
	Layers        []v1.Descriptor   `json:"layers"`
	Subject       *v1.Descriptor    `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// emptyConfig is the config of manifests that need none, and its descriptor.
func emptyConfig() ([]byte, v1.Descriptor) {
	raw := []byte("{}")
	return raw, descriptor(types.OCIEmptyJSON, raw)
}

func descriptor(mediaType types.MediaType, raw []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: registry.DigestOf(raw), Size: int64(len(raw))}
}

// newReferrer returns the manifest by which a bundle refers to a subject.
func newReferrer(subject, bundle v1.Descriptor, predicateType string, created time.Time) (*registry.Manifest, error) {
	_, config := emptyConfig()
	raw, err := strictjson.Marshal(referrer{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: string(image.SigstoreBundle), Config: config,
		Layers: []v1.Descriptor{bundle}, Subject: &subject,
		Annotations: map[string]string{
			createdAnnotation: created.UTC().Format(time.RFC3339), contentAnnotation: contentEnvelope, image.PredicateAnnotation: predicateType,
		},
	})
	return &registry.Manifest{Raw: raw, MediaType: types.OCIManifestSchema1, Digest: registry.DigestOf(raw)}, err
}

// attach signs a statement of a type, and attaches the bundle to the image of a descriptor in the
// repository of s. The zero value is the image of s itself.
func (w *Writer) attach(ctx context.Context, s *Subject, of v1.Descriptor, predicateType string, statement []byte) error {
	if of.Digest == (v1.Hash{}) {
		m, err := w.image(ctx, s)
		if err != nil {
			return err
		}
		of = descriptor(m.MediaType, m.Raw)
	}
	repo := s.Repository
	if err := w.findable(ctx, repo, of.Digest); err != nil {
		return err
	}
	bundle, err := w.signer(predicateType).SignStatement(ctx, statement)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	layer := descriptor(image.SigstoreBundle, bundle)
	m, err := newReferrer(v1.Descriptor{MediaType: of.MediaType, Digest: of.Digest, Size: of.Size}, layer, predicateType, w.o.Time)
	if err != nil {
		return err
	}
	raw, config := emptyConfig()
	if err := w.blobs.Upload(ctx, repo, config, raw); err != nil {
		return fmt.Errorf("uploading the config: %w", err)
	}
	if err := w.blobs.Upload(ctx, repo, layer, bundle); err != nil {
		return fmt.Errorf("uploading the bundle: %w", err)
	}
	return w.putReferrer(ctx, repo, m)
}

// findable returns an error if readers could not find a referrer of a digest: nothing is
// signed and written then.
func (w *Writer) findable(ctx context.Context, repo name.Repository, digest v1.Hash) error {
	if _, err := w.o.Client.HasReferrersAPI(ctx, repo, digest); err != nil {
		return fmt.Errorf("nothing is written, because readers could not find it: %w", err)
	}
	return nil
}

// putReferrer puts a referrer, and verifies that the repository has it.
func (w *Writer) putReferrer(ctx context.Context, repo name.Repository, m *registry.Manifest) error {
	if err := w.o.Client.PutReferrer(ctx, repo, m); err != nil {
		return err
	}
	return w.blobs.Check(ctx, repo, m)
}
