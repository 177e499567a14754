package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// subdirs returns the names of the directories in dir, links to directories among them.
// What cannot be looked into may be one: unreadable notes it.
func (t *thin) subdirs(dir string) []string {
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil || len(entries) > maxEntries {
		return nil // walk tells
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() || e.Type()&fs.ModeSymlink != 0 && t.leadsToDir(dir+"/"+e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// names reports whether dir has an entry called name, be it a link to nothing.
func (t *thin) names(dir, name string) bool {
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil {
		return true // reading it tells
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
}

// unreadable adds a fault for every entry of dir that may be a directory of manifests and
// cannot be followed: a symbolic link out of the tree, or a submodule of a git tree. It is
// a warning where other, the directory next to dir, has nothing of that name: then the
// entry may be any file.
func (t *thin) unreadable(dir, other string) {
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil || len(entries) > maxEntries {
		return // walk reports it
	}
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
		severity := Warning
		if t.names(other, e.Name()) {
			severity = Broken
		}
		t.fault(severity, dir+"/"+e.Name(), "not read: "+cause(err).Error())
	}
}

// leadsToDir reports whether name is a directory or a link to one.
func (t *thin) leadsToDir(name string) bool {
	info, err := fs.Stat(t.fsys, name)
	return err == nil && info.IsDir()
}

// walk notes the files below dir, itself below top, that stand where nothing reads them. It follows no links.
func (t *thin) walk(top, dir string, depth int) {
	if depth > maxDepth {
		t.fault(Broken, dir, fmt.Sprintf("more than %d directories within each other", maxDepth))
		return
	}
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil {
		t.fault(Broken, dir, "reading: "+cause(err).Error())
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

// orphans notes the directories of images/ that no directory of manifests/ goes with.
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
