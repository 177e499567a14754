package manifest

import (
	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// retags reads a retag list into im, and what it refuses into m. All of it is refused if the entry is bad.
func (r *reader) retags(list field, im *Image, m *Manifest, bad *Fault) {
	items, ok := r.items(list.value, "retag")
	if !ok {
		return
	}
	if len(items) == 0 {
		r.fault(Warning, list.key, "retag is empty: nothing is promoted")
	}
	for _, n := range items {
		e := r.known(n, "a retag entry", "src_build_tag", "src_ref", "tag", "digest")
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

// retag reads the keys of a retag or native entry. It returns false if one is missing or of a wrong
// type, and a fault if one is bad; the Retag then holds them as they are written.
func (r *reader) retag(n *yaml.Node, e map[string]field, what string) (retag Retag, why *Fault, ok bool) {
	refuse := func(key string, err error) {
		if err == nil {
			return
		}
		if f := r.fault(Refused, e[key].value, "%s: %v", key, err); why == nil {
			why = &f
		}
	}
	from, hasFrom := r.required(n, e, "src_build_tag", what)
	if hasFrom {
		refuse("src_build_tag", image.CheckTag(from))
	}
	ref, refOK := "", true
	if f, given := e["src_ref"]; given {
		ref, refOK = r.text(f.value, "src_ref")
	}
	to, hasTo := r.required(n, e, "tag", what)
	if hasTo {
		refuse("tag", image.CheckTag(to))
	}
	pin, pinOK := "", true
	if f, given := e["digest"]; given {
		if pin, pinOK = r.text(f.value, "digest"); pinOK && !null(deref(f.value)) {
			_, err := image.ParseDigest(pin)
			refuse("digest", err)
		}
	}
	retag = Retag{SourceTag: from, SourceRef: ref, Tag: to, Digest: image.Hash(pin), Pos: r.pos(n)}
	return retag, why, hasFrom && hasTo && refOK && pinOK
}

// refusal returns the retag of the image name as one that why refuses.
func (t Retag) refusal(name string, why Fault) Refusal {
	return Refusal{Name: name, Digest: image.DigestString(t.Digest), SourceTag: t.SourceTag, Tags: []string{t.Tag}, Fault: why}
}

// mixed is said of a file that is neither a manifest nor a native file.
const mixed = "an entry without src_build_tag in a file without registries: " +
	"a manifest needs registries, a native StarlingX file needs src_build_tag in every entry"

// native reads the entries of a native StarlingX file into m. guessed says that the
// file was taken for one because an entry looks like it.
func (r *reader) native(entries []*yaml.Node, m *Manifest, guessed bool) {
	const what = "an entry of a native file"
	for _, n := range entries {
		if guessed && !builds(n) {
			r.fault(Broken, n, mixed)
			continue
		}
		e := r.known(n, what, "name", "src_build_tag", "src_ref", "tag", "digest")
		if e == nil {
			continue
		}
		full, named := r.required(n, e, "name", what)
		var bad *Fault
		var repo name.Repository
		if named {
			var err error
			if repo, err = image.ParseRepository(full); err != nil {
				f := r.fault(Refused, e["name"].value, "%v", err)
				bad = &f
			}
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
			m.Images = append(m.Images, Image{Name: full, Repository: repo, Retags: []Retag{retag}, Pos: r.pos(n)})
		}
	}
}

// builds reports whether the entry n carries src_build_tag, itself or by a merge key.
func builds(n *yaml.Node) bool {
	_, ok := lookup(n, "src_build_tag")
	return ok
}
