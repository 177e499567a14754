// Package load reads the files that a command is given: manifests from disk and
// from git revisions, selectors, and single files up to a limit. It also replaces
// files atomically.
//
// It never asks a registry and never decides what is promoted. It is a package of
// its own because package manifest is pure: it parses what this package opens.
package load

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/importer"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/tree"
)

// Manifests is a location of manifests on disk. Exactly one of its fields is set.
type Manifests struct {
	File string // a plain manifest or a native file
	Dir  string // a directory of thin manifests
}

// At returns the location of the manifests at a path, a file or a directory.
func At(path string) Manifests {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return Manifests{Dir: path}
	}
	return Manifests{File: path}
}

// Path returns the file or directory in the user's spelling.
func (m Manifests) Path() string {
	if m.File != "" {
		return m.File
	}
	return m.Dir
}

// Root returns the directory that contains all files.
func (m Manifests) Root() string {
	if m.File != "" {
		return filepath.Dir(m.File)
	}
	return m.Dir
}

// closableFS is a directory that is closed after use.
type closableFS interface {
	fs.FS
	io.Closer
}

// open opens Root.
//
// A single file in /dev or /dev/fd, such as /dev/stdin, may be a link out of there: the
// operator names it, and a contributor cannot change it.
func (m Manifests) open() closableFS {
	if root := m.Root(); m.File != "" && (root == "/dev" || root == "/dev/fd") {
		return deviceFS{os.DirFS(root)}
	}
	return tree.Open(m.Root())
}

// deviceFS is /dev or /dev/fd, whose links are followed.
type deviceFS struct{ fs.FS }

// Close implements io.Closer.
func (deviceFS) Close() error { return nil }

// Files opens Root, and returns the name of the manifests in it: a file, or ".". The
// caller must call done.
func (m Manifests) Files() (files fs.FS, name string, done func()) {
	opened := m.open()
	name = "."
	if m.File != "" {
		name = filepath.Base(m.File)
	}
	return opened, name, func() { _ = opened.Close() }
}

// Import converts the configuration of another tool.
func Import(tool importer.Tool, name string, o importer.Options) *importer.Result {
	files := Manifests{File: name}.open()
	defer files.Close()
	return importer.Read(tool, files, filepath.Base(name), name, o)
}

// Read reads the manifests. Faults are in the set.
func (m Manifests) Read() *manifest.Set {
	files := m.open()
	defer files.Close()
	if m.File != "" {
		return manifest.Plain(files, filepath.Base(m.File), m.File)
	}
	return manifest.Thin(files, m.Dir)
}

// ReadAll reads the manifests and their selectors. File names in the selectors are relative to Root.
// With newLists, a list of images that selectors will be the first to write may be missing.
func (m Manifests) ReadAll(newLists bool) (*manifest.Set, []*selector.File) {
	files := m.open()
	defer files.Close()
	if m.File != "" {
		return manifest.PlainSelectors(files, filepath.Base(m.File), m.File)
	}
	return manifest.ThinSelectors(files, m.Dir, newLists)
}

// Native reads native files as one set.
func Native(names []string) *manifest.Set {
	sets := make([]*manifest.Set, len(names))
	for i, name := range names {
		files := Manifests{File: name}.open()
		sets[i] = manifest.Native(files, filepath.Base(name), name)
		_ = files.Close()
	}
	return manifest.Join(sets...)
}

// LastElements returns the last path elements of all repositories in a set, also of refused entries.
func LastElements(set *manifest.Set) map[string]struct{} {
	names := map[string]struct{}{}
	for _, m := range set.Manifests {
		for i := range m.Images {
			names[path.Base(m.Images[i].Name)] = struct{}{}
		}
		for _, r := range m.Refused {
			names[path.Base(r.Name)] = struct{}{}
		}
	}
	return names
}

// Commit returns the git commit that all paths belong to. It is an error if they belong to several.
func Commit(paths ...string) (string, error) {
	var all []string
	for _, path := range paths {
		commit, err := git.Commit(path)
		if err != nil {
			return "", err
		}
		all = append(all, commit)
	}
	if all = slices.Compact(all); len(all) != 1 {
		return "", fmt.Errorf("the files belong to %d commits", len(all))
	}
	return all[0], nil
}

// URIs returns a function that maps names of manifest files to the paths that code
// scanning uses: relative to the git repository, or to the working directory if there
// is no repository.
func (m Manifests) URIs() func(file string) string {
	root := filepath.Clean(m.Root())
	inside := ""
	if repo, err := git.Open(m.Path()); err == nil {
		if inside, err = repo.Within(root); err != nil {
			inside = ""
		}
	}
	return func(file string) string {
		if rel, err := filepath.Rel(root, file); inside != "" && err == nil {
			return path.Join(inside, filepath.ToSlash(rel))
		}
		return strings.TrimLeft(filepath.ToSlash(file), "/")
	}
}
