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

// FS is a directory that is closed after use.
type FS interface {
	fs.FS
	io.Closer
}

// Open opens Root, and returns the name of the manifests in it: a file, or ".".
//
// A single file in /dev or /dev/fd, such as /dev/stdin, may be a link out of there: the
// operator names it, and a contributor cannot change it.
func (m Manifests) Open() (files FS, name string) {
	root := m.Root()
	switch {
	case m.File == "":
		return tree.Open(root), "."
	case root == "/dev" || root == "/dev/fd":
		files = deviceFS{os.DirFS(root)}
	default:
		files = tree.Open(root)
	}
	return files, filepath.Base(m.File)
}

// deviceFS is /dev or /dev/fd, whose links are followed.
type deviceFS struct{ fs.FS }

// Close implements io.Closer.
func (deviceFS) Close() error { return nil }

// Import converts the configuration of another tool.
func Import(tool importer.Tool, file string, o importer.Options) *importer.Result {
	files, name := Manifests{File: file}.Open()
	defer files.Close()
	return importer.Read(tool, files, name, file, o)
}

// Read reads the manifests. Faults are in the set.
func (m Manifests) Read() *manifest.Set {
	files, name := m.Open()
	defer files.Close()
	if m.File != "" {
		return manifest.Plain(files, name, m.File)
	}
	return manifest.Thin(files, m.Dir)
}

// ReadAll reads the manifests and their selectors. File names in the selectors are relative to Root.
// With newLists, a list of images that selectors will be the first to write may be missing.
func (m Manifests) ReadAll(newLists bool) (*manifest.Set, []*selector.File) {
	files, name := m.Open()
	defer files.Close()
	if m.File != "" {
		return manifest.PlainSelectors(files, name, m.File)
	}
	return manifest.ThinSelectors(files, m.Dir, newLists)
}

// Native reads native files as one set.
func Native(paths []string) *manifest.Set {
	sets := make([]*manifest.Set, len(paths))
	for i, path := range paths {
		files, name := Manifests{File: path}.Open()
		sets[i] = manifest.Native(files, name, path)
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
	slices.Sort(all)
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
