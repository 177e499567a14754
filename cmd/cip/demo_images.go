package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"cip/pkg/image"
	"cip/pkg/registry"
)

// demoImage is an image or index of the demo. The same bytes come out at every
// run and on every machine: manifests/demo names their digests.
type demoImage struct {
	name, tag string
	manifest  *registry.Manifest
	blobs     []demoBlob
	children  []*demoImage
}

type demoBlob struct {
	registry.Descriptor
	raw []byte
}

// demoImages returns what the demo's staging registry holds.
func demoImages() []*demoImage {
	base := demoLayer("etc/os-release", "NAME=demo\n")
	apple := newDemoImage("apple", "build-17", "amd64", base, demoLayer("bin/apple", "apple 1.1\n"))
	older := newDemoImage("apple", "build-16", "amd64", base, demoLayer("bin/apple", "apple 1.0\n"))
	banana := newDemoIndex("banana", "build-4",
		newDemoImage("banana", "", "amd64", base, demoLayer("bin/banana", "banana 2.0 amd64\n")),
		newDemoImage("banana", "", "arm64", base, demoLayer("bin/banana", "banana 2.0 arm64\n")))
	tools := newDemoImage("tools/peeler", "nightly", "amd64", base, demoLayer("bin/peeler", "peeler\n"))
	return []*demoImage{older, apple, banana, tools}
}

// demoLayer is a layer of one file.
func demoLayer(path, text string) demoBlob {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(text))}) // a Buffer takes everything
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return newDemoBlob("application/vnd.oci.image.layer.v1.tar", b.Bytes())
}

func newDemoBlob(mediaType string, raw []byte) demoBlob {
	return demoBlob{registry.Descriptor{MediaType: mediaType, Digest: registry.DigestOf(raw), Size: int64(len(raw))}, raw}
}

func newDemoImage(name, tag, arch string, layers ...demoBlob) *demoImage {
	type rootfs struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	fs := rootfs{Type: "layers"}
	var descriptors []registry.Descriptor
	for _, l := range layers {
		fs.DiffIDs = append(fs.DiffIDs, l.Digest) // not compressed: the same
		descriptors = append(descriptors, l.Descriptor)
	}
	config := newDemoBlob("application/vnd.oci.image.config.v1+json", demoJSON(struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		RootFS       rootfs `json:"rootfs"`
	}{arch, "linux", fs}))
	img := &demoImage{name: name, tag: tag, blobs: append([]demoBlob{config}, layers...)}
	img.manifest = newDemoManifest("application/vnd.oci.image.manifest.v1+json", struct {
		SchemaVersion int                   `json:"schemaVersion"`
		MediaType     string                `json:"mediaType"`
		Config        registry.Descriptor   `json:"config"`
		Layers        []registry.Descriptor `json:"layers"`
	}{2, "application/vnd.oci.image.manifest.v1+json", config.Descriptor, descriptors})
	return img
}

func newDemoIndex(name, tag string, children ...*demoImage) *demoImage {
	var descriptors []registry.Descriptor
	for _, c := range children {
		descriptors = append(descriptors, registry.Descriptor{MediaType: c.manifest.MediaType, Digest: c.manifest.Digest, Size: int64(len(c.manifest.Raw))})
	}
	return &demoImage{name: name, tag: tag, children: children, manifest: newDemoManifest(registry.TypeIndex, struct {
		SchemaVersion int                   `json:"schemaVersion"`
		MediaType     string                `json:"mediaType"`
		Manifests     []registry.Descriptor `json:"manifests"`
	}{2, registry.TypeIndex, descriptors})}
}

func newDemoManifest(mediaType string, v any) *registry.Manifest {
	raw := demoJSON(v)
	return &registry.Manifest{Digest: registry.DigestOf(raw), MediaType: mediaType, Raw: raw}
}

func demoJSON(v any) []byte {
	raw, _ := json.MarshalIndent(v, "", "  ") // structs of strings and numbers
	return raw
}

// push writes the image, under its tag if it has one.
func (i *demoImage) push(ctx context.Context, c *registry.Client, repo image.Repository) error {
	for _, child := range i.children {
		if err := child.push(ctx, c, repo); err != nil {
			return err
		}
	}
	for _, b := range i.blobs {
		session, err := c.Upload(ctx, repo)
		if err != nil {
			return err
		}
		if err := session.Put(ctx, b.Descriptor, registry.BytesBody(b.raw)); err != nil {
			return fmt.Errorf("uploading %s: %w", b.Digest, err)
		}
	}
	if i.tag == "" {
		_, err := c.Put(ctx, repo, i.manifest.Digest, i.manifest)
		return err
	}
	_, err := c.PutTag(ctx, repo, i.tag, i.manifest, func(image.Digest) error { return nil })
	return err
}
