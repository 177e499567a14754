package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	typeImage = "application/vnd.oci.image.manifest.v1+json"
	typeIndex = "application/vnd.oci.image.index.v1+json"

	layerBytes  = 4096
	tagsPerRepo = 10
	// Of a single image's layers: those of a base that repositories share, and its own.
	baseLayers, ownLayers = 5, 3
)

// content is what a source holds and its destinations are to hold.
type content struct {
	edges   []edge
	objects map[string]*object // by digest, what the edges name
}

// edge is a wanted tag. Repo is the name below a registry's prefix.
type edge struct{ Repo, Tag, Digest string }

// object is a manifest with all that belongs to it.
type object struct {
	descriptor
	raw      []byte
	blobs    []blob
	children []*object
}

type blob struct {
	descriptor
	raw    []byte
	diffID string
}

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int       `json:"size"`
	Platform  *platform `json:"platform,omitempty"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

func (c *content) add(repo, tag string, o *object) {
	c.edges = append(c.edges, edge{repo, tag, o.Digest})
	c.objects[o.Digest] = o
}

// wide is many tags of small images.
func wide() *content {
	c := &content{objects: map[string]*object{}}
	for r := range 200 {
		for t := range tagsPerRepo {
			c.add(fmt.Sprintf("image-%03d", r), fmt.Sprintf("v1.%d", t), image("amd64", []string{"base", fmt.Sprintf("wide %d %d", r, t)}))
		}
	}
	return c
}

// mixed is 250 images of eight layers in 25 repositories, and 20 indexes of five
// platforms in two. Five bases are shared by five repositories each, and the base
// of a platform by all indexes.
func mixed() *content {
	c := &content{objects: map[string]*object{}}
	for r := range 25 {
		for t := range tagsPerRepo {
			layers := append(named("base %d", r%5, baseLayers), named("own %d", r*tagsPerRepo+t, ownLayers)...)
			c.add(fmt.Sprintf("single-%02d", r), fmt.Sprintf("v1.%d", t), image("amd64", layers))
		}
	}
	for i := range 20 {
		var children []*object
		for p, arch := range []string{"amd64", "arm64", "ppc64le", "riscv64", "s390x"} {
			children = append(children, image(arch, append(named("platform %d", p, 4), fmt.Sprintf("multi %d %d", i, p))))
		}
		c.add(fmt.Sprintf("multi-%d", i/tagsPerRepo), fmt.Sprintf("v1.%d", i%tagsPerRepo), index(children))
	}
	return c
}

// named returns n names.
func named(format string, of, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(format, of)+fmt.Sprintf("/%d", i))
	}
	return names
}

// layer makes a layer: bytes that its name determines and that do not compress, as gzip.
func layer(name string) blob {
	raw := make([]byte, layerBytes-64)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(raw) // never fails
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.NoCompression) // a known level
	_, _ = z.Write(raw)                                      // to memory
	_ = z.Close()
	return blob{describe("application/vnd.oci.image.layer.v1.tar+gzip", packed.Bytes()), packed.Bytes(), digestOf(raw)}
}

// image makes an image of layers.
func image(arch string, layers []string) *object {
	type rootfs struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	config := struct {
		platform
		Author string `json:"author"`
		RootFS rootfs `json:"rootfs"`
	}{platform{"linux", arch}, strings.Join(layers, ", "), rootfs{Type: "layers"}}
	manifest := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}{SchemaVersion: 2, MediaType: typeImage}
	o := &object{}
	for _, name := range layers {
		b := layer(name)
		o.blobs = append(o.blobs, b)
		manifest.Layers = append(manifest.Layers, b.descriptor)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, b.diffID)
	}
	raw := marshal(config)
	b := blob{descriptor: describe("application/vnd.oci.image.config.v1+json", raw), raw: raw}
	o.blobs = append(o.blobs, b)
	manifest.Config = b.descriptor
	o.raw = marshal(manifest)
	o.descriptor = describe(typeImage, o.raw)
	o.Platform = &config.platform
	return o
}

// index makes an index of images.
func index(children []*object) *object {
	doc := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}{SchemaVersion: 2, MediaType: typeIndex}
	for _, c := range children {
		doc.Manifests = append(doc.Manifests, c.descriptor)
	}
	raw := marshal(doc)
	return &object{descriptor: describe(typeIndex, raw), raw: raw, children: children}
}

func describe(mediaType string, raw []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: digestOf(raw), Size: len(raw)}
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// marshal encodes values that always can be.
func marshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}
