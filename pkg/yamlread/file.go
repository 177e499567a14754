// Package yamlread reads YAML files strictly and reports every problem with its
// position.
//
// A File holds the parsed documents of one file and collects its faults. Reading
// continues after a fault, so that a user sees all problems in one run. Unknown keys,
// duplicate keys and values of the wrong type are faults. Aliases and merge keys are
// followed within limits, because a small file can expand to a large one.
//
// The text may come from anybody. A symbolic link may even lead to a file that is not
// meant to be read, such as a token. Messages therefore quote text only where the
// file looks like one that the caller expects.
//
// The package knows no keys of its own. The callers (manifest and selector files)
// are two packages, which is why this one is separate.
package yamlread

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

// MaxBytes is the maximum size of a file in bytes.
//
// A file of this size has 700,000 digests, each with its tag on one line.
const MaxBytes = 64 << 20

// File is one YAML file and its faults.
//
// Its methods add faults for nodes that are not as expected.
type File struct {
	Display string       // name for messages
	Docs    []*yaml.Node // roots of the documents, up to the first syntax error
	Read    bool         // the file could be read; it may still have faults
	Faults  []Fault

	name  string // in its fs.FS, with slashes
	data  []byte
	nodes int // number of nodes visited so far
	at    map[Fault]origin

	// outer holds the documents, and the items of documents that are lists. No key
	// says what these nodes are.
	outer map[*yaml.Node]struct{}
}

// Open reads and parses the file name of fsys. Messages call it display.
func Open(fsys fs.FS, name, display string) *File { return open(fsys, name, display, false) }

// OpenOptional is Open for a file that need not exist.
//
// Any other error is a fault. A symbolic link to nothing exists; trees that are not
// trusted return another error than fs.ErrNotExist for it.
func OpenOptional(fsys fs.FS, name, display string) *File { return open(fsys, name, display, true) }

func open(fsys fs.FS, name, display string, optional bool) *File {
	f := &File{name: name, Display: display}
	data, err := readFile(fsys, name)
	switch {
	case err == nil:
		f.data, f.Read = data, true
		f.Docs = f.documents(data)
	case !optional || !errors.Is(err, errNotExist):
		f.Whole(Broken, "%v", err)
	}
	return f
}

// Of returns a file that consists of one node, which was parsed before.
func Of(root *yaml.Node) *File {
	f := &File{Docs: []*yaml.Node{root}}
	f.markOuter(root)
	return f
}

// Digest returns a digest of files' names and contents.
//
// Files that could not be read do not count.
func Digest(files ...*File) string {
	h := sha256.New()
	for _, f := range files {
		if f.Read {
			fmt.Fprintf(h, "%s\x00%d\x00", f.name, len(f.data))
			h.Write(f.data)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// readFile returns the bytes of a regular file.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	switch {
	case err != nil:
		return nil, Cause(err)
	case info.IsDir():
		return nil, errors.New("is a directory, want a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, Cause(err)
	}
	defer f.Close()
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), MaxBytes)) + bytes.MinRead)
	// The size is a hint only: the file may grow, or report no size.
	n, err := data.ReadFrom(io.LimitReader(f, MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading: %w", Cause(err))
	case n > MaxBytes:
		return nil, fmt.Errorf("is larger than %d MiB", MaxBytes>>20)
	}
	return data.Bytes(), nil
}

// errNotExist replaces fs.ErrNotExist in messages.
var errNotExist = errors.New("no such file or directory")

// Cause returns err without path and operation.
//
// The position of a fault names the path already.
func Cause(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errNotExist
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
