package registry

import (
	"encoding/json"
	"fmt"
	"mime"
	"regexp"
	"strings"
)

// TypeIndex is the media type of an OCI image index.
const TypeIndex = "application/vnd.oci.image.index.v1+json"

// The other media types that cip tells apart: OCI image-spec v1.1 and Docker's image manifest v2.
const (
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeOCIArtifact    = "application/vnd.oci.artifact.manifest.v1+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// maxSize is the size of the largest thing a manifest may name, in bytes: a pebibyte
// is more than any registry takes, and sums of it do not overflow.
const maxSize = 1 << 50

// MaxChildren is how many descriptors one manifest may hold.
const MaxChildren = 4096

var descriptorDigest = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

// Descriptor points to a blob or manifest.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

// Foreign reports whether a layer need not be in the registry: it names other places to get it from.
func (d *Descriptor) Foreign() bool {
	return len(d.URLs) > 0 || strings.Contains(d.MediaType, ".foreign.") || strings.Contains(d.MediaType, ".nondistributable.")
}

// Index reports whether it points to an index.
func (d *Descriptor) Index() bool { return isIndex(d.MediaType) }

// Content is what a manifest points to.
type Content struct {
	Index    bool         // it names children, not blobs
	Blobs    []Descriptor // config and layers, each digest once
	Children []Descriptor // manifests, each digest once
	Subject  *Descriptor  // what it refers to, if anything
}

// Size returns the bytes of all blobs.
func (c *Content) Size() int64 {
	var n int64
	for i := range c.Blobs {
		n += c.Blobs[i].Size
	}
	return n
}

// Parse reads what a manifest points to. Unknown manifest types are read by their
// shape, so that artifacts need no list. Malformed digests and sizes, and more than
// MaxChildren descriptors, are errors.
func (m *Manifest) Parse() (*Content, error) {
	var doc struct {
		SchemaVersion int          `json:"schemaVersion"`
		Config        *Descriptor  `json:"config"`
		Layers        []Descriptor `json:"layers"`
		Blobs         []Descriptor `json:"blobs"`
		Manifests     []Descriptor `json:"manifests"`
		Subject       *Descriptor  `json:"subject"`
	}
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	if doc.SchemaVersion == 1 {
		return nil, fmt.Errorf("parsing the manifest: Docker's schema 1 is not supported")
	}
	c := &Content{Subject: doc.Subject}
	switch m.MediaType {
	case TypeIndex, typeDockerList:
		c.Index = true
	case typeOCIManifest, typeDockerManifest, typeOCIArtifact:
	default:
		c.Index = len(doc.Manifests) > 0 && doc.Config == nil
	}
	if !c.Index && len(doc.Manifests) > 0 {
		return nil, fmt.Errorf("parsing the manifest: %s with children", m.MediaType)
	}
	if doc.Config != nil {
		c.Blobs = append(c.Blobs, *doc.Config)
	}
	c.Blobs = append(append(c.Blobs, doc.Layers...), doc.Blobs...)
	for _, d := range doc.Manifests { // build caches are indexes of layers
		if isManifest(d.MediaType) {
			c.Children = append(c.Children, d)
		} else {
			c.Blobs = append(c.Blobs, d)
		}
	}
	if n := len(c.Blobs) + len(c.Children); n > MaxChildren {
		return nil, fmt.Errorf("parsing the manifest: it names %d things, more than %d are refused", n, MaxChildren)
	}
	var err error
	if c.Blobs, err = distinct(c.Blobs); err != nil {
		return nil, err
	}
	if c.Children, err = distinct(c.Children); err != nil {
		return nil, err
	}
	if c.Subject != nil {
		if _, err = distinct([]Descriptor{*c.Subject}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// isManifest reports whether what a descriptor points to is a manifest: types that
// cip does not know are taken by their name.
func isManifest(mediaType string) bool {
	return mediaType == "" || strings.Contains(mediaType, "manifest") || strings.Contains(mediaType, "index")
}

// distinct checks descriptors and keeps each digest once, the one that is not foreign first.
func distinct(all []Descriptor) ([]Descriptor, error) {
	at := make(map[string]int, len(all))
	out := make([]Descriptor, 0, len(all))
	for _, d := range all {
		if !descriptorDigest.MatchString(d.Digest) {
			return nil, fmt.Errorf("parsing the manifest: bad digest %.160q", d.Digest)
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
		if out[i].Foreign() && !d.Foreign() {
			out[i] = d
		}
	}
	return out, nil
}

// mediaTypeOf returns the type to put a manifest with: the one it names itself
// (OCI distribution-spec, "Pushing manifests"), else the one it was served with.
func mediaTypeOf(contentType string, raw []byte) string {
	var doc struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(raw, &doc) == nil && doc.MediaType != "" {
		return doc.MediaType
	}
	if t, _, err := mime.ParseMediaType(contentType); err == nil {
		return t
	}
	return typeOCIManifest
}

// ReferrerDescriptor returns the descriptor by which a list of referrers names the
// manifest: with its artifact type, or its config's type in place of that, and its
// annotations (OCI distribution-spec, "Listing Referrers").
func (m *Manifest) ReferrerDescriptor() (Descriptor, error) {
	var doc struct {
		ArtifactType string            `json:"artifactType"`
		Config       *Descriptor       `json:"config"`
		Annotations  map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return Descriptor{}, fmt.Errorf("parsing the manifest: %w", err)
	}
	if doc.ArtifactType == "" && doc.Config != nil {
		doc.ArtifactType = doc.Config.MediaType
	}
	return Descriptor{
		MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Raw)), ArtifactType: doc.ArtifactType, Annotations: doc.Annotations,
	}, nil
}
