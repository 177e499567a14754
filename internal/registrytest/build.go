package registrytest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// layerSize is how many bytes a layer's one file has without LayerSize.
const layerSize = 256

// defaultCreated is the creation time of images, unless an option sets another.
const defaultCreated = "2020-01-01T00:00:00Z"

// BuildOption changes what a builder makes.
type BuildOption func(*build)

type build struct {
	docker, long, untyped bool
	layerSize             int
	base                  []int
	foreign               []string
	annotations           map[string]string
	labels                map[string]string
	subject               *Object
	platform              string
	artifactType          string
	env                   []string
	created               string
}

func newBuild(opts []BuildOption) *build {
	b := &build{layerSize: layerSize, annotations: map[string]string{}, labels: map[string]string{}, platform: "linux/amd64", created: defaultCreated}
	for _, o := range opts {
		o(b)
	}
	return b
}

// Docker makes Docker schema 2 images and manifest lists instead of OCI ones.
func Docker() BuildOption { return func(b *build) { b.docker = true } }

// SHA512 names the object and its own blobs by sha512; children keep their names.
func SHA512() BuildOption { return func(b *build) { b.long = true } }

// NoMediaType leaves the optional mediaType field out of the manifest.
func NoMediaType() BuildOption { return func(b *build) { b.untyped = true } }

// LayerSize sets the bytes in each layer's file; tar and gzip add about two kilobytes.
func LayerSize(n int) BuildOption { return func(b *build) { b.layerSize = n } }

// Base puts a layer below the image's own for each seed; images share the layers of equal seeds and sizes.
func Base(seeds ...int) BuildOption {
	return func(b *build) { b.base = append(b.base, seeds...) }
}

// Foreign adds a layer that is to be had at urls and that Push leaves out.
func Foreign(urls ...string) BuildOption { return func(b *build) { b.foreign = urls } }

// Annotate adds an annotation to the manifest.
func Annotate(key, value string) BuildOption {
	return func(b *build) { b.annotations[key] = value }
}

// Label adds a label to the configuration of an image.
func Label(key, value string) BuildOption {
	return func(b *build) { b.labels[key] = value }
}

// Created sets the creation time of an image.
func Created(at string) BuildOption { return func(b *build) { b.created = at } }

// Subject makes the object a referrer of o.
func Subject(o Object) BuildOption { return func(b *build) { b.subject = &o } }

// Platform sets os/architecture[/variant]; linux/amd64 without it.
func Platform(p string) BuildOption { return func(b *build) { b.platform = p } }

// Env adds a variable, KEY=VALUE, to the image's environment.
func Env(v string) BuildOption { return func(b *build) { b.env = append(b.env, v) } }

// ArtifactType sets the manifest's artifactType.
func ArtifactType(t string) BuildOption { return func(b *build) { b.artifactType = t } }

// Image makes an image of this many layers of its own. Equal arguments give equal
// bytes; layers are real gzipped tar files, and their diff IDs are true.
func Image(seed, layers int, opts ...BuildOption) Object {
	b := newBuild(opts)
	layerType, foreignType := types.OCILayer, types.OCIRestrictedLayer
	if b.docker {
		layerType, foreignType = types.DockerLayer, types.DockerForeignLayer
	}
	var blobs []Blob
	var diffIDs []string
	add := func(label string, mediaType types.MediaType) {
		raw, diffID := layer(label, b.layerSize)
		blobs = append(blobs, b.blob(mediaType, raw))
		diffIDs = append(diffIDs, diffID)
	}
	for _, s := range b.base {
		add("base "+strconv.Itoa(s), layerType)
	}
	for i := range layers {
		add(fmt.Sprintf("image %d layer %d", seed, i), layerType)
	}
	if len(b.foreign) > 0 {
		add(fmt.Sprintf("image %d foreign", seed), foreignType)
		last := &blobs[len(blobs)-1]
		last.URLs, last.Skip = b.foreign, true
	}
	return b.image(b.config(seed, diffIDs), blobs)
}

// config makes an image configuration that names its layers.
func (b *build) config(seed int, diffIDs []string) Blob {
	type history struct {
		Created   string `json:"created"`
		CreatedBy string `json:"created_by"`
	}
	type rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	c := struct {
		v1.Platform
		Created string `json:"created"`
		Config  struct {
			Labels map[string]string `json:"Labels"`
			Env    []string          `json:"Env,omitempty"`
		} `json:"config"`
		RootFS  rootFS    `json:"rootfs"`
		History []history `json:"history"`
	}{Platform: *parsePlatform(b.platform), Created: b.created}
	c.Config.Labels = map[string]string{"seed": strconv.Itoa(seed)}
	maps.Copy(c.Config.Labels, b.labels)
	c.Config.Env = b.env
	c.RootFS = rootFS{"layers", append([]string{}, diffIDs...)}
	for i := range diffIDs {
		c.History = append(c.History, history{defaultCreated, fmt.Sprintf("layer %d", i)})
	}
	mediaType := types.OCIConfigJSON
	if b.docker {
		mediaType = types.DockerConfigJSON
	}
	return b.blob(mediaType, marshal(c))
}

func (b *build) blob(mediaType types.MediaType, raw []byte) Blob {
	return Blob{Digest: digestOf(raw, b.long), MediaType: string(mediaType), Raw: raw}
}

