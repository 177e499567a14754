package manifest

import (
	"errors"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"

	"go.yaml.in/yaml/v3"
)

// Names in a thin manifest directory, and limits on it.
const (
	manifestsDir = "manifests"
	imagesDir    = "images"
	manifestName = "promoter-manifest.yaml"
	imagesName   = "images.yaml"
	maxEntries   = 200_000 // files and directories; the largest known has 300
	maxDepth     = 32      // directories within directories
	workers      = 4       // files parsed at a time: parsing is all that takes long
)

// thin is a thin manifest directory.
type thin struct {
	fsys    fs.FS
	display string
	entries int
	faults  []Fault // of the directory, not of a file in it
}

// pair is a promoter-manifest.yaml and its images.yaml.
type pair struct {
	manifests []*Manifest
	files     []*source
	found     bool // whether there is a promoter-manifest.yaml
}

// Thin reads the thin manifest directory rooted at fsys, which messages call display ("" or "." for
// relative paths alone). Several goroutines read from fsys.
func Thin(fsys fs.FS, display string) *Set {
	t := &thin{fsys: fsys, display: display}
	if !t.isDir(".") {
		return &Set{Faults: t.faults, Digest: digest(nil), Absent: t.lacks(".")}
	}
	hasImages := t.isDir(imagesDir)
	hasManifests := t.isDir(manifestsDir)
	set := &Set{Faults: t.faults, Absent: t.lacks(manifestsDir) && t.lacks(manifestName)}
	t.faults = nil
	var files []*source
	found := false
	if hasManifests {
		for _, p := range t.pairs(hasImages) {
			set.add(p.manifests, p.files...)
			files = append(files, p.files...)
			found = found || p.found
		}
		t.walk(manifestsDir, manifestsDir, 0)
		if !found && len(t.faults) == 0 {
			t.fault(Broken, ".", "no thin manifest in it: want "+manifestsDir+"/<name>/"+manifestName)
			set.Absent = t.lacks(manifestName)
		}
	}
	if hasImages {
		t.walk(imagesDir, imagesDir, 0)
	}
	if hasImages && hasManifests {
		t.orphans()
		t.unreadable(manifestsDir, imagesDir)
		t.unreadable(imagesDir, manifestsDir)
	}
	if t.names(".", manifestName) {
		t.fault(Broken, manifestName, "misplaced: a promoter-manifest belongs in manifests/<name>/")
	}
	set.Faults = append(set.Faults, t.faults...)
	set.Digest = digest(files)
	return set.bound()
}

// call returns what messages call the file or directory name.
func (t *thin) call(name string) string { return path.Join(t.display, name) }

// fault notes that something is wrong with the file or directory name as a whole.
func (t *thin) fault(severity Severity, name, message string) {
	t.faults = append(t.faults, Fault{Pos: Pos{File: t.call(name)}, Severity: severity, Message: message})
}

// isDir reports whether name is a directory, and notes a fault if not.
func (t *thin) isDir(name string) bool {
	info, err := fs.Stat(t.fsys, name)
	if err != nil {
		message := cause(err).Error()
		if name != "." {
			message += ": a thin manifest directory holds " + manifestsDir + "/ and " + imagesDir + "/"
		}
		t.fault(Broken, name, message)
		return false
	}
	if !info.IsDir() {
		t.fault(Broken, name, "not a directory")
	}
	return info.IsDir()
}

// lacks reports whether there is no file or directory called name.
func (t *thin) lacks(name string) bool {
	_, err := fs.Stat(t.fsys, name)
	return errors.Is(err, fs.ErrNotExist)
}

// pairs reads the pair of every directory in manifests/, in lexical order.
func (t *thin) pairs(hasImages bool) []pair {
	names := t.subdirs(manifestsDir)
	pairs := make([]pair, len(names))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, len(names)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				pairs[i] = t.pair(names[i], hasImages)
			}
		})
	}
	wg.Wait()
	return pairs
}

// pair reads manifests/<d>/promoter-manifest.yaml and images/<d>/images.yaml.
func (t *thin) pair(d string, hasImages bool) pair {
	dir := manifestsDir + "/" + d
	name := dir + "/" + manifestName
	if !t.names(dir, manifestName) {
		// The Kubernetes promoter passes such a directory over, and real trees hold some.
		s := &source{reader: reader{file: t.call(dir)}}
		s.whole(Warning, "no %s in it: nothing of it is promoted", manifestName)
		return pair{files: []*source{s}}
	}
	m := open(t.fsys, name, t.call(name))
	p := pair{files: []*source{m}, found: true}
	p.manifests = m.manifests("registries", m.thinManifest)
	if !hasImages {
		return p
	}
	name = imagesDir + "/" + d + "/" + imagesName
	im := open(t.fsys, name, t.call(name))
	if !im.read {
		im.faults[0].Message += ": " + m.file + " needs it"
	}
	p.files = append(p.files, im)
	list := Manifest{}
	for _, other := range p.manifests { // names are checked below the longest registry of all
		list.Destinations = append(append(list.Destinations, other.Source), other.Destinations...)
	}
	for _, root := range im.docs {
		im.imagesList(root, &list)
	}
	for _, other := range p.manifests {
		other.Images, other.Refused = list.Images, list.Refused
	}
	return p
}

// thinManifest reads a document of a promoter-manifest.yaml into m.
func (r *reader) thinManifest(root *yaml.Node, m *Manifest) {
	if e := r.known(root, "a thin manifest", "registries", "imagesPath", "provenance"); e != nil {
		r.provenance(e)
		r.registries(root, e, m)
	}
}

// imagesList reads a document of an images.yaml into m.
func (r *reader) imagesList(root *yaml.Node, m *Manifest) {
	if deref(root).Kind == yaml.MappingNode {
		fields, _ := r.fields(root, "images.yaml", "images")
		for _, f := range fields {
			if f.name() == "images" {
				r.fault(Broken, f.key, "images: around the list: an images.yaml is the bare list, so leave out this line")
				root = f.value
			}
		}
	}
	items, _ := r.items(root, "images.yaml")
	r.images(items, m)
}
