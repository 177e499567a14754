// Package rebase puts apps that buildpacks made on another run image, and chooses
// that run image among its mirrors.
//
// An app's layers are its base's and, above them, its own; its lifecycle label says
// where the border is and what the base is called. A rebase replaces the layers
// below the border. Neither the old base nor any layer is read: what comes out is a
// function of four small documents (manifest and configuration of the app and of
// the new base) and of the options, so that a dry run tells the digest, and equal
// inputs give equal bytes.
//
//	files, labels ─ Choose, Candidates ─▶ pick ─▶ run image
//	app, run image ─ Reader ─▶ picture ─▶ assemble ─▶ Result ─ Survey ─▶ []Name ─ Push ─▶ registry
//
// The package never runs buildpacks, reads no environment, prints nothing, and
// writes to a registry only in Push. Documents are edited, not rendered anew, so
// that what it does not know survives.
package rebase

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// created is the time of everything that a rebase makes, the one that buildpacks use: the clock is no input.
const created = "1980-01-01T00:00:01Z"

// Accept says which new bases an app may be put on.
type Accept int

// What may be accepted. AcceptListed: what the app's metadata names. AcceptSameRepository:
// also other tags of a repository that it names. AcceptAny: anything.
const (
	AcceptListed Accept = iota + 1
	AcceptSameRepository
	AcceptAny
)

// ParseAccept reads listed, same-repository or any; empty is listed.
func ParseAccept(s string) (Accept, error) {
	switch s {
	case "", "listed":
		return AcceptListed, nil
	case "same-repository":
		return AcceptSameRepository, nil
	case "any":
		return AcceptAny, nil
	}
	return 0, fmt.Errorf("bad value %.40q: want listed, same-repository or any", s)
}

// Options say what an app is put on.
type Options struct {
	RunImage string   // the new base; empty: it is chosen
	Files    []File   // what files say of run images, in place of the app's label
	Mirrors  []string // local mirrors of the run image
	Order    Order    // of the candidates; 0: PackOrder
	Near     string   // host that the result is for; empty: the app's
	Accept   Accept   // 0: AcceptListed
	Force    bool     // overrules Accept, and what may be overruled of the checks
}

// From is the base that an app was on, as its metadata tells it.
type From struct {
	Reference string
	TopLayer  string
}

// Onto is the base that an app is put on.
type Onto struct {
	Image    string
	Digest   v1.Hash // of the image or index that Image names
	TopLayer string
}

// Result is a rebased app that is yet to be pushed. From, Onto and PlatformAPI of
// an index are those of its first image.
type Result struct {
	App         Reference // what was read, with its digest
	Digest      v1.Hash   // of what it becomes
	UpToDate    bool      // it is on that base: Digest is the app's own
	From        From
	Onto        Onto
	PlatformAPI string
	Manifest    *registry.Manifest // with digest Digest
	Index       bool               // Manifest names Images
	Images      []Image
	Notes       []string // what people should know

	byTag bool // App was read by its tag, which then pointed to App.Digest
}

// Image is one image of a result.
type Image struct {
	Platform    string
	Was         v1.Hash
	UpToDate    bool // Manifest is the app's own
	From        From
	Onto        Onto
	PlatformAPI string
	Manifest    *registry.Manifest
	Blobs       []Blob // what Manifest names, each digest once; none if UpToDate

	notes    []string
	platform platform
	base     v1.Hash // of the one image of Onto
}

// Blob is a configuration or layer, and where it is: in a repository, or made here.
type Blob struct {
	registry.Descriptor
	From name.Repository // zero: Raw
	Raw  []byte
}

// admit says whether an app may be put on a base by its name, and what its metadata
// calls its run image from then on: nil if as before.
func admit(m *metadata, to chosen, o Options) (names *Names, note string, err error) {
	if m.lists(to.Reference, to.also) {
		return nil, "", nil
	}
	if o.Accept == AcceptSameRepository {
		if names, ok := m.renamed(to.Reference); ok {
			return &names, "", nil
		}
	}
	text := fmt.Sprintf("new base image %q not found in existing run image metadata: %q", to.given, m.listed)
	if o.Force || o.Accept == AcceptAny {
		return &Names{Image: to.given}, text, nil
	}
	return nil, "", fmt.Errorf("%s: --accept or --force overrules that", text)
}

// chosen is the name of a new base.
type chosen struct {
	Reference
	given  string   // as it was written
	also   []string // names that count as listed
	digest v1.Hash  // what the name led to: an image, or an index
}

