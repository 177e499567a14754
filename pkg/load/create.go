package load

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// CreateFiles creates files below a directory, which it creates if it does not exist.
//
// Names have slashes. It is an error if a file exists; then nothing is written. If
// writing fails, the files that were created are removed again.
func CreateFiles(dir string, files map[string][]byte) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		switch _, err := root.Lstat(name); {
		case err == nil:
			return fmt.Errorf("%s exists: it is not overwritten", filepath.Join(dir, name))
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s: %w", filepath.Join(dir, name), Cause(err))
		}
	}
	var created []string
	defer func() {
		for _, name := range created {
			if err != nil {
				_ = root.Remove(name)
			}
		}
	}()
	for _, name := range names {
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return fmt.Errorf("creating %s: %w", filepath.Join(dir, path.Dir(name)), Cause(err))
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return fmt.Errorf("creating %s: %w", filepath.Join(dir, name), Cause(err))
		}
		created = append(created, name)
		_, err = f.Write(files[name])
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Join(dir, name), err)
		}
	}
	return nil
}
