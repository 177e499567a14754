package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// subdirs returns the names of directories in dir, including links to directories.
//
// It ignores entries that cannot be read. unreadable reports them.
func (t *thin) subdirs(dir string) []string {
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil || len(entries) > maxEntries {
		return nil // walk reports it
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() || e.Type()&fs.ModeSymlink != 0 && t.leadsToDir(dir+"/"+e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// hasEntry reports whether dir has an entry called name, possibly a broken link.
func (t *thin) hasEntry(dir, name string) bool {
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil {
		return true // reading the file reports it
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
}

// unreadable adds a fault for every link in dir that cannot be followed.
//
// If other, the directory next to dir, has no entry of that name, the fault is a
// warning, because the link may then be to any file.
func (t *thin) unreadable(dir, other string) {
	for _, link := range t.badLinks(dir) {
		severity := Warning
		if t.hasEntry(other, link.Path) {
			severity = Broken
		}
		t.fault(severity, dir+"/"+link.Path, "not read: "+link.Err.Error())
	}
}

// badLinks returns the names of links in dir that cannot be followed, with the reason.
//
// Such a link may be a directory of manifests: a symbolic link out of the tree, or a
// submodule of a git tree.
func (t *thin) badLinks(dir string) []fs.PathError {
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil || len(entries) > maxEntries {
		return nil // walk reports it
	}
	var links []fs.PathError
	for _, e := range entries {
		if e.Type()&(fs.ModeSymlink|fs.ModeIrregular) == 0 {
			continue
		}
		info, err := fs.Stat(t.fsys, dir+"/"+e.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && info.Mode()&fs.ModeIrregular == 0:
			continue
		case err == nil:
			err = errors.New("is a submodule, whose files are in another git repository")
		}
		links = append(links, fs.PathError{Path: e.Name(), Err: yamlread.Cause(err)})
	}
	return links
}

// leadsToDir reports whether name is a directory or a link to a directory.
func (t *thin) leadsToDir(name string) bool {
	info, err := fs.Stat(t.fsys, name)
	return err == nil && info.IsDir()
}

// walk adds faults for manifest files below dir that are in a wrong directory.
//
// dir is below top. walk does not follow links.
func (t *thin) walk(top, dir string, depth int) {
	if depth > maxDepth {
		t.fault(Broken, dir, fmt.Sprintf("more than %d directories within each other", maxDepth))
		return
	}
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil {
		t.fault(Broken, dir, "reading: "+yamlread.Cause(err).Error())
		return
	}
	before := t.entries
	if t.entries += len(entries); t.entries > maxEntries {
		if before <= maxEntries {
			t.fault(Broken, dir, fmt.Sprintf("more than %d files, counted with those of directories before", maxEntries))
		}
		return
	}
	for _, e := range entries {
		name := dir + "/" + e.Name()
		switch {
		case e.IsDir():
			t.walk(top, name, depth+1)
		case e.Name() == manifestName && top == imagesDir:
			t.fault(Warning, name, "a promoter-manifest below images/ is not read: it belongs in manifests/<name>/")
		case e.Name() == manifestName && depth != 1:
			t.fault(Broken, name, "misplaced: a promoter-manifest belongs in manifests/<name>/")
		case e.Name() == imagesName && top == imagesDir && depth != 1:
			t.fault(Warning, name, "not read: an images.yaml belongs in images/<name>/")
		}
	}
}

// orphans adds a fault for every directory of images/ that manifests/ does not have.
func (t *thin) orphans() {
	for _, d := range t.subdirs(imagesDir) {
		if t.leadsToDir(manifestsDir + "/" + d) {
			continue
		}
		name := imagesDir + "/" + d
		if _, err := fs.Stat(t.fsys, name+"/"+imagesName); err == nil {
			name += "/" + imagesName
		}
		t.fault(Warning, name, "not read: there is no "+manifestsDir+"/"+d+"/"+manifestName)
	}
}
