package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/tree"
)

// manifestOptions say which manifests to load.
type manifestOptions struct {
	manifest, thinDir string
}

func (o *manifestOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.manifest, "manifest", "", "plain manifest or native tag `file` to load")
	f.StringVar(&o.thinDir, "thin-manifest-dir", "", "`directory` of thin manifests to load")
}

// path returns what was named to load.
func (o *manifestOptions) path() string {
	if o.manifest != "" {
		return o.manifest
	}
	return o.thinDir
}

// root returns the directory that the manifests are in.
func (o *manifestOptions) root() (string, error) {
	switch {
	case o.manifest != "" && o.thinDir != "":
		return "", errors.New("--manifest and --thin-manifest-dir exclude each other")
	case o.manifest != "":
		return filepath.Dir(o.manifest), nil
	case o.thinDir != "":
		return o.thinDir, nil
	}
	return "", errors.New("--manifest or --thin-manifest-dir is required")
}

// load reads the manifests. What is wrong in them is in the set.
func (o *manifestOptions) load() (*manifest.Set, error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	files := openTree(root, o.manifest)
	defer files.Close()
	if o.manifest != "" {
		return manifest.Plain(files, filepath.Base(o.manifest), o.manifest), nil
	}
	return manifest.Thin(files, root), nil
}

// closableFS is a directory that is closed after use.
type closableFS interface {
	fs.FS
	io.Closer
}

// openTree opens the directory of manifests, which may be that of a single file.
//
// A single file in /dev or /dev/fd, such as /dev/stdin, may be a link out of there: the
// operator names it, and a contributor cannot change it.
func openTree(dir, file string) closableFS {
	if file != "" && (dir == "/dev" || dir == "/dev/fd") {
		return deviceFS{os.DirFS(dir)}
	}
	return tree.Open(dir)
}

// deviceFS is /dev or /dev/fd, whose links are followed.
type deviceFS struct{ fs.FS }

// Close implements io.Closer.
func (deviceFS) Close() error { return nil }

// offline does work that has no context of its own, such as reading and comparing manifests,
// which may be large. It returns as soon as ctx ends; what is left of the work ends with the process.
func offline(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	}
}

// commitOf returns the git commit that all of some paths belong to.
func commitOf(paths []string) (string, error) {
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

// loadAll reads the manifests and their selectors. Names of files are relative to root.
func (o *manifestOptions) loadAll() (set *manifest.Set, files []*selector.File, root string, err error) {
	if root, err = o.root(); err != nil {
		return nil, nil, "", err
	}
	in := openTree(root, o.manifest)
	defer in.Close()
	if o.manifest != "" {
		set, files = manifest.PlainSelectors(in, filepath.Base(o.manifest), o.manifest)
	} else {
		set, files = manifest.ThinSelectors(in, root)
	}
	return set, files, root, nil
}

// logFaults logs faults: one line each, beginning with the place.
func logFaults(log logrus.FieldLogger, faults []manifest.Fault) {
	for _, f := range faults {
		entry := log.WithField("place", f.Pos.String())
		if f.Severity == manifest.Warning {
			entry.Warn(f.Pos.String() + ": warning: " + f.Message)
			continue
		}
		entry.Error(f.String())
	}
}
