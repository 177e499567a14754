package promote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// maxConfig is the size of the largest config of a signature, in bytes.
const maxConfig = 1 << 20

// merged is a new manifest: the layers of the destination's manifest, and those of the
// source's manifest that it did not have.
type merged struct {
	from   name.Repository
	layers []v1.Descriptor // to bring from the source
	config []byte          // nil: the destination's config is used
	conf   v1.Descriptor
}

// merge merges the manifests that source and destination have under one of cosign's
// tags. Each layer is a signature or attestation of its own. It keeps the new manifest
// for the run and returns its digest, or "" if the destination has all layers.
func (s *sources) merge(ctx context.Context, c *registry.Client, dst, src name.Repository, ours, theirs string) (string, error) {
	have, err := c.Manifest(ctx, dst, ours)
	if err != nil {
		return "", fmt.Errorf("reading the destination's: %w", err)
	}
	more, err := s.from.Manifest(ctx, src, theirs)
	if err != nil {
		return "", fmt.Errorf("reading the source's: %w", err)
	}
	doc, layers, known, err := layersOf(have)
	if err != nil {
		return "", err
	}
	_, theirLayers, _, err := layersOf(more)
	if err != nil {
		return "", err
	}
	m := &merged{from: src}
	for _, l := range theirLayers {
		if _, ok := known[l.key]; ok {
			continue
		}
		known[l.key] = struct{}{}
		layers = append(layers, l)
		m.layers = append(m.layers, l.Descriptor)
	}
	if len(m.layers) == 0 {
		return "", nil
	}
	if err := mergeConfig(ctx, c, dst, doc, m); err != nil {
		return "", err
	}
	raws := make([]json.RawMessage, len(layers))
	for i, l := range layers {
		raws[i] = l.raw
	}
	if doc["layers"], err = encode(raws); err != nil {
		return "", err
	}
	raw, err := encode(doc)
	if err != nil {
		return "", err
	}
	return s.keepMerged(&registry.Manifest{Raw: raw, MediaType: have.MediaType}, m)
}

// keepMerged keeps a merged manifest until a run puts it.
func (s *sources) keepMerged(union *registry.Manifest, m *merged) (string, error) {
	union.Digest = registry.DigestOf(union.Raw)
	content, err := union.Parse()
	if err != nil {
		return "", err
	}
	if _, err := s.keep(union, content); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unions == nil {
		s.unions = map[string]*merged{}
	}
	s.unions[union.Digest.String()] = m
	return union.Digest.String(), nil
}

// layer is a layer with its JSON in the manifest. Its key has the annotations too, since
// the same payload may be signed with several keys.
type layer struct {
	v1.Descriptor
	raw json.RawMessage
	key string
}

func layersOf(m *registry.Manifest) (doc map[string]json.RawMessage, layers []layer, known map[string]struct{}, err error) {
	content, err := m.Parse()
	if err != nil {
		return nil, nil, nil, err
	}
	if content.Index {
		return nil, nil, nil, fmt.Errorf("%s is an index: it cannot be merged", m.Digest.String())
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return nil, nil, nil, err
	}
	if err := json.Unmarshal(doc["layers"], &raws); err != nil {
		return nil, nil, nil, fmt.Errorf("%s has no layers: %w", m.Digest.String(), err)
	}
	known = map[string]struct{}{}
	for _, raw := range raws {
		l := layer{raw: raw}
		if err := json.Unmarshal(raw, &l.Descriptor); err != nil {
			return nil, nil, nil, err
		}
		annotations, err := json.Marshal(l.Annotations) // maps marshal in order
		if err != nil {
			return nil, nil, nil, err
		}
		l.key = l.Digest.String() + string(annotations)
		known[l.key] = struct{}{}
		layers = append(layers, l)
	}
	return doc, layers, known, nil
}

// mergeConfig adds the diff IDs of the new layers to the destination's config. Layers of
// signatures are not compressed, so the diff ID of a layer is its digest.
func mergeConfig(ctx context.Context, c *registry.Client, dst name.Repository, doc map[string]json.RawMessage, m *merged) error {
	var conf v1.Descriptor
	if err := json.Unmarshal(doc["config"], &conf); err != nil {
		return fmt.Errorf("reading the config's descriptor: %w", err)
	}
	if conf.Size > maxConfig {
		return fmt.Errorf("the config has %d bytes: more than %d are refused", conf.Size, maxConfig)
	}
	var buf bytes.Buffer
	if err := c.FetchBlob(ctx, dst, conf, &buf); err != nil {
		return fmt.Errorf("reading config %s: %w", conf.Digest.String(), err)
	}
	var config map[string]json.RawMessage
	if json.Unmarshal(buf.Bytes(), &config) != nil || config["rootfs"] == nil {
		return nil // the config is empty or of another kind: it has no diff IDs
	}
	if err := strictjson.Check(buf.Bytes()); err != nil {
		return fmt.Errorf("reading config %s: %w", conf.Digest.String(), err)
	}
	var rootfs map[string]json.RawMessage
	var ids []string
	if err := json.Unmarshal(config["rootfs"], &rootfs); err != nil {
		return fmt.Errorf("reading config %s: %w", conf.Digest.String(), err)
	}
	if err := json.Unmarshal(rootfs["diff_ids"], &ids); err != nil {
		return fmt.Errorf("reading config %s: %w", conf.Digest.String(), err)
	}
	for _, l := range m.layers {
		ids = append(ids, l.Digest.String())
	}
	var err error
	if rootfs["diff_ids"], err = encode(ids); err != nil {
		return err
	}
	if config["rootfs"], err = encode(rootfs); err != nil {
		return err
	}
	delete(config, "history") // it is optional, and would need an entry for each layer
	if m.config, err = encode(config); err != nil {
		return err
	}
	m.conf = v1.Descriptor{MediaType: conf.MediaType, Digest: registry.DigestOf(m.config), Size: int64(len(m.config))}
	doc["config"], err = encode(m.conf)
	return err
}

func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
