package manifest

import (
	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// retags reads a retag list into im, and refused entries into m.
//
// If bad is not nil, the whole list is refused because of that fault.
func (r *reader) retags(list yamlread.Field, im *Image, m *Manifest, bad *Fault) {
	items, ok := r.Items(list.Value, "retag")
	if !ok {
		return
	}
	if len(items) == 0 {
		r.Fault(Warning, list.Key, "retag is empty: nothing is promoted")
	}
	for _, n := range items {
		e := r.Known(n, "a retag entry", "src_build_tag", "src_ref", "tag", "digest")
		if e == nil {
			continue
		}
		retag, why, ok := r.retag(n, e, "a retag entry")
		if bad != nil {
			why = bad
		}
		switch {
		case !ok:
		case why != nil:
			m.Refused = append(m.Refused, retag.refusal(im.Name, *why))
		default:
			im.Retags = append(im.Retags, retag)
		}
	}
}

// retag reads the keys of a retag or native entry.
//
// It returns false if a key is missing or has the wrong type. If the text of a key is
// bad, why is its fault, and the Retag has the text of the file.
func (r *reader) retag(n *yaml.Node, e map[string]yamlread.Field, what string) (retag Retag, why *Fault, ok bool) {
	refuse := func(key string, err error) {
		if err == nil {
			return
		}
		if f := r.Fault(Refused, e[key].Value, "%s: %v", key, err); why == nil {
			why = &f
		}
	}
	from, hasFrom := r.Required(n, e, "src_build_tag", what)
	if hasFrom {
		refuse("src_build_tag", image.CheckTag(from))
	}
	ref, refOK := "", true
	if f, given := e["src_ref"]; given {
		ref, refOK = r.Text(f.Value, "src_ref")
	}
	to, hasTo := r.Required(n, e, "tag", what)
	if hasTo {
		refuse("tag", image.CheckTag(to))
	}
	pin, pinOK := "", true
	if f, given := e["digest"]; given {
		if pin, pinOK = r.Text(f.Value, "digest"); pinOK && !yamlread.IsNull(yamlread.Deref(f.Value)) {
			_, err := image.ParseDigest(pin)
			refuse("digest", err)
		}
	}
	retag = Retag{SourceTag: from, SourceRef: ref, Tag: to, Digest: image.Hash(pin), Pos: r.Pos(n)}
	return retag, why, hasFrom && hasTo && refOK && pinOK
}

// refusal returns a refused retag of the image name.
func (t Retag) refusal(name string, why Fault) Refusal {
	return Refusal{Name: name, Digest: image.DigestString(t.Digest), SourceTag: t.SourceTag, Tags: []string{t.Tag}, Fault: why}
}

// mixed is the fault of a file that is neither a manifest nor a native file.
const mixed = "an entry without src_build_tag in a file without registries: " +
	"a manifest needs registries, a native StarlingX file needs src_build_tag in every entry"

// native reads a native StarlingX file's entries into m.
//
// guessed means that the type of the file was guessed from one of its entries.
func (r *reader) native(entries []*yaml.Node, m *Manifest, guessed bool) {
	const what = "an entry of a native file"
	for _, n := range entries {
		if guessed && !hasBuildTag(n) {
			r.Fault(Broken, n, mixed)
			continue
		}
		e := r.Known(n, what, "name", "src_build_tag", "src_ref", "tag", "digest")
		if e == nil {
			continue
		}
		full, named := r.Required(n, e, "name", what)
		var bad *Fault
		var repo name.Repository
		if named {
			var err error
			repo, err = image.ParseRepository(full)
			bad = r.refused(e["name"].Value, err)
		}
		retag, why, ok := r.retag(n, e, what)
		if bad == nil {
			bad = why
		}
		switch {
		case !ok || !named:
		case bad != nil:
			m.Refused = append(m.Refused, retag.refusal(full, *bad))
		default:
			m.Images = append(m.Images, Image{Name: full, Repository: repo, Retags: []Retag{retag}, Pos: r.Pos(n)})
		}
	}
}

// hasBuildTag reports whether an entry has the key src_build_tag, its own or merged.
func hasBuildTag(n *yaml.Node) bool {
	_, ok := yamlread.Lookup(n, "src_build_tag")
	return ok
}
