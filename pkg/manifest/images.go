package manifest

import (
	"errors"
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// images reads the entries of an images list into m.
func (r *reader) images(entries []*yaml.Node, m *Manifest) {
	below := longest(m)
	for _, n := range entries {
		r.image(n, m, below)
	}
}

// longest returns the registry of m with the longest name.
//
// An image name that is not too long below it is not too long below the others.
func longest(m *Manifest) image.Registry {
	var below image.Registry
	for _, d := range append(slices.Clone(m.Destinations), m.Source) {
		if d != nil && len(d.Name.String()) > len(below.String()) {
			below = d.Name
		}
	}
	return below
}

// image reads one entry of an images list.
func (r *reader) image(n *yaml.Node, m *Manifest, below image.Registry) {
	e := r.Known(n, "an images entry", "name", "dmap", "retag")
	if e == nil {
		return
	}
	// An entry without a name is read only for its other faults.
	into := &Manifest{}
	var bad *Fault
	name, named := r.Required(n, e, "name", "an images entry")
	if named {
		into = m
		_, err := below.Repository(name)
		bad = r.refused(e["name"].Value, err)
	}
	digests, hasDigests := e["dmap"]
	retags, hasRetags := e["retag"]
	if !hasDigests && !hasRetags {
		for key := range e {
			if like := yamlread.Closest(key, []string{"dmap", "retag"}); like != "" {
				return // the unknown key is reported, with that name
			}
		}
		r.Fault(Broken, n, "an images entry with neither dmap nor retag")
		return
	}
	im := Image{Name: name, Pos: r.Pos(n)}
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

// refused adds a Refused fault at a node if err is not nil, and returns it.
func (r *reader) refused(n *yaml.Node, err error) *Fault {
	if err == nil {
		return nil
	}
	f := r.Fault(Refused, n, "%v", err)
	return &f
}

// digests reads a dmap into im, and refused digests and tags into m.
//
// If bad is not nil, the whole entry is refused because of that fault.
func (r *reader) digests(dmap yamlread.Field, im *Image, m *Manifest, bad *Fault) {
	var fields []yamlread.Field
	if !yamlread.IsNull(yamlread.Deref(dmap.Value)) {
		var ok bool
		if fields, ok = r.Fields(dmap.Value, "dmap"); !ok {
			return
		}
	}
	if len(yamlread.Deref(dmap.Value).Content) == 0 {
		r.Fault(Warning, dmap.Key, "dmap is empty: nothing is promoted")
	}
	im.Digests = slices.Grow(im.Digests, len(fields))
	for _, f := range fields {
		items, ok := r.Items(f.Value, "the tags of a digest")
		if !ok {
			continue
		}
		d, err := image.ParseDigest(f.Name())
		why := r.refused(f.Key, err)
		if bad != nil {
			why = bad
		}
		tags, refused := r.tags(items)
		if why != nil {
			m.Refused = append(m.Refused, Refusal{Name: im.Name, Digest: f.Name(), Tags: yamlread.Texts(items), Fault: *why})
			continue
		}
		for _, ref := range refused {
			ref.Name, ref.Digest = im.Name, f.Name()
			m.Refused = append(m.Refused, ref)
		}
		// If all tags of a digest are refused, the digest must not be promoted tagless.
		if len(tags) > 0 || len(items) == 0 {
			im.Digests = append(im.Digests, Digest{Digest: d, Tags: tags, Pos: r.Pos(f.Key)})
		}
	}
}

// tags reads a list of tags, each tag once. Bad tags are returned as refused.
func (r *reader) tags(items []*yaml.Node) (tags []Tag, refused []Refusal) {
	seen := make(map[string]struct{}, len(items))
	for _, n := range items {
		s := yamlread.Deref(n)
		if s.Kind != yaml.ScalarNode {
			r.WrongType(n, "a tag", "text")
			continue
		}
		if _, ok := seen[s.Value]; ok {
			continue
		}
		seen[s.Value] = struct{}{}
		err := image.CheckTag(s.Value)
		if yamlread.IsNull(s) {
			err = errors.New("tag is null: write it in quotes")
		}
		if f := r.refused(n, err); f != nil {
			refused = append(refused, Refusal{Tags: []string{s.Value}, Fault: *f})
			continue
		}
		if tags == nil {
			tags = make([]Tag, 0, len(items))
		}
		tags = append(tags, Tag{Name: s.Value, Pos: r.Pos(n)})
	}
	return tags, refused
}
