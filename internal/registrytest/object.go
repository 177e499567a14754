package registrytest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Media types the builders use.
const (
	OCIManifest    = string(types.OCIManifestSchema1)
	OCIIndex       = string(types.OCIImageIndex)
	DockerManifest = string(types.DockerManifestSchema2)
	DockerList     = string(types.DockerManifestList)
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
	Config        *v1.Descriptor    `json:"config,omitempty"`
	Layers        []v1.Descriptor   `json:"layers,omitzero"`
	Manifests     []v1.Descriptor   `json:"manifests,omitzero"`
	Subject       *v1.Descriptor    `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

func (o Object) descriptor() v1.Descriptor {
	d := v1.Descriptor{
		MediaType: types.MediaType(o.MediaType), Size: int64(len(o.Raw)), Digest: image.Hash(o.Digest),
		ArtifactType: o.ArtifactType, Annotations: o.Annotations,
	}
	if o.Platform != "" {
		d.Platform = parsePlatform(o.Platform)
	}
	return d
}

func (b Blob) descriptor() v1.Descriptor {
	return v1.Descriptor{
		MediaType: types.MediaType(b.MediaType), Size: int64(len(b.Raw)), Digest: image.Hash(b.Digest),
		URLs: b.URLs, Annotations: b.Annotations,
	}
}

func parsePlatform(s string) *v1.Platform {
	parts := append(strings.SplitN(s, "/", 3), "", "")
	return &v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
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
