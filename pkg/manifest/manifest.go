// Package manifest reads manifest files: plain manifests, thin manifest directories
// and native StarlingX files.
//
// Reading does not stop at a fault. A Set holds everything that could be read, and a
// Fault with a position for every problem. Entries with a fault are kept separately
// (Manifest.Refused), so that a report can list them for every destination.
// ImagesText edits the images list of a file in place.
//
// Files are read from an fs.FS, which is a directory or the tree of a git commit. The
// package never reads a registry. It does not compare files with each other either:
// plan.Desired finds contradictions.
//
// It imports pkg/yamlread for YAML, pkg/yamledit for edits, and pkg/selector for the
// key sources of a plain manifest.
package manifest

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Set is the content of all of a command's manifests.
type Set struct {
	Manifests []*Manifest // in the order of the files
	Faults    []Fault     // ordered by file, line and column
	Prefix    string      // of the file names in positions: the thin manifest directory and a slash, or empty
	Absent    bool        // there are no manifest files, not even unreadable ones
	Digest    string      // "sha256:…" of the names and contents of all files

	parts map[string]Part // by the name of each of its files
}

// Part is a group of files that are read together: a plain manifest, or the two files
// of a thin manifest.
type Part struct {
	Digest string // of the names and contents; empty if a file could not be read
	Broken bool
}

// Part returns the part of a file, or the zero value if the file was not read.
func (s *Set) Part(file string) Part { return s.parts[file] }

// Load reads a directory like Thin, or a file like Plain.
//
// It is an error if name does not exist in fsys. Messages call it display.
func Load(fsys fs.FS, name, display string) (*Set, error) {
	below, err := directory(fsys, name)
	switch {
	case err != nil:
		return nil, err
	case below == nil:
		return Plain(fsys, name, display), nil
	}
	return Thin(below, display), nil
}

// directory returns a directory of fsys, or nil if name is a file.
func directory(fsys fs.FS, name string) (fs.FS, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil || !info.IsDir() {
		return nil, err
	}
	return fs.Sub(fsys, name)
}

// Manifest is one document of a manifest file: registries and wanted images.
type Manifest struct {
	File         string               // name of the file with the registries, for messages
	Document     int                  // its place among the documents of File, from 0
	Directory    string               // of a thin manifest: the directory below manifests/ and images/
	Native       bool                 // StarlingX document: images have full names, and tags are set in the same repository
	Source       *Registry            // nil if native
	Destinations []*Registry          // in file order, without repeated ones; nil if native
	Images       []Image              // in file order; names may repeat
	Refused      []Refusal            // entries with a fault, in file order
	Selectors    []*selector.Selector // entries of sources in a plain manifest
	Policy       *provenance.Policy   // of the images of the source; nil: none
}

// Registry is one entry of registries in a manifest.
type Registry struct {
	Name           image.Registry
	ServiceAccount string
	Mirrors        []image.Registry // other registries that have the images of the source (source only)
	MutableTags    []string         // path.Match patterns of tags that may move
	AbsentStatus   []int            // HTTP statuses that mean "absent", in addition to 404 (destinations only)
	PublicName     string           // registry that evidence names in place of Name (destinations only)
	Attestations   bool             // evidence is written here (destinations only)
	Referrers      ReferrersMode    // what it gets of the source's referrers (destinations only)
	Pos            Pos
}

// ReferrersMode says which referrers of a source are promoted. Zero: as the command says.
type ReferrersMode int

// The referrers that a destination gets.
const (
	ReferrersNone     ReferrersMode = iota + 1 // none
	ReferrersAccepted                          // those that the policies of the image accept
	ReferrersAll                               // all
)

var referrersModes = []string{"none", "accepted", "all"}

// MayMove reports whether a tag may move in the registry.
func (r *Registry) MayMove(tag string) bool {
	return slices.ContainsFunc(r.MutableTags, func(glob string) bool { ok, _ := path.Match(glob, tag); return ok })
}

// Image is one entry of images: a name and its wanted digests and tags.
type Image struct {
	Name       string          // relative to the registries; if native, with the host
	Repository name.Repository // set if native
	Digests    []Digest        // keys of dmap, in file order
	Retags     []Retag
	Pos        Pos
}

// Digest is one key of a dmap and its tags.
//
// Without tags the digest is promoted tagless.
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

// Retag is a StarlingX entry: it gives the digest of a source tag another tag.
type Retag struct {
	SourceTag string  // src_build_tag
	SourceRef string  // src_ref, documentation only
	Tag       string  // wanted tag
	Digest    v1.Hash // optional pin: the digest that the source tag must have
	Pos       Pos
}

// Refusal is an entry not promoted because of a fault.
//
// Its strings are those of the file and may be malformed.
type Refusal struct {
	Name      string // image name
	Digest    string // key of dmap, or pin of a retag entry
	SourceTag string // source tag of a retag entry
	Tags      []string
	Fault     Fault
}

// Pos is a position in a file.
type Pos = yamlread.Pos

// Severity says how much a fault stops.
type Severity = yamlread.Severity

// Fault is a problem in a file.
type Fault = yamlread.Fault

// The severities of faults, see yamlread.Severity.
const (
	Warning = yamlread.Warning
	Refused = yamlread.Refused
	Broken  = yamlread.Broken
)

// Broken reports whether the set has a Broken fault. It must not be promoted then.
func (s *Set) Broken() bool { return s.worst() == Broken }

// OK reports whether the set has no faults except warnings.
func (s *Set) OK() bool { return s.worst() <= Warning }

// add appends manifests, and the faults of the files that they were read from.
func (s *Set) add(manifests []*Manifest, files ...*yamlread.File) {
	s.Manifests = append(s.Manifests, manifests...)
	part := Part{Digest: yamlread.Digest(files...)}
	for _, f := range files {
		faults := f.SortedFaults()
		s.Faults = append(s.Faults, faults...)
		part.Broken = part.Broken || slices.ContainsFunc(faults, func(f Fault) bool { return f.Severity == Broken })
		if !f.Read {
			part.Digest = ""
		}
	}
	if s.parts == nil {
		s.parts = map[string]Part{}
	}
	for _, f := range files {
		s.parts[f.Display] = part
	}
}

// SortFaults sorts faults by file, line, column and message.
func SortFaults(faults []Fault) {
	slices.SortStableFunc(faults, Fault.Compare)
}

// Contradictions groups the faults that have one cause: a contradiction is a fault of
// each of its positions, with one message that names them. Order is kept.
func Contradictions(faults []Fault) [][]Fault {
	var groups [][]Fault
	at := map[string]int{}
	for _, f := range faults {
		if !strings.Contains(f.Message, f.Pos.File+":") {
			groups = append(groups, []Fault{f})
			continue
		}
		n, again := at[f.Message]
		if !again {
			n = len(groups)
			at[f.Message] = n
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], f)
	}
	return groups
}

// worst returns the highest severity of the faults, or 0.
func (s *Set) worst() Severity {
	var worst Severity
	for _, f := range s.Faults {
		worst = max(worst, f.Severity)
	}
	return worst
}
