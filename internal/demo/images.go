package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// fill pushes the images of the staging part, and apps. The bytes of the staging part are the same in every
// run and on every machine, because the example manifest files name their digests.
func (r *Registry) fill(ctx context.Context) error {
	base := layer("etc/os-release", "NAME=demo\n")
	for _, img := range []struct {
		ref   string
		build func() (remote.Taggable, error)
	}{
		{"apple:build-16", func() (remote.Taggable, error) { return image("amd64", base, layer("bin/apple", "apple 1.0\n")) }},
		{"apple:build-17", func() (remote.Taggable, error) { return image("amd64", base, layer("bin/apple", "apple 1.1\n")) }},
		{"banana:build-4", func() (remote.Taggable, error) {
			return index(map[string][]v1.Layer{
				"amd64": {base, layer("bin/banana", "banana 2.0 amd64\n")},
				"arm64": {base, layer("bin/banana", "banana 2.0 arm64\n")},
			})
		}},
		{"tools/peeler:nightly", func() (remote.Taggable, error) { return image("amd64", base, layer("bin/peeler", "peeler\n")) }},
	} {
		content, err := img.build()
		if err == nil {
			err = r.push(ctx, "staging/"+img.ref, content)
		}
		if err != nil {
			return err
		}
	}
	return r.fillApps(ctx)
}

// push pushes an image or index to a repository's tag.
func (r *Registry) push(ctx context.Context, ref string, content remote.Taggable) error {
	tag, err := name.NewTag(r.Host + "/" + ref)
	if err == nil {
		err = remote.Push(tag, content, remote.WithContext(ctx))
	}
	if err != nil {
		return fmt.Errorf("pushing %s: %w", ref, err)
	}
	return nil
}

// layer returns a layer of one file.
func layer(path, text string) v1.Layer {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(text))}) // writing to a Buffer does not fail
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
}

// image returns an image for linux and an architecture.
func image(arch string, layers ...v1.Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(img, layers...)
}

// index returns an index of images for amd64 and arm64, with these layers.
func index(layers map[string][]v1.Layer) (v1.ImageIndex, error) {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := image(arch, layers[arch]...)
		if err != nil {
			return nil, err
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return idx, nil
}
