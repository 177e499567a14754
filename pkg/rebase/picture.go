package rebase

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// maxConfig is the size of the largest configuration that is read, in bytes.
const maxConfig = registry.MaxManifest

// picture is an image as its registry serves it: manifest and configuration.
type picture struct {
	at         Reference // where its layers are, and by which digest it was read
	manifest   *registry.Manifest
	doc        *object // the manifest
	configDesc *object
	layers     []layer

	config      *object
	platform    platform
	diffIDs     []string // of layers, one by one
	labels      map[string]string
	platformAPI string // in the environment; empty: none
}

type layer struct {
	registry.Descriptor
	desc *object
}

// platform is what an image runs on.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	OSVersion    string `json:"os.version"`
}

// String returns os/architecture[/variant].
func (p platform) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// build returns the build of the system's version: Windows' first three numbers, which
// containers and hosts have to share. The fourth counts its fixes.
func (p platform) build() string {
	parts := strings.SplitN(p.OSVersion, ".", 4)
	return strings.Join(parts[:min(3, len(parts))], ".")
}

// on returns the platform of an app on another base: the base's, and the app's
// variant where the base names none.
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

// newPicture reads a manifest; its configuration is yet to be read.
func newPicture(at Reference, m *registry.Manifest) (*picture, error) {
	p := &picture{at: at, manifest: m}
	if _, err := m.Parse(); err != nil { // digests, sizes and numbers of things
		return nil, err
	}
	if _, err := p.family(); err != nil {
		return nil, err
	}
	var err error
	if p.doc, err = parseObject(m.Raw); err != nil {
		return nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	if p.configDesc, err = p.doc.object("config"); err != nil {
		return nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	if d := p.configDescriptor(); !isConfig(d.MediaType) {
		return nil, fmt.Errorf("it is no image: its configuration has type %.100q", d.MediaType)
	}
	descs, err := p.doc.objects("layers")
	if err != nil {
		return nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	for _, d := range descs {
		l := layer{desc: d}
		if l.Descriptor, err = descriptor(d); err != nil {
			return nil, fmt.Errorf("parsing the manifest: %w", err)
		}
		p.layers = append(p.layers, l)
	}
	return p, nil
}

func descriptor(o *object) (registry.Descriptor, error) {
	var d registry.Descriptor
	return d, errors.Join(o.read("mediaType", &d.MediaType), o.read("digest", &d.Digest), o.read("size", &d.Size), o.read("urls", &d.URLs))
}

// configDescriptor returns where the configuration is; its type is empty if there is none.
func (p *picture) configDescriptor() registry.Descriptor {
	d, err := descriptor(p.configDesc)
	if err != nil || d.Digest == "" {
		return registry.Descriptor{}
	}
	return d
}

// develop reads the configuration.
func (p *picture) develop(raw []byte) error {
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
		return fmt.Errorf("it names %d layers, the manifest %d", len(p.diffIDs), len(p.layers))
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

func (p *picture) digest() v1.Hash { return image.Hash(p.manifest.Digest) }

// baseLabels returns the labels that describe the base.
func (p *picture) baseLabels() map[string]string {
	own := map[string]string{}
	for key, value := range p.labels {
		if isBaseLabel(key) {
			own[key] = value
		}
	}
	return own
}

// configOn returns the app's configuration on another base, with another lifecycle label.
func (p *picture) configOn(base *picture, cut int, label string) ([]byte, error) {
	config := p.config.clone()
	is := p.platform.on(base.platform)
	for _, m := range []struct{ key, value string }{
		{"architecture", is.Architecture}, {"os", is.OS}, {"variant", is.Variant}, {"os.version", is.OSVersion},
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
	described := base.baseLabels()
	keys := make([]string, 0, len(described))
	for key := range described {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		labels.set(key, described[key])
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
	raw, err := encode(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	return raw, nil
}

// history returns what is told of the layers from one on, at the fixed time. A
// history that does not fit the layers is replaced by an empty one that does.
// Steps without a layer right above a base belong to the base.
func (p *picture) history(from int) []*object {
	steps, ok := p.steps()
	if !ok {
		steps = make([]*object, len(p.layers))
		for i := range steps {
			steps[i] = &object{}
		}
	}
	at := 0 // layers below the step
	var out []*object
	for _, s := range steps {
		var empty bool
		if ok {
			_ = s.read("empty_layer", &empty) // it was read before
		}
		if at > from || at == from && (!empty || from == 0) {
			one := s.clone()
			one.set("created", created)
			out = append(out, one)
		}
		if !empty {
			at++
		}
	}
	return out
}

// steps returns the history, and whether it fits the layers.
func (p *picture) steps() ([]*object, bool) {
	steps, err := p.config.objects("history")
	if err != nil {
		return nil, false
	}
	layers := 0
	for _, s := range steps {
		var empty bool
		if err := s.read("empty_layer", &empty); err != nil {
			return nil, false
		}
		if !empty {
			layers++
		}
	}
	return steps, layers == len(p.layers)
}
