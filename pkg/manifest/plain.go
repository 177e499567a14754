package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Plain reads the plain manifest or native StarlingX file name of fsys, which messages call display.
func Plain(fsys fs.FS, name, display string) *Set {
	if display == "" {
		display = name
	}
	s := open(fsys, name, display)
	set := &Set{}
	set.add(s.manifests("registries", s.document), s)
	set.Digest = digest([]*source{s})
	return set.bound()
}

// Native reads the native StarlingX file name of fsys, which messages call display. Anything else is a fault.
func Native(fsys fs.FS, name, display string) *Set {
	s := open(fsys, name, display)
	set := &Set{}
	set.add(s.manifests("images", s.nativeDocument), s)
	set.Digest = digest([]*source{s})
	return set.bound()
}

// Join returns several sets as one, in their order.
func Join(sets ...*Set) *Set {
	all := &Set{}
	h := sha256.New()
	for _, s := range sets {
		all.Manifests = append(all.Manifests, s.Manifests...)
		all.Faults = append(all.Faults, s.Faults...)
		fmt.Fprintln(h, s.Digest)
	}
	all.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return all.bound()
}

// manifests reads every document of s, which should have what, as a manifest of its own. Those
// without a source and a destination are left out: what is wrong with them is noted.
func (s *source) manifests(what string, read func(root *yaml.Node, m *Manifest)) []*Manifest {
	var manifests []*Manifest
	empty := s.read && len(s.faults) == 0
	for _, root := range s.docs {
		if null(deref(root)) {
			continue
		}
		empty = false
		if isResource(root) {
			continue
		}
		m := &Manifest{File: s.file}
		if read(root, m); m.usable() {
			manifests = append(manifests, m)
		}
	}
	if empty {
		s.whole(Broken, "no %s: the file is empty", what)
	}
	if s.resources() {
		s.whole(Broken, "no %s: the file holds Flux resources alone, which are for cip resolve", what)
	}
	return manifests
}

// document reads a plain manifest or a native file into m.
func (r *reader) document(root *yaml.Node, m *Manifest) {
	if deref(root).Kind == yaml.SequenceNode {
		r.fault(Broken, root, "a bare list, as in a thin manifest's images.yaml: load its directory as thin manifests, "+
			"or put the list under images: and add registries:")
		items, _ := r.items(root, "images")
		r.images(items, m)
		return
	}
	e := r.known(root, "a manifest", "registries", "images", "sources", "provenance")
	if e == nil {
		return
	}
	var entries []*yaml.Node
	if f, ok := e["images"]; ok {
		entries, _ = r.items(f.value, "images")
	}
	r.provenance(e)
	if _, ok := e["registries"]; !ok && slices.ContainsFunc(entries, builds) {
		m.Native = true
		r.native(entries, m, true)
		return
	}
	r.registries(root, e, m)
	r.images(entries, m)
	if f, ok := e["sources"]; ok {
		items, _ := r.items(f.value, "sources")
		registry := image.NewRegistry("localhost", "") // for the faults of the rest where the source is bad
		if m.Source != nil {
			registry = m.Source.Name
		}
		m.Producers = r.producers(items, &registry)
	}
}

// nativeDocument reads a native document into m.
func (r *reader) nativeDocument(root *yaml.Node, m *Manifest) {
	if f, ok := lookup(root, "registries"); ok {
		r.fault(Broken, f.key, "registries: this is a plain manifest, which cip run promotes; "+
			"a native StarlingX file has images alone, each with its full name")
		return
	}
	e := r.known(root, "a native file", "images")
	if e == nil {
		return
	}
	f, ok := e["images"]
	if !ok {
		r.fault(Broken, root, "a native file without images")
		return
	}
	m.Native = true
	entries, _ := r.items(f.value, "images")
	r.native(entries, m, false)
}

// provenance warns of a policy, since none is enforced, and refuses one that has to be.
func (r *reader) provenance(e map[string]field) {
	f, ok := e["provenance"]
	if !ok {
		return
	}
	mode := ""
	if !null(deref(f.value)) {
		keys := r.known(f.value, "provenance", "mode", "signers", "builders", "sources", "predicateTypes", "level", "levels")
		mode = r.oneOf(keys, "mode", provenanceOff, provenanceWarn, provenanceRequire)
		if mode == provenanceRequire {
			r.fault(Broken, keys["mode"].value, "provenance: mode require is not supported yet: images would be promoted without the check")
		}
	}
	if mode != provenanceOff {
		r.fault(Warning, f.key, "provenance is not enforced")
	}
}

// The modes of a provenance policy.
const (
	provenanceOff     = "off"
	provenanceWarn    = "warn"
	provenanceRequire = "require"
)

// usable reports whether m says where something should be.
func (m *Manifest) usable() bool {
	return m.Native || m.Source != nil && len(m.Destinations) > 0
}
