package lookup

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/tree"
)

// maxSelectors is the number of selectors that are resolved at the same time.
const maxSelectors = 8

// Selectors are the selectors of a set of manifests.
type Selectors struct {
	Set   *manifest.Set    // the manifests, with all faults
	Files []*selector.File // names are relative to the root
	only  []string         // names to resolve; empty: all
	root  string
	files fs.FS      // below root
	tree  *tree.Tree // the same on disk; nil in a git revision
	at    *load.Revision
}

// OpenSelectors reads manifests and their selectors. Methods are about the selectors
// with the names of only, or about all if it is empty. With newLists, lists that are not
// written yet may be missing. The caller must Close the result.
func OpenSelectors(at load.Manifests, only []string, newLists bool) *Selectors {
	set, files := at.ReadAll(newLists)
	s := &Selectors{Set: set, Files: files, only: only, root: at.Root(), tree: tree.Open(at.Root())}
	s.files = s.tree
	return s
}

// SelectorsAt is OpenSelectors in a git revision. Its files cannot be written (Write).
func SelectorsAt(at load.Manifests, rev *load.Revision, only []string, newLists bool) (*Selectors, error) {
	set, files, err := rev.ReadAll(newLists)
	if err != nil {
		return nil, err
	}
	return &Selectors{Set: set, Files: files, only: only, root: at.Root(), files: rev.Files, at: rev}, nil
}

// Close closes the directory of the files.
func (s *Selectors) Close() error {
	if s.tree == nil {
		return nil
	}
	return s.tree.Close()
}

// Len returns the number of selectors, whether they were named or not.
func (s *Selectors) Len() (n int) {
	for _, f := range s.Files {
		n += len(f.Entries)
	}
	return n
}

// Unknown returns the first name to resolve that no selector has, or "".
func (s *Selectors) Unknown() string {
	for _, name := range s.only {
		if !slices.ContainsFunc(s.Files, func(f *selector.File) bool { return slices.ContainsFunc(f.Entries, hasName(name)) }) {
			return name
		}
	}
	return ""
}

// hasName returns a function that reports whether a selector, its image or its ImagePolicy
// has a name. The namespace of an ImagePolicy may be left out.
func hasName(name string) func(*selector.Selector) bool {
	return func(p *selector.Selector) bool {
		return p.Name == name || p.ImageName() == name || p.Policy != "" && (p.Policy == name || path.Base(p.Policy) == name)
	}
}

// Names returns the names of all selectors: those of ImagePolicies, and else of images.
func (s *Selectors) Names() []string {
	var names []string
	for _, f := range s.Files {
		for _, p := range f.Entries {
			names = append(names, cmp.Or(p.Policy, p.Name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Named reports whether a selector is to be resolved.
func (s *Selectors) Named(p *selector.Selector) bool {
	return len(s.only) == 0 || slices.ContainsFunc(s.only, func(name string) bool { return hasName(name)(p) })
}

// Path returns the path on disk of a manifest file.
func (s *Selectors) Path(name string) string {
	return filepath.Join(s.root, filepath.FromSlash(name))
}

// Resolved is the result of one file of selectors.
type Resolved struct {
	File    *selector.File
	Results []resolve.Result // one for each entry; those that were not resolved have neither Choice nor Err
	Changes []Change         // of the list of images and the lock, as Amend computed them
}

// Ran returns the results of the selectors that were resolved.
func (r *Resolved) Ran() []*resolve.Result {
	var ran []*resolve.Result
	for i := range r.Results {
		if result := &r.Results[i]; result.Choice != nil || result.Err != nil {
			ran = append(ran, result)
		}
	}
	return ran
}

// RebaseFunc computes the digest of a selected app on its new run image.
type RebaseFunc = func(context.Context, *selector.Selector, v1.Hash) (v1.Hash, *selector.LockRebase, error)

// Resolve resolves the named selectors that wanted accepts, several at a time. Errors
// are in the results. step is called after each selector.
func (s *Selectors) Resolve(ctx context.Context, client *registry.Client, options resolve.Options, wanted func(*selector.Selector) bool, rebase RebaseFunc, step func()) []*Resolved {
	source, git := NewRegistry(client), &histories{}
	var all []*Resolved
	g := &errgroup.Group{}
	g.SetLimit(maxSelectors)
	for _, file := range s.Files {
		done := &Resolved{File: file, Results: make([]resolve.Result, len(file.Entries))}
		all = append(all, done)
		readers := resolve.Readers{
			Registry: source, ReadFile: s.reader(file), History: git.in(s.Path(path.Dir(file.Name))), Rebase: rebase,
		}
		for i, p := range file.Entries {
			done.Results[i].Selector = p
			if !s.Named(p) || !wanted(p) {
				continue
			}
			g.Go(func() error {
				defer step()
				done.Results[i].Choice, done.Results[i].Err = resolve.Resolve(ctx, p, file.Find(p), readers, options)
				return nil
			})
		}
	}
	_ = g.Wait() // no function returns an error
	return all
}

// reader returns a function that reads files by their path relative to a file of
// selectors. Symbolic links inside the directory of the manifests may not leave it. A
// path that itself leaves the directory is allowed: the author of the file wrote it.
func (s *Selectors) reader(file *selector.File) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		at := path.Join(path.Dir(file.Name), filepath.ToSlash(name))
		inside := !filepath.IsAbs(name) && fs.ValidPath(at)
		if s.at != nil && !inside {
			if at = path.Join(s.at.Dir, at); filepath.IsAbs(name) || !fs.ValidPath(at) {
				return nil, fmt.Errorf("reading %s: it is not in the git repository", name)
			}
			return load.FileIn(s.at.All, at)
		}
		in := s.files
		if !inside {
			if !filepath.IsAbs(name) {
				name = s.Path(at)
			}
			outside := tree.Open(filepath.Dir(name))
			defer outside.Close()
			in, at = outside, filepath.Base(name)
		}
		return load.FileIn(in, at)
	}
}

// read reads a file of the manifests. Errors name its path on disk.
func (s *Selectors) read(name string) ([]byte, error) {
	raw, err := load.FileIn(s.files, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.Path(name), load.Cause(err))
	}
	return raw, nil
}
