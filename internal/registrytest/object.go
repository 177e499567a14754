package registrytest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Media types the builders use.
const (
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"

	ociConfig     = "application/vnd.oci.image.config.v1+json"
	ociLayer      = "application/vnd.oci.image.layer.v1.tar+gzip"
	ociForeign    = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	dockerConfig  = "application/vnd.docker.container.image.v1+json"
	dockerLayer   = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerForeign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	ociEmpty      = "application/vnd.oci.empty.v1+json"
	inToto        = "application/vnd.in-toto+json"
)

// Object is a manifest with everything below it, as bytes.
type Object struct {
	Digest       string
	MediaType    string
	ArtifactType string
	Raw          []byte
	Blobs        []Blob   // config first, then layers
	Children     []Object // of an index

	// What an index that holds the object says about it.
	Platform    string // os/architecture[/variant]
	Annotations map[string]string
}

// Blob is a config or a layer.
type Blob struct {
	Digest    string
	MediaType string
	Raw       []byte
	URLs      []string // of a foreign layer
	Skip      bool     // Push leaves the blob out

	Annotations map[string]string // what the manifest says about it
}

// Wrap makes an object of any bytes, for manifests that no builder makes.
// Push needs Blobs and Children set if the registry is to accept them.
func Wrap(mediaType string, raw []byte) Object {
	return Object{Digest: digestOf(raw, false), MediaType: mediaType, Raw: raw}
}

// NewBlob makes a blob of any bytes.
func NewBlob(mediaType string, raw []byte) Blob {
	return Blob{Digest: digestOf(raw, false), MediaType: mediaType, Raw: raw}
}

// BlobDigests returns the sorted, distinct digests of all blobs of the object and its
// children, those that Push leaves out excepted.
func (o Object) BlobDigests() []string {
	found := map[string]struct{}{}
	o.walk(func(m Object) {
		for _, b := range m.Blobs {
			if !b.Skip {
				found[b.Digest] = struct{}{}
			}
		}
	})
	return slices.Sorted(maps.Keys(found))
}

// ManifestDigests returns the sorted, distinct digests of the object and of all that is nested in it.
func (o Object) ManifestDigests() []string {
	found := map[string]struct{}{}
	o.walk(func(m Object) { found[m.Digest] = struct{}{} })
	return slices.Sorted(maps.Keys(found))
}

// walk visits children before their index.
func (o Object) walk(visit func(Object)) {
	for _, c := range o.Children {
		c.walk(visit)
	}
	visit(o)
}

// document holds the fields of every kind of manifest, in their usual order.
// Empty lists are written, absent ones (nil) are not.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitzero"`
	Manifests     []descriptor      `json:"manifests,omitzero"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Size         int64             `json:"size"`
	Digest       string            `json:"digest"`
	URLs         []string          `json:"urls,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Platform     *platform         `json:"platform,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

func (o Object) descriptor() descriptor {
	d := descriptor{
		MediaType: o.MediaType, Size: int64(len(o.Raw)), Digest: o.Digest,
		ArtifactType: o.ArtifactType, Annotations: o.Annotations,
	}
	if o.Platform != "" {
		d.Platform = parsePlatform(o.Platform)
	}
	return d
}

func (b Blob) descriptor() descriptor {
	return descriptor{MediaType: b.MediaType, Size: int64(len(b.Raw)), Digest: b.Digest, URLs: b.URLs, Annotations: b.Annotations}
}

func parsePlatform(s string) *platform {
	parts := append(strings.SplitN(s, "/", 3), "", "")
	return &platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

// marshal indents in a way that no encoder does by default, so that a manifest
// which was decoded and encoded again on its way shows in its digest.
func marshal(v any) []byte {
	raw, err := json.MarshalIndent(v, "", "   ")
	if err != nil {
		panic(err) // the builders' own types always marshal
	}
	return raw
}

func digestOf(raw []byte, long bool) string {
	if long {
		return fmt.Sprintf("sha512:%x", sha512.Sum512(raw))
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
}
