package manifest

import (
	"io/fs"
	"path"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Names of files with selectors.
const (
	sourcesName = "sources.yaml"
	lockSuffix  = ".lock.yaml"
)

// LoadSelectors reads a directory like ThinSelectors, or a file like PlainSelectors.
//
// It is an error if name does not exist in fsys. Messages call it display.
func LoadSelectors(fsys fs.FS, name, display string, newLists bool) (*Set, []*selector.File, error) {
	below, err := directory(fsys, name)
	switch {
	case err != nil:
		return nil, nil, err
	case below == nil:
		set, files := PlainSelectors(fsys, name, display)
		return set, files, nil
	}
	set, files := ThinSelectors(below, display, newLists)
	return set, files, nil
}

// ThinSelectors reads a thin manifest directory like Thin, and its selectors.
//
// Selectors are in a sources.yaml next to an images.yaml. A lock file without a
// sources.yaml is read too, because its entries may have to be removed. With newLists,
// an images.yaml next to a sources.yaml may be missing: cip resolve writes it.
func ThinSelectors(fsys fs.FS, display string, newLists bool) (*Set, []*selector.File) {
	set := (&thin{fsys: fsys, display: display, newList: newLists}).read()
	t := &thin{fsys: fsys, display: display}
	var all []*selector.File
	for _, d := range t.subdirs(imagesDir) {
		images, registries := TeamFiles(d)
		dir := path.Dir(images)
		name := dir + "/" + sourcesName
		p := &selector.File{File: t.displayName(name), Name: name, Lock: dir + "/sources" + lockSuffix}
		lock := p.ReadLock(fsys, t.displayName(p.Lock))
		// A link that is not followed is not "no selectors": opening it reports the fault.
		if !t.hasEntry(dir, sourcesName) {
			set.add(nil, lock)
			if len(p.Locked) > 0 {
				all = append(all, p)
			}
			continue
		}
		f := yamlread.Open(fsys, name, p.File)
		p.Images = images
		manifests := set.of(t.displayName(registries))
		p.Destinations = destinations(manifests)
		registry := sourceRegistry(f, manifests)
		if registry == nil {
			f.Whole(Refused, "not resolved: there is no usable %s", registries)
		} else {
			p.AddSources(f, registry)
			all = append(all, p)
		}
		set.add(nil, f, lock)
	}
	return set, all
}

// PlainSelectors reads a file like Plain, and its selectors and their lock file.
//
// The file is a plain manifest, a native StarlingX file or a stream of Flux
// resources.
func PlainSelectors(fsys fs.FS, name, display string) (*Set, []*selector.File) {
	if display == "" {
		display = name
	}
	r := &reader{yamlread.Open(fsys, name, display)}
	p := &selector.File{File: display, Name: name, Lock: name + lockSuffix, Images: name}
	var manifests, owners []*Manifest // owners have the images list
	if r.onlyResources() {
		p.Images = "" // Plain would report that there is no manifest
	} else {
		manifests = r.manifests("registries", r.document)
	}
	for _, m := range manifests {
		switch {
		case m.Native:
			p.Images = ""
			p.Entries = append(p.Entries, nativeSelectors(m)...)
		case len(m.Selectors) > 0 && len(owners) > 0:
			r.Whole(Broken, "sources in a second document of the file")
		case len(m.Selectors) > 0:
			owners, p.Entries = []*Manifest{m}, m.Selectors
		}
	}
	if slices.ContainsFunc(r.Docs, selector.IsResource) {
		if len(owners) == 0 {
			owners = manifests
		}
		p.AddFlux(r.File, sourceRegistry(r.File, owners))
	}
	p.Destinations = destinations(owners)
	set := r.set(manifests)
	set.add(nil, p.ReadLock(fsys, display+lockSuffix))
	set.checked()
	if len(p.Entries) == 0 && len(p.Locked) == 0 {
		return set, nil
	}
	return set, []*selector.File{p}
}

// destinations returns the destinations of manifests.
func destinations(manifests []*Manifest) []selector.Destination {
	var all []selector.Destination
	for _, m := range manifests {
		for _, d := range m.Destinations {
			all = append(all, selector.Destination{Name: d.Name, MutableTags: d.MutableTags})
		}
	}
	return all
}

// sourceRegistry returns the source of manifests, which names in f are relative to.
//
// It is nil if there is none. Different sources are a fault of f.
func sourceRegistry(f *yamlread.File, manifests []*Manifest) *image.Registry {
	var registry *image.Registry
	for _, m := range manifests {
		switch {
		case m.Source == nil:
		case registry == nil:
			registry = &m.Source.Name
		case *registry != m.Source.Name:
			f.Whole(Broken, "its manifest has two sources, %s and %s: names could be below either", registry, m.Source.Name)
		}
	}
	return registry
}

// of returns the manifests of a file.
func (s *Set) of(file string) []*Manifest {
	var all []*Manifest
	for _, m := range s.Manifests {
		if m.File == file {
			all = append(all, m)
		}
	}
	return all
}

// nativeSelectors returns a selector of the source tag for each entry of a native file.
func nativeSelectors(m *Manifest) []*selector.Selector {
	var all []*selector.Selector
	for _, im := range m.Images {
		for _, t := range im.Retags {
			all = append(all, &selector.Selector{
				Name: im.Name, Select: selector.Select{Tag: t.SourceTag}, Ref: t.SourceRef, Tags: []string{t.Tag},
				Repository: im.Repository, Output: im.Repository, Pos: t.Pos,
			})
		}
	}
	return all
}
