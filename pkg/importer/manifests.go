package importer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Manifest is what is copied from one source to one set of destinations.
type Manifest struct {
	Name         string // for files and directories; derived from the source
	Source       string
	Destinations []string // sorted
	images       map[string]*imageEntry
	ranges       []tagRange // sorted
}

// edge is what one image becomes: the same for each destination.
type edge struct {
	source, name    string
	tag, as, digest string
	versions        string // a semver range instead, for a selector in a comment
}

// tagRange is a semver range of tags of an image.
type tagRange struct{ name, expr string }

// manifests groups the copies by their source and the set of their destinations.
//
// A copy to several registries is in one manifest, so that it is read once.
func (r *reader) manifests() []Manifest {
	edges := map[edge][]string{}
	want := func(e edge, destination string) {
		if !slices.Contains(edges[e], destination) {
			edges[e] = append(edges[e], destination)
		}
	}
	wanted := map[string]imageCopy{}
	for _, c := range r.copies {
		source, destination, name := split(c.from, c.to)
		if name == "" {
			r.refuse(c.node, "%s is copied to %s: an image has the same name below each registry, so the last elements must be equal", c.from, c.to)
			continue
		}
		at := c.to.String() + ":" + c.as
		if first, ok := wanted[at]; c.as != "" && ok && (first.from != c.from || first.tag != c.tag || first.digest != c.digest) {
			r.refuse(c.node, "%s is also copied from elsewhere, at line %d: left out", at, yamlread.Line(first.node.Line))
			continue
		}
		wanted[at] = c
		want(edge{source: source, name: name, tag: c.tag, as: c.as, digest: c.digest}, destination)
	}
	for _, v := range r.ranges {
		source, destination, name := split(v.from, v.to)
		want(edge{source: source, name: name, versions: v.expr}, destination)
	}
	groups := map[string]*Manifest{}
	for e, destinations := range edges {
		group(groups, e.source, destinations).add(e)
	}
	return named(groups)
}

// group returns the manifest for a source and a set of destinations.
func group(groups map[string]*Manifest, source string, destinations []string) *Manifest {
	destinations = slices.Sorted(slices.Values(destinations))
	key := source + " " + strings.Join(destinations, " ")
	if groups[key] == nil {
		groups[key] = &Manifest{Source: source, Destinations: destinations, images: map[string]*imageEntry{}}
	}
	return groups[key]
}

// add adds an edge, which m does not have yet, to the images of m.
func (m *Manifest) add(e edge) {
	if e.versions != "" {
		m.ranges = append(m.ranges, tagRange{e.name, e.versions})
		return
	}
	im := m.images[e.name]
	if im == nil {
		im = &imageEntry{Name: e.name}
		m.images[e.name] = im
	}
	switch {
	case e.digest == "":
		im.Retags = append(im.Retags, retagEntry{quotedText(e.tag), quotedText(e.as)})
		return
	case im.Digests == nil:
		im.Digests = digestMap{}
	}
	tags := im.Digests[e.digest]
	if e.as != "" {
		tags = append(tags, e.as)
	}
	im.Digests[e.digest] = tags
}

// followsTags reports whether m promotes what a tag in the source points to.
func (m Manifest) followsTags() bool {
	for _, im := range m.images {
		if len(im.Retags) > 0 {
			return true
		}
	}
	return false
}

// maxFileName is the maximum length of a name for a file, in bytes, without a number.
const maxFileName = 100

// named returns the manifests, each with a name of its own, sorted by name.
func named(groups map[string]*Manifest) []Manifest {
	taken := map[string]struct{}{}
	var all []Manifest
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		m := groups[key]
		base := strings.NewReplacer("/", "-", ":", "-", "[", "", "]", "").Replace(m.Source)
		base = base[:min(len(base), maxFileName)]
		m.Name = base
		for n := 2; ; n++ {
			if _, ok := taken[m.Name]; !ok {
				break
			}
			m.Name = fmt.Sprintf("%s-%d", base, n)
		}
		taken[m.Name] = struct{}{}
		m.sort()
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Manifest) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// sort sorts what m has, so that equal input gives equal files.
func (m *Manifest) sort() {
	slices.SortFunc(m.ranges, func(a, b tagRange) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.expr, b.expr))
	})
	for _, im := range m.images {
		for _, tags := range im.Digests {
			slices.Sort(tags)
		}
		slices.SortFunc(im.Retags, func(a, b retagEntry) int {
			return cmp.Or(cmp.Compare(a.SourceTag, b.SourceTag), cmp.Compare(a.Tag, b.Tag))
		})
	}
}

// The parts of a manifest file.
type (
	registryEntry struct {
		Name   string `yaml:"name"`
		Source bool   `yaml:"src,omitempty"`
	}
	imageEntry struct {
		Name    string       `yaml:"name"`
		Digests digestMap    `yaml:"dmap,omitempty"`
		Retags  []retagEntry `yaml:"retag,omitempty"`
	}
	retagEntry struct {
		SourceTag quotedText `yaml:"src_build_tag"`
		Tag       quotedText `yaml:"tag"`
	}
)

// digestMap holds the tags of each digest. quotedText is a tag or a digest, in quotes, so
// that 1.10 stays text for every reader of YAML.
type (
	digestMap  map[string][]string
	quotedText string
)

// MarshalYAML implements yaml.Marshaler.
func (d digestMap) MarshalYAML() (any, error) {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, digest := range slices.Sorted(maps.Keys(d)) {
		tags := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, tag := range d[digest] {
			tags.Content = append(tags.Content, quotedText(tag).node())
		}
		m.Content = append(m.Content, quotedText(digest).node(), tags)
	}
	return m, nil
}

// MarshalYAML implements yaml.Marshaler.
func (q quotedText) MarshalYAML() (any, error) { return q.node(), nil }

func (q quotedText) node() *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(q), Style: yaml.DoubleQuotedStyle}
}

// registryEntries returns the registries of m, the source first.
func (m *Manifest) registryEntries() []registryEntry {
	all := []registryEntry{{Name: m.Source, Source: true}}
	for _, d := range m.Destinations {
		all = append(all, registryEntry{Name: d})
	}
	return all
}

// imageEntries returns the images of m, sorted by name.
func (m *Manifest) imageEntries() []*imageEntry {
	all := []*imageEntry{}
	for _, name := range slices.Sorted(maps.Keys(m.images)) {
		all = append(all, m.images[name])
	}
	return all
}
