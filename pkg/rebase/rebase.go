// Package rebase puts apps that buildpacks built on another run image.
//
// The bottom layers of an app are those of its base, a run image. The layers of
// the app itself are above them. The lifecycle label of the app names the base and
// its top layer. A rebase replaces the layers of the base.
//
// A rebase reads four small documents: manifest and configuration of the app and
// of the new base. It does not download layers, and it does not need the old base.
// The result depends on these documents and the options only. A dry run therefore
// computes the final digest, and equal inputs give equal bytes.
//
//	files, labels ─ Choose, Candidates ─▶ pick ─▶ run image
//	app, run image ─ Reader ─▶ inputImage ─▶ assemble ─▶ Result ─ Survey ─▶ []Name ─ Push ─▶ registry
//
// The package never runs buildpacks, reads the environment or prints. Only Push
// writes to a registry. JSON documents are edited in place rather than decoded and
// encoded again, because that would lose members this package does not know.
package rebase

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// created is the creation time of all images and history entries that a rebase
// writes. Buildpacks use the same time. A real time would change the digest with
// every run.
const created = "1980-01-01T00:00:01Z"

// Accept says which run images a rebase accepts as the new base.
type Accept int

// The values of Accept, from strict to lenient.
const (
	AcceptListed         Accept = iota + 1 // images that the app's metadata names
	AcceptSameRepository                   // also other tags of these repositories
	AcceptAny                              // any image
)

// ParseAccept parses "listed", "same-repository" or "any".
//
// The empty string means "listed".
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

// Options configure a rebase.
type Options struct {
	RunImage string   // the new base; empty: choose one of the candidates
	Files    []File   // run images to choose from instead of those in the app's label
	Mirrors  []string // local mirrors of the run image
	Order    Order    // order of the candidates; 0: PackOrder
	Host     string   // host that the result is written to; empty: the app's host
	Accept   Accept   // 0: AcceptListed
	Force    bool     // overrides Accept and those checks that can be overridden
}

// From is the previous base of an app, as its label names it.
type From struct {
	Reference string
	TopLayer  string // diff ID
}

// Onto is the new base of an app.
type Onto struct {
	Image    string
	Digest   v1.Hash // digest of the image or index that Image names
	TopLayer string  // diff ID
}

// Result is a rebased app before it is pushed.
//
// For an index, From, Onto and PlatformAPI are those of its first image.
type Result struct {
	App         Reference // the app that was read, with its digest
	Digest      v1.Hash   // digest of the rebased app
	UpToDate    bool      // the app is on the new base already; Digest is App.Digest
	From        From
	Onto        Onto
	PlatformAPI string             // CNB_PLATFORM_API of the app; empty if it has none
	Manifest    *registry.Manifest // image manifest or index with digest Digest
	Index       bool               // Manifest is an index, and Images are its children
	Images      []Image
	Notes       []string // warnings

	byTag bool // App was read by its tag, which then pointed to App.Digest
}

// Image is one image of a Result.
type Image struct {
	Platform    string  // os/architecture[/variant]
	Was         v1.Hash // digest of the app's image
	UpToDate    bool    // the image is on the new base already; Manifest is unchanged
	From        From
	Onto        Onto
	PlatformAPI string
	Manifest    *registry.Manifest

	blobs    []blob // blobs of Manifest, each digest once; empty if UpToDate
	notes    []string
	platform platform
	base     v1.Hash // digest of the image for this platform, where Onto is an index
}

// blob is a configuration or layer of a rebased image.
type blob struct {
	v1.Descriptor
	from name.Repository // repository that holds the blob; zero: the content is in raw
	raw  []byte
}

// acceptBase checks that Options allow the new base.
//
// names are the run image names to write into the label of the app. They are nil
// if the label needs no change. note is a warning about an override.
func acceptBase(m *metadata, to newBase, o Options) (names *Names, note string, err error) {
	if m.lists(to.Reference, to.also) {
		return nil, "", nil
	}
	if o.Accept == AcceptSameRepository {
		if names, ok := m.withTag(to.Reference); ok {
			return &names, "", nil
		}
	}
	text := fmt.Sprintf("new base image %q not found in existing run image metadata: %q", to.given, m.listed)
	if o.Force || o.Accept == AcceptAny {
		return &Names{Image: to.given}, text, nil
	}
	hint := "--accept=any"
	if _, ok := m.withTag(to.Reference); ok {
		hint = "--accept=same-repository"
	}
	return nil, "", fmt.Errorf("%s: %s would accept it", text, hint)
}

// newBase is a reference to an app's new base.
type newBase struct {
	Reference
	given  string   // spelling of the user, file or label
	also   []string // names that acceptBase treats as listed in the metadata
	digest v1.Hash  // digest of the image or index
}

