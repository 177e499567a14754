package manifest

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// images reads the entries of an images list into m.
func (r *reader) images(entries []*yaml.Node, m *Manifest) {
	below := longest(m)
	for _, n := range entries {
		r.image(n, m, below)
	}
}

// longest returns the registry of m below which names get longest: a name that fits there fits everywhere.
func longest(m *Manifest) image.Registry {
	var below image.Registry
	for _, d := range append(slices.Clone(m.Destinations), m.Source) {
		if d != nil && len(d.Name.String()) > len(below.String()) {
			below = d.Name
		}
	}
	return below
}

// image reads one entry.
func (r *reader) image(n *yaml.Node, m *Manifest, below image.Registry) {
	e := r.known(n, "an images entry", "name", "dmap", "retag")
	if e == nil {
		return
	}
	// The rest of an entry without a name is read for its faults alone.
	into := &Manifest{}
	var bad *Fault
	name, named := r.required(n, e, "name", "an images entry")
	if named {
		into = m
		if _, err := below.Repository(name); err != nil {
			f := r.fault(Refused, e["name"].value, "%v", err)
			bad = &f
		}
	}
	digests, hasDigests := e["dmap"]
	retags, hasRetags := e["retag"]
	if !hasDigests && !hasRetags {
		r.fault(Broken, n, "an images entry with neither dmap nor retag")
		return
	}
	im := Image{Name: name, Pos: r.pos(n)}
	if hasDigests {
		r.digests(digests, &im, into, bad)
	}
	if hasRetags {
		r.retags(retags, &im, into, bad)
	}
	if bad == nil {
		into.Images = append(into.Images, im)
	}
}

// digests reads a dmap into im, and what it refuses into m. All of it is refused if the entry is bad.
func (r *reader) digests(dmap field, im *Image, m *Manifest, bad *Fault) {
	var fields []field
	if !null(deref(dmap.value)) {
		var ok bool
		if fields, ok = r.fields(dmap.value, "dmap"); !ok {
			return
		}
	}
	if len(fields) == 0 {
		r.fault(Warning, dmap.key, "dmap is empty: nothing is promoted")
	}
	im.Digests = slices.Grow(im.Digests, len(fields))
	for _, f := range fields {
		items, ok := r.items(f.value, "the tags of a digest")
		if !ok {
			continue
		}
		d, err := image.ParseDigest(f.name())
		why := bad
		if err != nil {
			fault := r.fault(Refused, f.key, "%v", err)
			if why == nil {
				why = &fault
			}
		}
		tags, refused := r.tags(items)
		if why != nil {
			m.Refused = append(m.Refused, Refusal{Name: im.Name, Digest: f.name(), Tags: texts(items), Fault: *why})
			continue
		}
		for _, ref := range refused {
			ref.Name, ref.Digest = im.Name, f.name()
			m.Refused = append(m.Refused, ref)
		}
		// Without any of its tags a digest must not arrive tagless.
		if len(tags) > 0 || len(items) == 0 {
			im.Digests = append(im.Digests, Digest{Digest: d, Tags: tags, Pos: r.pos(f.key)})
		}
	}
}

// tags reads a tag list, each tag once, and sets the bad ones apart.
func (r *reader) tags(items []*yaml.Node) (tags []Tag, refused []Refusal) {
	seen := make(map[string]struct{}, len(items))
	for _, n := range items {
		s := deref(n)
		if s.Kind != yaml.ScalarNode {
			r.wrong(n, "a tag", "text")
			continue
		}
		if _, ok := seen[s.Value]; ok {
			continue
		}
		seen[s.Value] = struct{}{}
		if null(s) {
			f := r.fault(Refused, n, "tag is null: write it in quotes")
			refused = append(refused, Refusal{Tags: []string{s.Value}, Fault: f})
			continue
		}
		if err := image.CheckTag(s.Value); err != nil {
			f := r.fault(Refused, n, "%v", err)
			refused = append(refused, Refusal{Tags: []string{s.Value}, Fault: f})
			continue
		}
		if tags == nil {
			tags = make([]Tag, 0, len(items))
		}
		tags = append(tags, Tag{Name: s.Value, Pos: r.pos(n)})
	}
	return tags, refused
}

// texts returns the scalars of a list as they are written, each once.
func texts(items []*yaml.Node) []string {
	var all []string
	seen := make(map[string]struct{}, len(items))
	for _, n := range items {
		s := deref(n)
		if _, ok := seen[s.Value]; s.Kind == yaml.ScalarNode && !ok {
			seen[s.Value] = struct{}{}
			all = append(all, s.Value)
		}
	}
	return all
}
