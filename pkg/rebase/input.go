package rebase

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// maxConfig is the maximum size of a configuration in bytes.
const maxConfig = registry.MaxManifest

// inputImage is an image that a rebase reads: an app or a base.
//
// It holds the manifest and the configuration. Layers are never downloaded.
type inputImage struct {
	at         Reference // repository and digest of the image
	manifest   *registry.Manifest
	doc        *object // the manifest
	configPart part
	layers     []part

	config      *object
	platform    platform
	diffIDs     []string // one for each of layers
	labels      map[string]string
	platformAPI string // CNB_PLATFORM_API in the environment; empty if not set
}

// part is a descriptor in a manifest or index.
type part struct {
	v1.Descriptor
	desc *object // the descriptor as JSON
}

func newPart(o *object) (part, error) {
	p := part{desc: o}
	return p, errors.Join(o.read("mediaType", &p.MediaType), o.read("digest", &p.Digest), o.read("size", &p.Size), o.read("urls", &p.URLs))
}

// platform is the platform of an image (image-spec, "Image Configuration").
type platform struct {
	OS           string
	Architecture string
	Variant      string
	OSVersion    string
}

// String returns os/architecture[/variant].
func (p platform) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// build returns the first three numbers of the OS version.
//
// On Windows they are the build, which must be the same for container and host. The
// fourth number is the patch level, which may differ.
func (p platform) build() string {
	parts := strings.SplitN(p.OSVersion, ".", 4)
	return strings.Join(parts[:min(3, len(parts))], ".")
}

// on returns the platform of an app with platform p after a rebase onto base.
//
// It is the platform of the base. If the base has no variant, the app keeps its own.
func (p platform) on(base platform) platform {
	if base.Variant == "" {
		base.Variant = p.Variant
	}
	return base
}

func (p *platform) read(o *object) error {
	return errors.Join(o.read("os", &p.OS), o.read("architecture", &p.Architecture),
		o.read("variant", &p.Variant), o.read("os.version", &p.OSVersion))
}

// newInputImage parses the manifest of an image. Call parseConfig next.
func newInputImage(at Reference, m *registry.Manifest) (*inputImage, error) {
	p := &inputImage{at: at, manifest: m}
	if _, err := m.Parse(); err != nil { // checks digests, sizes and limits
		return nil, err
	}
	if _, err := p.family(); err != nil {
		return nil, err
	}
	if err := p.readManifest(m.Raw); err != nil {
		return nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	if t := p.configPart.MediaType; !t.IsConfig() {
		return nil, fmt.Errorf("not an image: its configuration has media type %.100q", string(t))
	}
	return p, nil
}

func (p *inputImage) readManifest(raw []byte) error {
	var err error
	if p.doc, err = parseObject(raw); err != nil {
		return err
	}
	config, err := p.doc.object("config")
	if err != nil {
		return err
	}
	if p.configPart, err = newPart(config); err != nil {
		return err
	}
	layers, err := p.doc.objects("layers")
	if err != nil {
		return err
	}
	p.layers = make([]part, len(layers))
	for i, desc := range layers {
		if p.layers[i], err = newPart(desc); err != nil {
			return err
		}
	}
	return nil
}

// parseConfig parses the configuration of the image.
func (p *inputImage) parseConfig(raw []byte) error {
	var err error
	if p.config, err = parseObject(raw); err == nil {
		err = strictjson.Check(raw)
	}
	if err != nil {
		return err
	}
	if err := p.platform.read(p.config); err != nil {
		return err
	}
	rootfs, err := p.config.object("rootfs")
	if err != nil {
		return err
	}
	if err := rootfs.read("diff_ids", &p.diffIDs); err != nil {
		return err
	}
	if len(p.diffIDs) != len(p.layers) {
		return fmt.Errorf("it has %d layers, but the manifest has %d", len(p.diffIDs), len(p.layers))
	}
	runtime, err := p.config.object("config")
	if err != nil {
		return err
	}
	var env []string
	if err := errors.Join(runtime.read("Labels", &p.labels), runtime.read("Env", &env)); err != nil {
		return err
	}
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "CNB_PLATFORM_API="); ok {
			p.platformAPI = v
		}
	}
	return nil
}

// baseLabels returns the labels that describe the base.
func (p *inputImage) baseLabels() map[string]string {
	labels := map[string]string{}
	for key, value := range p.labels {
		if isBaseLabel(key) {
			labels[key] = value
		}
	}
	return labels
}

// configOn returns the configuration of app p on another base.
//
// The first cut layers of p are those of its old base. label is the new lifecycle
// label.
func (p *inputImage) configOn(base *inputImage, cut int, label string) ([]byte, error) {
	config := p.config.clone()
	result := p.platform.on(base.platform)
	for _, m := range []struct{ key, value string }{
		{"architecture", result.Architecture}, {"os", result.OS}, {"variant", result.Variant}, {"os.version", result.OSVersion},
	} {
		if m.value != "" {
			config.set(m.key, m.value)
			continue
		}
		config.remove(func(key string) bool { return key == m.key })
	}
	config.remove(func(key string) bool { return key == "os.features" })
	if i := base.config.index("os.features"); i >= 0 {
		config.set("os.features", base.config.members[i].value)
	}
	config.set("created", created)

	runtime, err := p.config.object("config")
	if err != nil {
		return nil, err
	}
	labels, err := runtime.object("Labels")
	if err != nil {
		return nil, err
	}
	labels.remove(isBaseLabel)
	added := base.baseLabels()
	for _, key := range slices.Sorted(maps.Keys(added)) {
		labels.set(key, added[key])
	}
	labels.set(lifecycleLabel, label)
	runtime.set("Labels", labels)
	config.set("config", runtime)

	rootfs, err := p.config.object("rootfs")
	if err != nil {
		return nil, err
	}
	rootfs.set("diff_ids", slices.Concat(base.diffIDs, p.diffIDs[cut:]))
	config.set("rootfs", rootfs)
	config.set("history", slices.Concat(base.history(0), p.history(cut)))
	raw, err := strictjson.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	return raw, nil
}

// history returns the history entries of the layers from index from on, with the
// fixed creation time.
//
// Entries without a layer directly above layer from-1 belong to that layer. They
// are left out, unless from is 0.
func (p *inputImage) history(from int) []*object {
	at := 0 // number of layers below the entry
	var out []*object
	for _, s := range p.steps() {
		if at > from || at == from && (!s.empty || from == 0) {
			one := s.entry.clone()
			one.set("created", created)
			out = append(out, one)
		}
		if !s.empty {
			at++
		}
	}
	return out
}

// step is an entry of a history.
type step struct {
	entry *object
	empty bool // it has no layer
}

// steps returns the history, or an empty entry for each layer if it does not match the
// layers.
func (p *inputImage) steps() []step {
	entries, err := p.config.objects("history")
	steps, layers := make([]step, len(entries)), 0
	for i, entry := range entries {
		steps[i].entry = entry
		err = cmp.Or(err, entry.read("empty_layer", &steps[i].empty))
		if !steps[i].empty {
			layers++
		}
	}
	if err == nil && layers == len(p.layers) {
		return steps
	}
	steps = make([]step, len(p.layers))
	for i := range steps {
		steps[i].entry = &object{}
	}
	return steps
}
