package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// maxConfig is the size of the largest config of a signature, in bytes.
const maxConfig = 1 << 20

// Layer is a layer of a manifest with its JSON there.
//
// Each layer under one of cosign's tags is a signature or attestation of its own. The same
// payload may be signed with several keys, so two layers are the same only if their
// annotations are, too.
type Layer struct {
	v1.Descriptor
	raw json.RawMessage
	key string
}

// NewLayer returns a layer for a new manifest.
func NewLayer(d v1.Descriptor) (Layer, error) {
	raw, err := strictjson.Marshal(d)
	if err != nil {
		return Layer{}, err
	}
	return parseLayer(raw)
}

func parseLayer(raw json.RawMessage) (Layer, error) {
	l := Layer{raw: raw}
	if err := json.Unmarshal(raw, &l.Descriptor); err != nil {
		return Layer{}, err
	}
	annotations, err := json.Marshal(l.Annotations) // maps marshal in order
	l.key = l.Digest.String() + string(annotations)
	return l, err
}

// Layers returns the layers of an image manifest.
func (m *Manifest) Layers() ([]Layer, error) {
	_, layers, err := m.layers()
	return layers, err
}

// layers returns the fields of an image manifest, and its layers.
func (m *Manifest) layers() (doc map[string]json.RawMessage, layers []Layer, err error) {
	content, err := m.Parse()
	if err != nil {
		return nil, nil, err
	}
	if content.Index {
		return nil, nil, fmt.Errorf("%s is an index: it cannot be merged", m.Digest.String())
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(doc["layers"], &raws); err != nil {
		return nil, nil, fmt.Errorf("%s has no layers: %w", m.Digest.String(), err)
	}
	for _, raw := range raws {
		l, err := parseLayer(raw)
		if err != nil {
			return nil, nil, err
		}
		layers = append(layers, l)
	}
	return doc, layers, nil
}

// Extended is a manifest with more layers than before.
type Extended struct {
	Manifest
	Added            []v1.Descriptor
	Config           []byte // nil: that of the manifest before
	ConfigDescriptor v1.Descriptor
}

// AddLayers returns a manifest of a repository with more layers, or nil if it has all of
// them.
//
// It writes nothing. Fields that it does not know stay.
func (c *Client) AddLayers(ctx context.Context, repo name.Repository, have *Manifest, more []Layer) (*Extended, error) {
	doc, layers, err := have.layers()
	if err != nil {
		return nil, err
	}
	known := map[string]struct{}{}
	var raws []json.RawMessage
	for _, l := range layers {
		known[l.key] = struct{}{}
		raws = append(raws, l.raw)
	}
	e := &Extended{}
	for _, l := range more {
		if _, ok := known[l.key]; ok {
			continue
		}
		known[l.key] = struct{}{}
		raws = append(raws, l.raw)
		e.Added = append(e.Added, l.Descriptor)
	}
	if len(e.Added) == 0 {
		return nil, nil
	}
	if err := c.extendConfig(ctx, repo, doc, e); err != nil {
		return nil, err
	}
	if doc["layers"], err = strictjson.Marshal(raws); err != nil {
		return nil, err
	}
	m, err := newManifest(doc, have.MediaType)
	if err != nil {
		return nil, err
	}
	e.Manifest = *m
	return e, nil
}

// extendConfig adds the diff IDs of the new layers to the config. Layers of signatures are
// not compressed, so the diff ID of a layer is its digest.
func (c *Client) extendConfig(ctx context.Context, repo name.Repository, doc map[string]json.RawMessage, e *Extended) error {
	var conf v1.Descriptor
	if err := json.Unmarshal(doc["config"], &conf); err != nil {
		return fmt.Errorf("reading the config's descriptor: %w", err)
	}
	if conf.Size > maxConfig {
		return fmt.Errorf("the config has %d bytes: more than %d are refused", conf.Size, maxConfig)
	}
	var buf bytes.Buffer
	err := c.FetchBlob(ctx, repo, conf, &buf)
	if err != nil {
		return fmt.Errorf("reading config %s: %w", conf.Digest.String(), err)
	}
	var config map[string]json.RawMessage
	if json.Unmarshal(buf.Bytes(), &config) != nil || config["rootfs"] == nil {
		return nil // the config is empty or of another kind: it has no diff IDs
	}
	var rootfs map[string]json.RawMessage
	var ids []string
	err = strictjson.Check(buf.Bytes())
	if err == nil {
		err = json.Unmarshal(config["rootfs"], &rootfs)
	}
	if err == nil {
		err = json.Unmarshal(rootfs["diff_ids"], &ids)
	}
	if err != nil {
		return fmt.Errorf("reading config %s: %w", conf.Digest.String(), err)
	}
	for _, l := range e.Added {
		ids = append(ids, l.Digest.String())
	}
	if rootfs["diff_ids"], err = strictjson.Marshal(ids); err != nil {
		return err
	}
	if config["rootfs"], err = strictjson.Marshal(rootfs); err != nil {
		return err
	}
	delete(config, "history") // it is optional, and would need an entry for each layer
	if e.Config, err = strictjson.Marshal(config); err != nil {
		return err
	}
	e.ConfigDescriptor = v1.Descriptor{MediaType: conf.MediaType, Digest: DigestOf(e.Config), Size: int64(len(e.Config))}
	doc["config"], err = strictjson.Marshal(e.ConfigDescriptor)
	return err
}