func (b *build) image(config Blob, layers []Blob) Object {
	d := config.descriptor()
	m := document{Config: &d, Layers: []v1.Descriptor{}}
	for _, l := range layers {
		m.Layers = append(m.Layers, l.descriptor())
	}
	mediaType := OCIManifest
	if b.docker {
		mediaType = DockerManifest
	}
	o := b.object(mediaType, m)
	o.Blobs = append([]Blob{config}, layers...)
	o.Platform = b.platform
	return o
}

// object fills in what all kinds of manifests share.
func (b *build) object(mediaType string, m document) Object {
	m.SchemaVersion = 2
	m.ArtifactType = b.artifactType
	m.Annotations = b.annotations
	if !b.untyped {
		m.MediaType = mediaType
	}
	if b.subject != nil {
		d := b.subject.descriptor()
		m.Subject = &v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}
	}
	raw := marshal(m)
	return Object{Digest: digestOf(raw, b.long), MediaType: mediaType, ArtifactType: b.artifactType, Raw: raw}
}

// Artifact makes an OCI artifact of one small blob under the empty config.
func Artifact(seed int, artifactType string, opts ...BuildOption) Object {
	b := newBuild(append([]BuildOption{ArtifactType(artifactType)}, opts...))
	o := b.image(b.blob(types.OCIEmptyJSON, []byte("{}")), []Blob{b.blob("text/plain", fmt.Appendf(nil, "artifact %d\n", seed))})
	o.Platform = ""
	return o
}

// Attestation returns the manifest that builders put into an index next to the image that it describes.
func Attestation(seed int, of Object, opts ...BuildOption) Object {
	b := newBuild(append([]BuildOption{Platform("unknown/unknown")}, opts...))
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v0.1","seed":%d}`, seed)
	o := b.image(b.config(seed, []string{digestOf(statement, false)}), []Blob{b.blob(image.InTotoStatement, statement)})
	o.Annotations = map[string]string{
		"vnd.docker.reference.digest": of.Digest,
		"vnd.docker.reference.type":   "attestation-manifest",
	}
	return o
}

// Index makes an index, or with Docker a manifest list, of these children in this
// order; they may be indexes themselves.
func Index(children []Object, opts ...BuildOption) Object {
	b := newBuild(opts)
	m := document{Manifests: []v1.Descriptor{}}
	for _, c := range children {
		m.Manifests = append(m.Manifests, c.descriptor())
	}
	mediaType := OCIIndex
	if b.docker {
		mediaType = DockerList
	}
	o := b.object(mediaType, m)
	o.Children = slices.Clone(children)
	return o
}

// Shadow makes an object like o whose manifest has one more key at its end, with an
// empty list: if the key differs from another only in case, decoders that accept either
// read the empty list.
func Shadow(o Object, key string) Object {
	end := bytes.LastIndexByte(o.Raw, '}')
	o.Raw = slices.Concat(o.Raw[:end], []byte(","+strconv.Quote(key)+":[]}"))
	o.Digest = digestOf(o.Raw, false)
	return o
}

// DiffIDs returns the diff IDs in the image's configuration.
func (o Object) DiffIDs() []string {
	var c struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(o.Blobs[0].Raw, &c); err != nil {
		panic(err) // it is no image
	}
	return c.RootFS.DiffIDs
}

// MultiArch makes an index of this many images, each for a platform of its own.
func MultiArch(seed, platforms, layers int, opts ...BuildOption) Object {
	names := []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/ppc64le", "windows/amd64"}
	for i := len(names); i < platforms; i++ {
		names = append(names, fmt.Sprintf("linux/arm64/v%d", i))
	}
	children := make([]Object, platforms)
	for i := range children {
		// The seed is spread so that two indexes of neighbouring seeds share nothing.
		children[i] = Image(seed*1_000_000+i, layers, slices.Concat(opts, []BuildOption{Platform(names[i])})...)
	}
	return Index(children, opts...)
}

// layer returns a gzipped tar file of one file of random bytes that label fixes, and its diff ID.
func layer(label string, size int) (raw []byte, diffID string) {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(label))).Read(content) // never fails
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "content", Mode: 0o644, Size: int64(size)})
	if err == nil {
		_, err = tw.Write(content)
	}
	if err == nil {
		err = tw.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return gzipped(archive.Bytes()), digestOf(archive.Bytes(), false)
}

// gzipped wraps p as gzip without compressing it (RFC 1952, and RFC 1951 section 3.2.4).
// Random bytes do not compress, and compress/gzip sets up a megabyte for each of
// what may be thousands of layers.
func gzipped(p []byte) []byte {
	const blockLimit = 65535 // bytes a stored block can hold
	out := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	le := binary.LittleEndian
	for rest := p; ; {
		n := min(len(rest), blockLimit)
		last := byte(0)
		if n == len(rest) {
			last = 1
		}
		out = append(out, last)
		out = le.AppendUint16(out, uint16(n))
		out = le.AppendUint16(out, ^uint16(n))
		out = append(out, rest[:n]...)
		if rest = rest[n:]; last == 1 {
			break
		}
	}
	out = le.AppendUint32(out, crc32.ChecksumIEEE(p))
	return le.AppendUint32(out, uint32(len(p)))
}