// assemble returns app on top of another base.
func assemble(app, base *inputImage, m *metadata, to newBase, o Options) (*Image, error) {
	cut, err := baseLayerCount(app, m)
	if err != nil {
		return nil, err
	}
	if len(base.layers) == 0 {
		return nil, fmt.Errorf("the new base image %s has no layers", to.Reference)
	}
	top := base.diffIDs[len(base.diffIDs)-1]
	img := &Image{
		Platform: app.platform.String(), Was: app.manifest.Digest, From: From{m.reference, m.topLayer}, PlatformAPI: app.platformAPI,
		Onto: Onto{Image: to.Reference.String(), Digest: to.digest, TopLayer: top}, platform: app.platform, base: base.manifest.Digest,
	}
	names, note, err := acceptBase(m, to, o)
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
	overridable, err := check(app, base)
	if err != nil {
		return nil, err
	}
	if len(overridable) > 0 && !o.Force {
		return nil, fmt.Errorf("%s: use --force to rebase anyway", strings.Join(overridable, "; "))
	}
	img.notes = append(img.notes, overridable...)
	label, err := m.rebased(top, base.at.Repository.Digest(base.manifest.Digest.String()).String(), names)
	if err != nil {
		return nil, err
	}
	img.platform = app.platform.on(base.platform)
	img.Platform = img.platform.String()
	config, err := app.configOn(base, cut, label)
	if err != nil {
		return nil, err
	}
	return img, img.buildManifest(app, base, cut, config)
}

// baseLayerCount returns the number of layers that app has from its base.
//
// A diff ID can occur more than once: all empty layers have the same one. The top
// layer of the base is therefore its last occurrence below the layers that the
// metadata lists as layers of the app.
func baseLayerCount(app *inputImage, m *metadata) (int, error) {
	if m.topLayer == "" {
		return 0, fmt.Errorf("could not find base layer in image: label %s has no runImage.topLayer", lifecycleLabel)
	}
	own := len(app.diffIDs) // index of the first layer of the app
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

// buildManifest sets the manifest and blobs of a rebased image.
//
// The first cut layers of app are those of its old base.
func (img *Image) buildManifest(app, base *inputImage, cut int, config []byte) error {
	kind, err := app.family()
	if err != nil {
		return err
	}
	desc := app.configPart.desc.clone()
	desc.set("mediaType", string(kind.config()))
	pointTo(desc, config)
	img.blobs = []blob{{Descriptor: v1.Descriptor{Digest: registry.DigestOf(config), Size: int64(len(config))}, raw: config}}

	held := map[string]name.Repository{}
	for _, l := range app.layers {
		held[l.Digest.String()] = app.at.Repository
	}
	layers := make([]*object, 0, len(base.layers)+len(app.layers)-cut)
	added := map[string]struct{}{}
	add := func(l part, from name.Repository) error {
		d := l.desc.clone()
		mediaType, err := kind.layer(l.MediaType)
		if err != nil {
			return err
		}
		d.set("mediaType", string(mediaType))
		layers = append(layers, d)
		if _, twice := added[l.Digest.String()]; !twice {
			added[l.Digest.String()] = struct{}{}
			img.blobs = append(img.blobs, blob{Descriptor: l.Descriptor, from: from})
		}
		return nil
	}
	for _, l := range base.layers {
		from, has := held[l.Digest.String()]
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
	if err := setBaseAnnotations(doc, img.Onto.Image, base.manifest.Digest); err != nil {
		return err
	}
	img.Manifest, err = encode(doc, app.manifest.MediaType)
	return err
}

// pointTo makes desc a descriptor of other content.
func pointTo(desc *object, content []byte) {
	desc.set("digest", registry.DigestOf(content).String())
	desc.set("size", len(content))
	desc.remove(func(key string) bool { return key == "data" || key == "urls" })
}

// encode returns the manifest or index with the content of doc.
func encode(doc *object, mediaType types.MediaType) (*registry.Manifest, error) {
	raw, err := strictjson.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encoding the manifest: %w", err)
	}
	return &registry.Manifest{Digest: registry.DigestOf(raw), MediaType: mediaType, Raw: raw}, nil
}

// setBaseAnnotations updates the OCI annotations that name the base image. It adds
// none that are missing.
func setBaseAnnotations(o *object, name string, digest v1.Hash) error {
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

// Traffic counts the layers that a push writes to a repository, by method.
type Traffic struct {
	There   int // the repository holds the layer already
	Mounted int // mounted from another repository of the same host
	Copied  int // copied from another host
}

// Traffic returns the expected traffic of a push to repo.
//
// It assumes that the host does not refuse mounts.
func (res *Result) Traffic(repo name.Repository) Traffic {
	var t Traffic
	for i := range res.Images {
		for _, b := range res.Images[i].blobs {
			switch {
			case b.from == (name.Repository{}):
			case b.from == repo:
				t.There++
			case b.from.RegistryStr() == repo.RegistryStr():
				t.Mounted++
			default:
				t.Copied++
			}
		}
	}
	return t
}
