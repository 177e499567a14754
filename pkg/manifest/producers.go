package manifest

import (
	"io/fs"
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Names of producers' files.
const (
	sourcesName = "sources.yaml"
	lockSuffix  = ".lock.yaml"
)

// ThinProducers reads the thin manifest directory rooted at fsys as Thin does, and
// the sources.yaml and its lock beside every images.yaml; or what the lock holds still.
func ThinProducers(fsys fs.FS, display string) (*Set, []*Producers) {
	set := Thin(fsys, display)
	t := &thin{fsys: fsys, display: display}
	var all []*Producers
	for _, d := range t.subdirs(imagesDir) {
		dir := imagesDir + "/" + d
		name := dir + "/" + sourcesName
		p := &Producers{File: t.call(name), Name: name, Lock: dir + "/sources" + lockSuffix}
		lock := locks(fsys, p, t.call(p.Lock))
		if _, err := fs.Stat(fsys, name); err != nil { // its directory's other faults are told by Thin
			set.add(nil, lock)
			if len(p.Locked) > 0 {
				all = append(all, p)
			}
			continue
		}
		s := open(fsys, name, p.File)
		p.Images = dir + "/" + imagesName
		p.Manifests = set.of(t.call(manifestsDir + "/" + d + "/" + manifestName))
		registry := s.below(p.Manifests)
		if registry == nil {
			s.whole(Refused, "not resolved: there is no usable %s/%s/%s", manifestsDir, d, manifestName)
		} else {
			f := &flux{reader: &s.reader, registry: registry}
			for _, root := range s.docs {
				s.sourcesList(root, registry, p, f)
			}
			f.add(p)
			all = append(all, p)
		}
		set.add(nil, s, lock)
	}
	return set, all
}

// PlainProducers reads the plain manifest, native StarlingX file or stream of Flux
// resources called name as Plain does, and its producers and their lock.
func PlainProducers(fsys fs.FS, name, display string) (*Set, []*Producers) {
	if display == "" {
		display = name
	}
	s := open(fsys, name, display)
	p := &Producers{File: s.file, Name: name, Lock: name + lockSuffix, Images: name}
	var manifests []*Manifest
	if s.resources() {
		p.Images = "" // and there is nothing for Plain to read
	} else {
		manifests = s.manifests("registries", s.document)
	}
	for _, m := range manifests {
		switch {
		case m.Native:
			p.Images = ""
			p.native(m)
		case len(m.Producers) > 0 && len(p.Manifests) > 0:
			s.whole(Broken, "sources in a second document of the file")
		case len(m.Producers) > 0:
			p.Manifests, p.Entries = []*Manifest{m}, m.Producers
		}
	}
	if slices.ContainsFunc(s.docs, isResource) {
		p.flux(s, manifests)
	}
	set := &Set{Digest: digest([]*source{s})}
	set.add(manifests, s, locks(fsys, p, display+lockSuffix))
	set.bound()
	if len(p.Entries) == 0 && len(p.Locked) == 0 {
		return set, nil
	}
	return set, []*Producers{p}
}

// flux makes the Flux resources of a file producers, too. Their images are those of
// the manifests in it.
func (p *Producers) flux(s *source, manifests []*Manifest) {
	if len(p.Manifests) == 0 {
		p.Manifests = manifests
	}
	f := &flux{reader: &s.reader, registry: s.below(p.Manifests)}
	for _, root := range s.docs {
		if isResource(root) {
			f.read(root)
		}
	}
	f.add(p)
}

// sourcesList reads a document of a sources.yaml into p, or what Flux calls a resource into f.
func (r *reader) sourcesList(root *yaml.Node, registry *image.Registry, p *Producers, f *flux) {
	if isResource(root) {
		f.read(root)
		return
	}
	if deref(root).Kind == yaml.MappingNode {
		list, ok := r.known(root, sourcesName, "sources")["sources"]
		if !ok {
			return
		}
		root = list.value
	}
	items, _ := r.items(root, sourcesName)
	p.Entries = append(p.Entries, r.producers(items, registry)...)
}

// below returns the registry that names of producers are below: the source of the manifests.
func (s *source) below(manifests []*Manifest) *image.Registry {
	var registry *image.Registry
	for _, m := range manifests {
		switch {
		case m.Source == nil:
		case registry == nil:
			registry = &m.Source.Name
		case *registry != m.Source.Name:
			s.whole(Broken, "its manifest has two sources, %s and %s: names could be below either", registry, m.Source.Name)
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

// native makes the entries of a native file producers: each selects a source tag.
func (p *Producers) native(m *Manifest) {
	for _, im := range m.Images {
		for _, t := range im.Retags {
			p.Entries = append(p.Entries, &Producer{
				Name: im.Name, Select: Select{Tag: t.SourceTag}, Ref: t.SourceRef, Tags: []string{t.Tag},
				Repository: im.Repository, Output: im.Repository, Pos: t.Pos,
			})
		}
	}
}