// assemble returns an app on another base.
func assemble(app, base *picture, m *metadata, to chosen, o Options) (*Image, error) {
	cut, err := border(app, m)
	if err != nil {
		return nil, err
	}
	if len(base.layers) == 0 {
		return nil, fmt.Errorf("the new base image %s has no layers", to.Reference)
	}
	top := base.diffIDs[len(base.diffIDs)-1]
	img := &Image{
		Platform: app.platform.String(), Was: app.digest(), From: From{m.reference, m.topLayer}, PlatformAPI: app.platformAPI,
		Onto: Onto{Image: to.Reference.String(), Digest: to.digest, TopLayer: top}, platform: app.platform, base: base.digest(),
	}
	names, note, err := admit(m, to, o)
	if err != nil {
		return nil, err
	}
	if note != "" {
		img.notes = append(img.notes, note)
	}
	if names == nil && slices.Equal(app.diffIDs[:cut], base.diffIDs) && maps.Equal(app.baseLabels(), base.baseLabels()) {
		img.UpToDate, img.Manifest = true, app.manifest
		return img, nil
	}
	doubts, err := check(app, base)
	if err != nil {
		return nil, err
	}
	if len(doubts) > 0 && !o.Force {
		return nil, fmt.Errorf("%s: --force overrules that", strings.Join(doubts, "; "))
	}
	img.notes = append(img.notes, doubts...)
	label, err := m.rebased(top, base.at.Repository.Digest(base.digest().String()).String(), names)
	if err != nil {
		return nil, err
	}
	img.platform = app.platform.on(base.platform)
	img.Platform = img.platform.String()
	config, err := app.configOn(base, cut, label)
	if err != nil {
		return nil, err
	}
	return img, img.finish(app, base, cut, config)
}

// border returns how many of an app's layers are its base's. Where the top layer of
// the base occurs more than once, as empty layers do, it is the last occurrence
// below the layers that the metadata calls the app's own.
func border(app *picture, m *metadata) (int, error) {
	if m.topLayer == "" {
		return 0, fmt.Errorf("could not find base layer in image: label %s names no runImage.topLayer", lifecycleLabel)
	}
	own := len(app.diffIDs)
	if i := slices.IndexFunc(app.diffIDs, func(id string) bool { _, is := m.layers[id]; return is }); i >= 0 {
		own = i
	}
	for i := own - 1; i >= 0; i-- {
		if app.diffIDs[i] == m.topLayer {
			return i + 1, nil
		}
	}
	if i := slices.Index(app.diffIDs, m.topLayer); i >= 0 {
		return i + 1, nil
	}
	return 0, fmt.Errorf("could not find base layer in image: no layer has diff ID %.100q, the runImage.topLayer of label %s", m.topLayer, lifecycleLabel)
}

// finish makes the manifest of an image and lists its blobs.
func (img *Image) finish(app, base *picture, cut int, config []byte) error {
	kind, err := app.family()
	if err != nil {
		return err
	}
	desc := app.configDesc.clone()
	desc.set("mediaType", kind.config())
	desc.set("digest", registry.DigestOf(config))
	desc.set("size", len(config))
	desc.remove(func(key string) bool { return key == "data" || key == "urls" })
	img.Blobs = []Blob{{Descriptor: registry.Descriptor{Digest: registry.DigestOf(config), Size: int64(len(config))}, Raw: config}}

	held := map[string]name.Repository{}
	for _, l := range app.layers {
		held[l.Digest] = app.at.Repository
	}
	layers := make([]*object, 0, len(base.layers)+len(app.layers)-cut)
	placed := map[string]struct{}{}
	add := func(l layer, from name.Repository) error {
		d := l.desc.clone()
		mediaType, err := kind.layer(l.MediaType)
		if err != nil {
			return err
		}
		d.set("mediaType", mediaType)
		layers = append(layers, d)
		if _, twice := placed[l.Digest]; !twice {
			placed[l.Digest] = struct{}{}
			img.Blobs = append(img.Blobs, Blob{Descriptor: l.Descriptor, From: from})
		}
		return nil
	}
	for _, l := range base.layers {
		from, has := held[l.Digest]
		if !has {
			from = base.at.Repository
		}
		if err := add(l, from); err != nil {
			return fmt.Errorf("new base image: %w", err)
		}
	}
	for _, l := range app.layers[cut:] {
		if err := add(l, app.at.Repository); err != nil {
			return fmt.Errorf("app: %w", err)
		}
	}
	doc := app.doc.clone()
	doc.set("config", desc)
	doc.set("layers", layers)
	if err := refresh(doc, img.Onto.Image, base.digest()); err != nil {
		return err
	}
	raw, err := encode(doc)
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	img.Manifest = &registry.Manifest{Digest: registry.DigestOf(raw), MediaType: app.manifest.MediaType, Raw: raw}
	return nil
}

// refresh sets the annotations that name the base, where there are any.
func refresh(o *object, name string, digest v1.Hash) error {
	annotations, err := o.object("annotations")
	if err != nil {
		return err
	}
	changed := false
	for key, value := range map[string]string{"org.opencontainers.image.base.name": name, "org.opencontainers.image.base.digest": digest.String()} {
		if annotations.index(key) >= 0 {
			annotations.set(key, value)
			changed = true
		}
	}
	if changed {
		o.set("annotations", annotations)
	}
	return nil
}

// Traffic is how the layers of a result get into a repository.
type Traffic struct {
	There   int // they are in it, as the app's are
	Mounted int // from another repository of the host
	Copied  int // from another host
}

// Traffic returns how the layers of a result get into a repository whose host mounts.
func (res *Result) Traffic(repo name.Repository) Traffic {
	var t Traffic
	for i := range res.Images {
		for _, b := range res.Images[i].Blobs {
			switch {
			case b.From == (name.Repository{}):
			case b.From == repo:
				t.There++
			case b.From.RegistryStr() == repo.RegistryStr():
				t.Mounted++
			default:
				t.Copied++
			}
		}
	}
	return t
}
