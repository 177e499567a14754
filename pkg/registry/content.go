package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// TypeIndex is the media type of an OCI image index.
const TypeIndex = "application/vnd.oci.image.index.v1+json"

// The other media types that cip tells apart: OCI image-spec v1.1 and Docker's image manifest v2.
const (
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeOCIArtifact    = "application/vnd.oci.artifact.manifest.v1+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeSchema1        = "application/vnd.docker.distribution.manifest.v1+json"
	typeSignedSchema1  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// maxSize is the size of the largest thing a manifest may name, in bytes: a pebibyte
// is more than any registry takes, and sums of it do not overflow.
const maxSize = 1 << 50

// MaxChildren is how many descriptors one manifest may hold.
const MaxChildren = 4096

var descriptorDigest = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

// IsForeign reports whether a layer need not be in the registry: its descriptor names other places to get it from.
func IsForeign(d v1.Descriptor) bool {
	return len(d.URLs) > 0 || !d.MediaType.IsDistributable() ||
		strings.Contains(string(d.MediaType), ".foreign.") || strings.Contains(string(d.MediaType), ".nondistributable.")
}

// IsIndex reports whether a descriptor points to an index.
func IsIndex(d v1.Descriptor) bool { return d.MediaType.IsIndex() }

// Content is what a manifest points to.
type Content struct {
	Index    bool            // it names children, not blobs
	Blobs    []v1.Descriptor // config and layers, each digest once
	Children []v1.Descriptor // manifests, each digest once
	Subject  *v1.Descriptor  // what it refers to, if anything
}

// errSchema1 is Docker's first image format. Its signed form has the digest of a part
// of its bytes, so that no copy of it can be verified.
var errSchema1 = errors.New("parsing the manifest: Docker's image manifest schema 1 is not supported")

// document is what cip reads of an image manifest, an index or an artifact manifest.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Config        *v1.Descriptor  `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	Blobs         []v1.Descriptor `json:"blobs"`
	Manifests     []v1.Descriptor `json:"manifests"`
	Subject       *v1.Descriptor  `json:"subject"`
}

// Refers reports whether the content's subject is a digest.
func (c *Content) Refers(digest string) bool {
	return c.Subject != nil && c.Subject.Digest.String() == digest
}

// Parse returns what a manifest points to. Malformed digests and sizes, and more than
// MaxChildren descriptors, are errors.
func (m *Manifest) Parse() (*Content, error) {
	if m.content != nil { // a registry served it
		return m.content, nil
	}
	_, c, err := parse(m.Raw, string(m.MediaType))
	return c, err
}

// parse returns the media type of a manifest and what it points to. Whatever is not
// an image manifest, an index or an artifact manifest is an error.
func parse(raw []byte, contentType string) (mediaType string, c *Content, err error) {
	var doc document
	if err := strictjson.Unmarshal(raw, &doc); err != nil {
		return "", nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	if doc.SchemaVersion == 1 || schema1(doc.MediaType) {
		return "", nil, errSchema1
	}
	mediaType, err = doc.mediaType(contentType)
	c = &Content{Subject: doc.Subject, Index: isIndex(mediaType)}
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
	for _, d := range doc.Manifests { // build caches are indexes of layers
		if isManifest(string(d.MediaType)) {
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

// mediaType returns the type to put a manifest with: the one it names itself (OCI
// distribution-spec, "Pushing manifests"), else the one it was served with, else the
// one that its members have.
func (d *document) mediaType(contentType string) (string, error) {
	if d.MediaType != "" && !isManifest(d.MediaType) {
		return "", fmt.Errorf("%.100q is not the media type of a manifest", d.MediaType)
	}
	served, _, _ := mime.ParseMediaType(contentType)
	switch t := cmp.Or(d.MediaType, served); {
	case t == typeOCIManifest, t == typeDockerManifest:
		if d.Config != nil {
			return t, nil
		}
	case isIndex(t):
		if d.Manifests != nil { // OCI image-spec: required, and may be empty
			return t, nil
		}
	case t == typeOCIArtifact, d.MediaType != "" && (d.Config != nil || d.Manifests != nil || d.Blobs != nil || d.Subject != nil):
		return t, nil
	case d.MediaType != "":
	case d.Config != nil && d.Manifests == nil:
		return typeOCIManifest, nil
	case d.Config == nil && d.Layers == nil && d.Manifests != nil:
		return TypeIndex, nil
	}
	return "", errors.New("the answer is neither an image manifest nor an index")
}

// check checks descriptors and keeps each digest once.
func (c *Content) check() (err error) {
	if n := len(c.Blobs) + len(c.Children); n > MaxChildren {
		return fmt.Errorf("parsing the manifest: it names %d things, more than %d are refused", n, MaxChildren)
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

// known reports whether cip knows a manifest's media type.
func known(mediaType string) bool {
	switch mediaType {
	case typeOCIManifest, typeDockerManifest, typeOCIArtifact:
		return true
	}
	return isIndex(mediaType)
}

// schema1 reports whether a media type is one of Docker's image manifest schema 1.
func schema1(mediaType string) bool {
	return mediaType == typeSchema1 || mediaType == typeSignedSchema1
}

// isManifest reports whether what a descriptor points to is a manifest: types that
// cip does not know are taken by their name.
func isManifest(mediaType string) bool {
	return mediaType == "" || strings.Contains(mediaType, "manifest") || strings.Contains(mediaType, "index")
}

// distinct checks descriptors and keeps each digest once, the one that is not foreign first.
func distinct(all []v1.Descriptor) ([]v1.Descriptor, error) {
	at := make(map[string]int, len(all))
	out := make([]v1.Descriptor, 0, len(all))
	for _, d := range all {
		if !descriptorDigest.MatchString(d.Digest.String()) {
			return nil, fmt.Errorf("parsing the manifest: bad digest %.160q", d.Digest.String())
		}
		if d.Size < 0 || d.Size > maxSize {
			return nil, fmt.Errorf("parsing the manifest: %s has size %d", d.Digest.String(), d.Size)
		}
		i, ok := at[d.Digest.String()]
		if !ok {
			at[d.Digest.String()] = len(out)
			out = append(out, d)
			continue
		}
		if out[i].Size != d.Size {
			return nil, fmt.Errorf("parsing the manifest: %s has two sizes, %d and %d", d.Digest.String(), out[i].Size, d.Size)
		}
		if IsForeign(out[i]) && !IsForeign(d) {
			out[i] = d
		}
	}
	return out, nil
}

// ReferrerDescriptor returns the descriptor by which a list of referrers names the
// manifest: with its artifact type, or its config's type in place of that, and its
// annotations (OCI distribution-spec, "Listing Referrers").
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
