package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// reader reads manifests from a YAML file.
type reader struct{ *yamlread.File }

// Plain reads the plain manifest or native StarlingX file name of fsys.
//
// Messages call it display, or name if display is "".
func Plain(fsys fs.FS, name, display string) *Set {
	if display == "" {
		display = name
	}
	r := &reader{yamlread.Open(fsys, name, display)}
	return r.set(r.manifests("registries", r.document)).checked()
}

// Native reads the native StarlingX file name of fsys. Messages call it display.
//
// It is a fault if the file is of another type.
func Native(fsys fs.FS, name, display string) *Set {
	r := &reader{yamlread.Open(fsys, name, display)}
	return r.set(r.manifests("images", r.nativeDocument)).checked()
}

// set returns the set of manifests that are the content of the file.
func (r *reader) set(manifests []*Manifest) *Set {
	set := &Set{Digest: yamlread.Digest(r.File)}
	set.add(manifests, r.File)
	return set
}

// Join returns one set with the manifests and faults of several, in order.
func Join(sets ...*Set) *Set {
	all := &Set{}
	h := sha256.New()
	for _, s := range sets {
		all.Manifests = append(all.Manifests, s.Manifests...)
		all.Faults = append(all.Faults, s.Faults...)
		fmt.Fprintln(h, s.Digest)
	}
	all.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return all.checked()
}

// manifests reads every document of the file as a manifest.
//
// It leaves out manifests without a source or a destination, which have faults.
// content is what an empty file lacks, for its fault.
func (r *reader) manifests(content string, read func(root *yaml.Node, m *Manifest)) []*Manifest {
	var manifests []*Manifest
	empty := r.Read && len(r.Faults) == 0
	for i, root := range r.Docs {
		if yamlread.IsNull(yamlread.Deref(root)) {
			continue
		}
		empty = false
		if selector.IsResource(root) {
			continue
		}
		m := &Manifest{File: r.Display, Document: i}
		if read(root, m); m.usable() {
			manifests = append(manifests, m)
		}
	}
	if empty {
		r.Whole(Broken, "no %s: the file is empty", content)
	}
	if r.onlyResources() {
		r.Whole(Broken, "no %s: the file has only Flux resources, which cip resolve reads", content)
	}
	return manifests
}

// onlyResources reports whether all the file's documents are Flux resources.
func (r *reader) onlyResources() bool {
	return len(r.Docs) > 0 && !slices.ContainsFunc(r.Docs, func(root *yaml.Node) bool { return !selector.IsResource(root) })
}

// document reads a plain manifest or native file into m.
func (r *reader) document(root *yaml.Node, m *Manifest) {
	if yamlread.Deref(root).Kind == yaml.SequenceNode {
		r.Fault(Broken, root, "a bare list, as in a thin manifest's images.yaml: load its directory as thin manifests, "+
			"or put the list under images: and add registries:")
		items, _ := r.Items(root, "images")
		r.images(items, m)
		return
	}
	e := r.Known(root, "a manifest", "registries", "images", "sources", "provenance")
	if e == nil {
		return
	}
	var entries []*yaml.Node
	if f, ok := e["images"]; ok {
		entries, _ = r.Items(f.Value, "images")
	}
	if _, ok := e["registries"]; !ok && slices.ContainsFunc(entries, hasBuildTag) {
		m.Native = true
		if f, ok := e["provenance"]; ok {
			r.Fault(Broken, f.Key, "provenance in a native file: a policy belongs to the source of a manifest, and a native file has none")
		}
		r.native(entries, m, true)
		return
	}
	m.Policy = r.policy(e)
	r.registries(root, e, m)
	r.images(entries, m)
	if f, ok := e["sources"]; ok {
		items, _ := r.Items(f.Value, "sources")
		registry := image.NewRegistry("localhost", "") // if the source is bad, the selectors are read only for their faults
		if m.Source != nil {
			registry = m.Source.Name
		}
		m.Selectors = selector.Read(r.File, items, &registry)
	}
}

// nativeDocument reads a native document into m.
func (r *reader) nativeDocument(root *yaml.Node, m *Manifest) {
	if f, ok := yamlread.Lookup(root, "registries"); ok {
		r.Fault(Broken, f.Key, "registries: this is a plain manifest, which cip run promotes; "+
			"a native StarlingX file has only images, each with its full name")
		return
	}
	e := r.Known(root, "a native file", "images")
	if e == nil {
		return
	}
	f, ok := e["images"]
	if !ok {
		r.Fault(Broken, root, "a native file without images")
		return
	}
	m.Native = true
	entries, _ := r.Items(f.Value, "images")
	r.native(entries, m, false)
}

// policy reads the policy of a manifest, nil if there is none.
func (r *reader) policy(e map[string]yamlread.Field) *provenance.Policy {
	f, ok := e["provenance"]
	if !ok {
		return nil
	}
	return provenance.Read(r.File, f)
}

// usable reports whether m has a source and destinations, or is native.
func (m *Manifest) usable() bool {
	return m.Native || m.Source != nil && len(m.Destinations) > 0
}
