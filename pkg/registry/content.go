package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// maxSize is the maximum size in a descriptor, in bytes. A pebibyte is more than any
// registry accepts, and sums of such sizes do not overflow.
const maxSize = 1 << 50

// MaxChildren is the maximum number of descriptors in one manifest.
const MaxChildren = 4096

// IsForeign reports whether a registry may lack a layer.
//
// Its descriptor has URLs to download it from, or a media type of a layer that must
// not be distributed.
func IsForeign(d v1.Descriptor) bool {
	return len(d.URLs) > 0 || !d.MediaType.IsDistributable() ||
		strings.Contains(string(d.MediaType), ".foreign.") || strings.Contains(string(d.MediaType), ".nondistributable.")
}

// Content is what the manifest refers to.
type Content struct {
	Index    bool            // the manifest is an index: it has children
	Blobs    []v1.Descriptor // config and layers, each digest once
	Children []v1.Descriptor // manifests, each digest once
	Subject  *v1.Descriptor  // nil if there is none
}

// errSchema1 is the error for Docker's first image format. Its signed form has the
// digest of a part of its bytes, so a copy of it cannot be verified.
var errSchema1 = errors.New("parsing the manifest: Docker's image manifest schema 1 is not supported")

// document has the fields that are read of image manifests, indexes and artifact manifests.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Config        *v1.Descriptor  `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	Blobs         []v1.Descriptor `json:"blobs"`
	Manifests     []v1.Descriptor `json:"manifests"`
	Subject       *v1.Descriptor  `json:"subject"`
}

// Refers reports whether the subject of the manifest is digest.
func (c *Content) Refers(digest v1.Hash) bool {
	return c.Subject != nil && c.Subject.Digest == digest
}

// Parse returns what the manifest refers to.
//
// Invalid digests and sizes, and more than MaxChildren descriptors, are errors.
func (m *Manifest) Parse() (*Content, error) {
	if m.content != nil { // a registry served it
		return m.content, nil
	}
	_, c, err := parse(m.Raw, m.MediaType)
	return c, err
}

// LayerDescriptors returns the layers of an image manifest, in their order. An index has none.
//
// A digest can occur several times with other annotations, because a payload can be signed
// with several keys.
func (m *Manifest) LayerDescriptors() ([]v1.Descriptor, error) {
	if _, err := m.Parse(); err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	return doc.Layers, nil
}

