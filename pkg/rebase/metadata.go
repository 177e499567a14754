package rebase

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// The labels of images that buildpacks build (platform specification, "Labels").
const (
	lifecycleLabel = "io.buildpacks.lifecycle.metadata"
	builderLabel   = "io.buildpacks.builder.metadata"
	rebasableLabel = "io.buildpacks.rebasable"
	stackLabel     = "io.buildpacks.stack.id"
	mixinsLabel    = "io.buildpacks.stack.mixins"
	distroName     = "io.buildpacks.base.distro.name"
	distroVersion  = "io.buildpacks.base.distro.version"
)

// baseLabels are the prefixes of labels that describe the base. An app has the same
// values as its base.
var baseLabels = []string{"io.buildpacks.stack.", "io.buildpacks.base."}

func isBaseLabel(key string) bool {
	return slices.ContainsFunc(baseLabels, func(p string) bool { return strings.HasPrefix(key, p) })
}

// maxMirrors is the maximum number of mirrors of a run image in one file or label.
const maxMirrors = 1000

// Names holds the name of a run image and the names of its mirrors.
type Names struct {
	Image   string   `toml:"image" json:"image"`
	Mirrors []string `toml:"mirrors" json:"mirrors"`
}

// all returns all names, starting with the image.
func (n Names) all() []string {
	if n.Image == "" {
		return n.Mirrors
	}
	return append([]string{n.Image}, n.Mirrors...)
}

func (n Names) check() error {
	switch {
	case n.Image == "" && len(n.Mirrors) > 0:
		return errors.New("mirrors without an image")
	case len(n.Mirrors) > maxMirrors:
		return fmt.Errorf("%d mirrors: more than %d are refused", len(n.Mirrors), maxMirrors)
	}
	return nil
}

// metadata is the content of an app's lifecycle label.
type metadata struct {
	root     *object
	run      *object // runImage
	stack    *object
	stackRun *object // stack.runImage, which older platforms use

	topLayer, reference string              // of the current base
	names               Names               // of the run image
	listed              []string            // all names in runImage and stack.runImage
	layers              map[string]struct{} // diff IDs of the app's own layers
}

func parseMetadata(label string) (*metadata, error) {
	m := &metadata{layers: map[string]struct{}{}}
	var err error
	if m.root, err = parseObject([]byte(label)); err != nil {
		return nil, err
	}
	if m.run, err = m.root.object("runImage"); err != nil {
		return nil, err
	}
	if m.stack, err = m.root.object("stack"); err != nil {
		return nil, err
	}
	if m.stackRun, err = m.stack.object("runImage"); err != nil {
		return nil, err
	}
	names, err := readNames(m.run)
	if err != nil {
		return nil, err
	}
	old, err := readNames(m.stackRun)
	if err != nil {
		return nil, err
	}
	m.listed = appendNew(nil, append(names.all(), old.all()...))
	if m.names = names; names.Image == "" {
		m.names = old
	}
	for _, o := range []*object{m.run, m.stackRun} {
		if m.topLayer != "" {
			break
		}
		if err := errors.Join(o.read("topLayer", &m.topLayer), o.read("reference", &m.reference)); err != nil {
			return nil, err
		}
	}
	var tree any
	if err := json.Unmarshal([]byte(label), &tree); err != nil {
		return nil, err
	}
	m.collect(tree)
	return m, nil
}

func readNames(o *object) (Names, error) {
	var n Names
	if err := errors.Join(o.read("image", &n.Image), o.read("mirrors", &n.Mirrors)); err != nil {
		return n, err
	}
	if len(n.Mirrors) > maxMirrors {
		return n, n.check()
	}
	return n, nil
}

// collect adds the diff IDs of all layers in the label: values of "sha" at any depth.
func (m *metadata) collect(tree any) {
	switch v := tree.(type) {
	case []any:
		for _, e := range v {
			m.collect(e)
		}
	case map[string]any:
		if sha, ok := v["sha"].(string); ok {
			m.layers[sha] = struct{}{}
		}
		for _, e := range v {
			m.collect(e)
		}
	}
}

// lists reports whether ref is one of the names in the metadata or in also. It
// compares tags, and ignores digests.
func (m *metadata) lists(ref Reference, also []string) bool {
	return slices.ContainsFunc(append(slices.Clone(m.listed), also...), func(s string) bool {
		r, err := ParseReference(s)
		return err == nil && r.name() == ref.name()
	})
}

// withTag returns the names with the tag of to.
//
// The metadata must list the repository of to, else ok is false. All names that have
// the same tag as this listed name get the new tag; the others are unchanged.
func (m *metadata) withTag(to Reference) (names Names, ok bool) {
	var was string
	for _, s := range m.listed {
		if r, err := ParseReference(s); err == nil && r.Repository == to.Repository {
			was, ok = r.name()[len(r.Repository.String()):], true
			break
		}
	}
	move := func(s string) string {
		r, err := ParseReference(s)
		if err != nil || to.Tag == "" || r.name() != r.Repository.String()+was {
			return s
		}
		return strings.TrimSuffix(strings.TrimSuffix(s, "@"+r.Digest.String()), ":"+r.Tag) + ":" + to.Tag
	}
	names = Names{Image: move(m.names.Image), Mirrors: make([]string, len(m.names.Mirrors))}
	for i, s := range m.names.Mirrors {
		names.Mirrors[i] = move(s)
	}
	return names, ok
}

// rebased returns the label for another base.
//
// names replace those of the run image, unless nil. stack.runImage, which older
// platforms read, is kept consistent with runImage.
func (m *metadata) rebased(topLayer, reference string, names *Names) (string, error) {
	root, run, stack, stackRun := m.root.clone(), m.run.clone(), m.stack.clone(), m.stackRun.clone()
	based := []*object{run}
	if stackRun.index("topLayer") >= 0 {
		based = append(based, stackRun)
	}
	for _, o := range based {
		o.set("topLayer", topLayer)
		o.set("reference", reference)
	}
	if names != nil {
		for _, o := range []*object{run, stackRun} {
			o.set("image", names.Image)
			o.set("mirrors", append([]string{}, names.Mirrors...))
		}
	}
	if names != nil || len(based) > 1 {
		stack.set("runImage", stackRun)
		root.set("stack", stack)
	}
	root.set("runImage", run)
	raw, err := strictjson.Marshal(root)
	return string(raw), err
}

// builderNames returns the run image in a builder's label.
//
// It is the first of "images", or else "stack.runImage", which older builders have.
func builderNames(label string) (Names, error) {
	root, err := parseObject([]byte(label))
	if err != nil {
		return Names{}, err
	}
	var doc struct {
		Stack  struct{ RunImage Names }
		Images []Names
	}
	if err := errors.Join(root.read("stack", &doc.Stack), root.read("images", &doc.Images)); err != nil {
		return Names{}, err
	}
	all := append(doc.Images, doc.Stack.RunImage)
	for _, n := range all {
		if err := n.check(); err != nil {
			return Names{}, err
		}
	}
	return all[0], nil
}
