package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Bounds of files, in bytes. Those with a form of their own have their bound where that form is known.
const (
	maxKey      = 1 << 20   // a public key or a token has a few KiB
	maxFile     = 64 << 20  // what belongs to manifests, as package manifest has it
	maxSnapshot = 256 << 20 // 2,000,000 digests with a tag each
)

// readFile returns the bytes of a file that has at most so many.
func readFile(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, most)
}

// readIn returns the bytes of a file of a tree that has maxFile at most.
func readIn(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, maxFile)
}

// cause returns err without the operation and the path, which the caller names.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// readAll returns what is left of a file, or of a stream called name, if that is at most so many bytes.
func readAll(r io.Reader, name string, most int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > most {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, most>>20)
	}
	return raw, nil
}
