package manifest

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Names in a thin manifest directory, and limits of it.
const (
	manifestsDir = "manifests"
	imagesDir    = "images"
	manifestName = "promoter-manifest.yaml"
	imagesName   = "images.yaml"
	maxEntries   = 200_000 // files and directories; the largest known tree has 300
	maxDepth     = 32      // nested directories
	workers      = 4       // files parsed at a time; most of the time is spent parsing
)

// thin reads a thin manifest directory.
type thin struct {
	fsys    fs.FS
	display string
	newList bool // a directory with a sources.yaml may lack its images.yaml
	entries int
	faults  []Fault // of directories and misplaced files, not of files that are read
}

// ThinDirectories returns the names of the directories that a thin manifest directory has.
func ThinDirectories() []string { return []string{manifestsDir, imagesDir} }

// pair is a promoter-manifest.yaml and its images.yaml.
type pair struct {
	manifests []*Manifest
	files     []*yamlread.File
	found     bool // there is a promoter-manifest.yaml
}

// Thin reads the thin manifest directory fsys. Messages call it display.
//
// With display "" or ".", messages have paths relative to the directory. Several
// goroutines read from fsys.
func Thin(fsys fs.FS, display string) *Set {
	return (&thin{fsys: fsys, display: display}).read()
}

func (t *thin) read() *Set {
	if !t.isDir(".") {
		return &Set{Faults: t.faults, Digest: yamlread.Digest(), Absent: t.lacks(".")}
	}
	hasImages := t.isDir(imagesDir)
	hasManifests := t.isDir(manifestsDir)
	set := &Set{Faults: t.faults, Absent: t.lacks(manifestsDir) && t.lacks(manifestName)}
	set.Prefix = strings.TrimSuffix(t.displayName(manifestsDir), manifestsDir)
	t.faults = nil
	var files []*yamlread.File
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
			set.Absent = t.lacks(manifestName) && len(t.badLinks(manifestsDir)) == 0
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
	if t.hasEntry(".", manifestName) {
		t.fault(Broken, manifestName, "misplaced: a promoter-manifest belongs in manifests/<name>/")
	}
	set.Faults = append(set.Faults, t.faults...)
	set.Digest = yamlread.Digest(files...)
	return set.checked()
}

// displayName returns a file's or directory's name for messages.
func (t *thin) displayName(name string) string { return path.Join(t.display, name) }

// fault adds a fault of a whole file or directory.
func (t *thin) fault(severity Severity, name, message string) {
	t.faults = append(t.faults, Fault{Pos: Pos{File: t.displayName(name)}, Severity: severity, Message: message})
}

// isDir reports whether name is a directory. It adds a fault if it is not.
func (t *thin) isDir(name string) bool {
	info, err := fs.Stat(t.fsys, name)
	if err != nil {
		message := yamlread.Cause(err).Error()
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

// lacks reports whether name does not exist.
func (t *thin) lacks(name string) bool {
	_, err := fs.Stat(t.fsys, name)
	return errors.Is(err, fs.ErrNotExist)
}

// pairs reads the files of every directory in manifests/, in lexical order.
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
	list, name := TeamFiles(d)
	dir, listDir := path.Dir(name), path.Dir(list)
	if !t.hasEntry(dir, manifestName) {
		// The Kubernetes promoter ignores such a directory, and real trees have some.
		s := &yamlread.File{Display: t.displayName(dir)}
		s.Whole(Warning, "no %s in it: nothing of it is promoted", manifestName)
		return pair{files: []*yamlread.File{s}}
	}
	m := yamlread.Open(t.fsys, name, t.displayName(name))
	p := pair{files: []*yamlread.File{m}, found: true}
	r := &reader{m}
	p.manifests = r.manifests("registries", func(root *yaml.Node, m *Manifest) {
		m.Directory = d
		r.thinManifest(root, m)
	})
	isNew := hasImages && t.hasEntry(listDir, sourcesName) && !t.hasEntry(listDir, imagesName)
	if !hasImages || isNew && t.newList {
		return p
	}
	im := yamlread.Open(t.fsys, list, t.displayName(list))
	if !im.Read {
		im.Faults[0].Message += ": " + m.Display + " needs it"
		if isNew {
			im.Faults[0].Message += ": cip resolve --write makes it"
		}
	}
	p.files = append(p.files, im)
	all := Manifest{}
	for _, other := range p.manifests { // image checks names below the longest registry of all
		all.Destinations = append(append(all.Destinations, other.Source), other.Destinations...)
	}
	images := &reader{im}
	for _, root := range im.Docs {
		images.imagesList(root, &all)
	}
	for _, other := range p.manifests {
		other.Images, other.Refused = all.Images, all.Refused
	}
	return p
}

// thinManifest reads a document of a promoter-manifest.yaml into m.
func (r *reader) thinManifest(root *yaml.Node, m *Manifest) {
	if e := r.Known(root, "a thin manifest", "registries", "imagesPath", "provenance"); e != nil {
		r.imagesPath(e, m.Directory)
		m.Policy = r.policy(e)
		r.registries(root, e, m)
	}
}

// imagesPath warns about a deprecated key that names another file than the one that is
// read. Its value is relative to the manifest or to the directory of all.
func (r *reader) imagesPath(e map[string]yamlread.Field, d string) {
	f, ok := e["imagesPath"]
	if !ok {
		return
	}
	want := imagesDir + "/" + d + "/" + imagesName
	named := yamlread.Deref(f.Value).Value
	if path.Join(manifestsDir, d, named) != want && path.Clean(named) != want {
		r.Fault(Warning, f.Key, "imagesPath is ignored: the images are read from %s", want)
	}
}

// imagesList reads a document of an images.yaml into m.
func (r *reader) imagesList(root *yaml.Node, m *Manifest) {
	if yamlread.Deref(root).Kind == yaml.MappingNode {
		fields, _ := r.Fields(root, "images.yaml", "images")
		for _, f := range fields {
			if f.Name() == "images" {
				r.Fault(Broken, f.Key, "images: around the list: an images.yaml is the bare list, so leave out this line")
				root = f.Value
			}
		}
	}
	items, _ := r.Items(root, "images.yaml")
	r.images(items, m)
}
