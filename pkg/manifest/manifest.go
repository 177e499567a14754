// Package manifest reads the files that say what should be where: plain
// manifests, thin manifest directories and native StarlingX tag files.
//
// Reading never stops at the first fault. A Set holds all that could be read
// and a Fault, with its place, for all that could not; the entries that faults
// refuse are kept apart (Manifest.Refused), so that a report can name them for
// every destination. What is wanted where, and whether two files contradict
// each other, is plan.Desired's to say. Files come from an fs.FS: a directory,
// or a tree of a git revision. Nothing here looks at a registry.
package manifest

import (
	"fmt"
	"io/fs"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Set is everything that one invocation loads.
type Set struct {
	Manifests []*Manifest // in the order of the files
	Faults    []Fault     // by file, line and column
	Absent    bool        // there are no manifests at all, not even unreadable ones
	Digest    string      // "sha256:…" over the names and bytes of all files read
}

// Load reads what is called name in fsys, and display in messages: a directory as
// Thin does, anything else as Plain does. It is an error if there is no such name.
func Load(fsys fs.FS, name, display string) (*Set, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return Plain(fsys, name, display), nil
	}
	below, err := fs.Sub(fsys, name)
	if err != nil {
		return nil, err
	}
	return Thin(below, display), nil
}

// Manifest is one document that names registries and what they should hold, or one native StarlingX document.
type Manifest struct {
	File         string      // the file that holds the registries, as messages call it
	Native       bool        // images carry their own repository, and tags are set in place
	Source       *Registry   // nil in a native file
	Destinations []*Registry // in file order, repeated ones left out; nil in a native file
	Images       []Image     // in file order; a name may repeat
	Refused      []Refusal   // bad entries of this manifest, in file order
	Producers    []*Producer // of the sources of a plain manifest
}

// Registry is one entry of a manifest's registries.
type Registry struct {
	Name           image.Registry
	ServiceAccount string
	Mirrors        []image.Registry // other places that hold the source's images (source only)
	MutableTags    []string         // path.Match patterns of tags that may move here
	AbsentStatus   []int            // HTTP statuses that mean "absent" besides 404 (destinations only)
	Pos            Pos
}

// Image is one images entry: a repository name and what is wanted of it.
type Image struct {
	Name       string          // below every registry's prefix; the full name in a native file
	Repository name.Repository // of a native entry
	Digests    []Digest        // of dmap, in file order
	Retags     []Retag
	Pos        Pos
}

// Digest is one key of a dmap and its tags. No tags: the digest is promoted without one.
type Digest struct {
	Digest v1.Hash
	Tags   []Tag
	Pos    Pos
}

// Tag is one wanted tag.
type Tag struct {
	Name string
	Pos  Pos
}

// Retag is a StarlingX entry: the digest that a source tag has is wanted under another tag.
type Retag struct {
	SourceTag string  // src_build_tag
	SourceRef string  // src_ref: documentation only
	Tag       string  // the wanted tag
	Digest    v1.Hash // optional pin
	Pos       Pos
}

// Refusal is a wish that a bad entry expressed. Its strings are as written and may be malformed.
type Refusal struct {
	Name      string // image name
	Digest    string // of a dmap key, or a retag pin
	SourceTag string // of a retag entry
	Tags      []string
	Fault     Fault
}

// Pos is a place in a file. Line and Column count from 1; Line 0 means the file as a whole.
type Pos struct {
	File   string
	Line   int32
	Column int32
}

// String returns "file:line:column", or "file" for a whole file.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Severity says what a fault stops.
type Severity int

// The severities, from what stops nothing to what stops everything.
const (
	Warning Severity = iota + 1 // stops nothing
	Refused                     // stops one entry; the exit code is 1
	Broken                      // stops the run before its first request
)

// Fault is something wrong in a file.
type Fault struct {
	Pos      Pos
	Severity Severity
	Message  string
}

// String returns "file:line:column: message".
func (f Fault) String() string { return f.Pos.String() + ": " + f.Message }

// Error makes a Fault an error.
func (f Fault) Error() string { return f.String() }

// Broken reports whether a file of the set is broken, so that nothing of it may be acted on.
func (s *Set) Broken() bool { return s.worst() == Broken }

// OK reports whether the set holds neither a broken file nor a refused entry.
func (s *Set) OK() bool { return s.worst() <= Warning }

func (s *Set) worst() Severity {
	var worst Severity
	for _, f := range s.Faults {
		worst = max(worst, f.Severity)
	}
	return worst
}