// parse returns the media type and content of a manifest.
//
// It is an error if raw is not an image manifest, an index or an artifact manifest.
func parse(raw []byte, served types.MediaType) (mediaType types.MediaType, c *Content, err error) {
	var doc document
	if err := strictjson.Unmarshal(raw, &doc); err != nil {
		return "", nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	if doc.SchemaVersion == 1 || doc.MediaType.IsSchema1() {
		return "", nil, errSchema1
	}
	mediaType, err = doc.mediaType(served)
	c = &Content{Subject: doc.Subject, Index: mediaType.IsIndex()}
	if !known(mediaType) {
		c.Index = len(doc.Manifests) > 0 && doc.Config == nil
	}
	if err == nil && !c.Index && len(doc.Manifests) > 0 {
		err = fmt.Errorf("%s with children", mediaType)
	}
	if doc.Config != nil {
		c.Blobs = append(c.Blobs, *doc.Config)
	}
	c.Blobs = append(append(c.Blobs, doc.Layers...), doc.Blobs...)
	for _, d := range doc.Manifests { // the index of a build cache lists layers
		if isManifest(d.MediaType) {
			c.Children = append(c.Children, d)
		} else {
			c.Blobs = append(c.Blobs, d)
		}
	}
	if bad := c.check(); bad != nil {
		return "", nil, bad
	}
	if err != nil {
		return "", nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	return mediaType, c, nil
}

// mediaType returns the media type to put the manifest with.
//
// That is the one in the manifest (OCI distribution-spec, "Pushing manifests"), else
// the one that the registry sent, else one that fits the fields.
func (d *document) mediaType(served types.MediaType) (types.MediaType, error) {
	if d.MediaType != "" && !isManifest(d.MediaType) {
		return "", fmt.Errorf("%.100q is not the media type of a manifest", d.MediaType)
	}
	switch t := cmp.Or(d.MediaType, served); {
	case t.IsImage():
		if d.Config != nil {
			return t, nil
		}
	case t.IsIndex():
		if d.Manifests != nil { // OCI image-spec: required, and may be empty
			return t, nil
		}
	case t == image.OCIArtifactManifest, d.MediaType != "" && (d.Config != nil || d.Manifests != nil || d.Blobs != nil || d.Subject != nil):
		return t, nil
	case d.MediaType != "":
	case d.Config != nil && d.Manifests == nil:
		return types.OCIManifestSchema1, nil
	case d.Config == nil && d.Layers == nil && d.Manifests != nil:
		return types.OCIImageIndex, nil
	}
	return "", errors.New("the answer is neither an image manifest nor an index")
}

// newManifest returns a manifest with these fields.
//
// It is an error if Manifest would refuse to read it, because it has grown too large.
func newManifest(fields map[string]json.RawMessage, mediaType types.MediaType) (*Manifest, error) {
	raw, err := strictjson.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxManifest {
		return nil, fmt.Errorf("the manifest has %d bytes: more than %d are refused", len(raw), MaxManifest)
	}
	_, content, err := parse(raw, mediaType)
	if err != nil {
		return nil, err
	}
	return &Manifest{Digest: DigestOf(raw), MediaType: mediaType, Raw: raw, content: content}, nil
}

// check validates the descriptors and keeps each digest once.
func (c *Content) check() (err error) {
	if n := len(c.Blobs) + len(c.Children); n > MaxChildren {
		return fmt.Errorf("parsing the manifest: it has %d descriptors, the limit is %d", n, MaxChildren)
	}
	if c.Blobs, err = distinct(c.Blobs); err != nil {
		return err
	}
	if c.Children, err = distinct(c.Children); err != nil {
		return err
	}
	if c.Subject != nil {
		_, err = distinct([]v1.Descriptor{*c.Subject})
	}
	return err
}

// known reports whether cip supports a media type of manifests.
func known(t types.MediaType) bool {
	return t.IsImage() || t.IsIndex() || t == image.OCIArtifactManifest
}

// isManifest reports whether a descriptor with media type t refers to a manifest.
//
// For unknown media types the name decides.
func isManifest(t types.MediaType) bool {
	return t == "" || strings.Contains(string(t), "manifest") || strings.Contains(string(t), "index")
}

// distinct validates descriptors and keeps each digest once.
//
// A descriptor that is not foreign replaces a foreign one with the same digest.
func distinct(all []v1.Descriptor) ([]v1.Descriptor, error) {
	at := make(map[v1.Hash]int, len(all))
	out := make([]v1.Descriptor, 0, len(all))
	for _, d := range all {
		if d.Digest == (v1.Hash{}) {
			return nil, fmt.Errorf("parsing the manifest: bad digest %q", d.Digest) // it has none: others cannot be decoded
		}
		if d.Size < 0 || d.Size > maxSize {
			return nil, fmt.Errorf("parsing the manifest: %s has size %d", d.Digest, d.Size)
		}
		i, ok := at[d.Digest]
		if !ok {
			at[d.Digest] = len(out)
			out = append(out, d)
			continue
		}
		if out[i].Size != d.Size {
			return nil, fmt.Errorf("parsing the manifest: %s has two sizes, %d and %d", d.Digest, out[i].Size, d.Size)
		}
		if IsForeign(out[i]) && !IsForeign(d) {
			out[i] = d
		}
	}
	return out, nil
}

// ReferrerDescriptor returns the manifest's descriptor for a list of referrers.
//
// It has the annotations and the artifact type of the manifest, or the media type of
// the config if there is no artifact type (OCI distribution-spec, "Listing Referrers").
func (m *Manifest) ReferrerDescriptor() (v1.Descriptor, error) {
	var doc struct {
		ArtifactType string            `json:"artifactType"`
		Config       *v1.Descriptor    `json:"config"`
		Annotations  map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return v1.Descriptor{}, fmt.Errorf("parsing the manifest: %w", err)
	}
	if doc.ArtifactType == "" && doc.Config != nil {
		doc.ArtifactType = string(doc.Config.MediaType)
	}
	return v1.Descriptor{
		MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Raw)), ArtifactType: doc.ArtifactType, Annotations: doc.Annotations,
	}, nil
}
