package load

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Limits of files, in bytes. Formats with a limit of their own declare it next to their parser.
const (
	MaxKey      = 1 << 20   // of a public key or a token, which have a few KiB
	MaxFile     = 64 << 20  // of a file of manifests, as in package manifest
	MaxSnapshot = 256 << 20 // of a snapshot: 2,000,000 digests with a tag each
)

// File reads a file of at most limit bytes.
func File(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Stream(f, name, limit)
}

// FileIn reads a file of a file system of at most MaxFile bytes.
func FileIn(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Stream(f, name, MaxFile)
}

// Stream reads at most limit bytes to the end of r. Errors call it name.
func Stream(r io.Reader, name string, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, limit>>20)
	}
	return raw, nil
}

// Cause removes the operation and the path from an error, for callers that name the file.
func Cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// WriteFile writes a file with the given function. A regular file is replaced
// atomically. A device or a pipe is written to directly.
func WriteFile(path string, write func(io.Writer) error) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	mode := os.FileMode(0o644) // everyone may read a report
	if err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// CheckWritable returns an error if WriteFile could not write to a path. An empty path is valid.
func CheckWritable(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case err == nil:
		return nil
	}
	_, err = os.Stat(filepath.Dir(path))
	return err
}
