package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxBytes bounds one file, in bytes: 700,000 digests, each with its tag on one line.
const maxBytes = 64 << 20

// source is one file: what it says, and what is wrong with it.
type source struct {
	reader
	name string // in its fs.FS, with slashes
	data []byte
	docs []*yaml.Node
	read bool // whether data is the file's bytes
}

// open reads and parses the file name of fsys, which messages call display.
func open(fsys fs.FS, name, display string) *source {
	s := &source{name: name, reader: reader{file: display}}
	data, err := readFile(fsys, name)
	if err != nil {
		s.whole(Broken, "%v", err)
		return s
	}
	s.data, s.read = data, true
	s.docs = s.documents(data)
	return s
}

// resources reports whether s holds Flux resources alone.
func (s *source) resources() bool {
	return len(s.docs) > 0 && !slices.ContainsFunc(s.docs, func(root *yaml.Node) bool { return !isResource(root) })
}

// readFile returns the bytes of a regular file.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	switch {
	case err != nil:
		return nil, cause(err)
	case info.IsDir():
		return nil, errors.New("is a directory, want a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), maxBytes)) + bytes.MinRead)
	// What Stat says is a hint only: the file may grow, or not tell.
	n, err := data.ReadFrom(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading: %w", cause(err))
	case n > maxBytes:
		return nil, fmt.Errorf("is larger than %d MiB", maxBytes>>20)
	}
	return data.Bytes(), nil
}

// errNone says that a file is not there.
var errNone = errors.New("no such file or directory")

// cause returns err without the path and operation that a Fault's place tells already.
func cause(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errNone
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// whole notes a fault of the file as a whole.
func (r *reader) whole(severity Severity, format string, args ...any) {
	r.faults = append(r.faults, Fault{Pos: Pos{File: r.file}, Severity: severity, Message: fmt.Sprintf(format, args...)})
}

// add appends manifests and what is wrong with the files they come from, in the order of their lines.
func (s *Set) add(manifests []*Manifest, from ...*source) {
	s.Manifests = append(s.Manifests, manifests...)
	for _, f := range from {
		s.Faults = append(s.Faults, ordered(f.faults)...)
	}
}

// ordered sorts the faults of one file and drops repeated ones: an alias shows one text in many places.
func ordered(faults []Fault) []Fault {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		if a.Pos.Line != b.Pos.Line {
			return int(a.Pos.Line - b.Pos.Line)
		}
		if a.Pos.Column != b.Pos.Column {
			return int(a.Pos.Column - b.Pos.Column)
		}
		return strings.Compare(a.Message, b.Message)
	})
	return slices.Compact(faults)
}

// digest names the files and their bytes, wherever they were read from.
func digest(files []*source) string {
	h := sha256.New()
	for _, f := range files {
		if f.read {
			fmt.Fprintf(h, "%s\x00%d\x00", f.name, len(f.data))
			h.Write(f.data)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
