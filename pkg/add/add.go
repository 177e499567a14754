// Package add computes promotions to write into manifests: digests and tags that a source
// registry has become lines of lists of images.
//
//	manifests (fs.FS) ── team of an image ──▶ target ── Reader ──▶ digests and tags
//	                                                                    │
//	                     Changes: each file before and after  ◀── edits of the lists
//
// It is pure: a Reader reads registries, the caller reads snapshots and writes files. All
// reads are before the first edit, so that what cannot be read changes nothing. It never
// removes a tag from a list, except to move it where every destination allows that.
package add

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// latest is the tag that is added only where it is named.
const latest = "latest"

// Files are the manifests to add to, on disk or in the tree of a commit.
type Files struct {
	FS      fs.FS
	Name    string // in FS: a plain manifest, or a directory of thin manifests, such as "."
	Display string // for messages
}

// Request says what to add.
//
// Tags, Filter, Digests and All apply to every image.
type Request struct {
	Images  []string       // IMAGE[:TAG][@DIGEST]; with All or Below: registries, teams or images
	Tags    []string       // tags that must exist
	Filter  *regexp.Regexp // tags that match, or nil
	Digests []v1.Hash      // with Tags or Filter: only tags of these; else all their tags
	All     bool           // every image at or below Images, and all tags if nothing selects them
	Below   []string       // names of images below Images

	// Snapshot is what the source registries hold, if it is not nil. Names are relative to
	// the source of a manifest. Nothing is read from a Reader then.
	Snapshot inventory.Snapshot
}

// Reader reads source registries.
type Reader interface {
	// Tags returns all tags of a repository.
	Tags(ctx context.Context, repo name.Repository) ([]string, error)
	// Digest returns the digest of a tag or digest, and whether it exists.
	Digest(ctx context.Context, repo name.Repository, ref string) (v1.Hash, bool, error)
	// Below returns the tagged digests of all repositories at or below root, with the tags
	// that keep accepts. Names are paths on the host.
	Below(ctx context.Context, root image.Registry, keep func(tag string) bool) (inventory.Snapshot, error)
}

// Change is the change of one file.
type Change struct {
	Path  string // in Files.FS
	Old   []byte
	New   []byte
	Added []Added
}

// Added is a digest that a change adds, or gives tags.
type Added struct {
	Image  string          // its name in the list
	Source name.Repository // where it is promoted from
	Digest v1.Hash
	New    bool             // the list did not have the digest
	Tags   []string         // that the digest did not have
	Moved  []manifest.Moved // those of Tags that another digest had
}

// BrokenError is the error for manifests that must be repaired first.
type BrokenError struct {
	Faults []manifest.Fault
}

// Error implements error.
func (*BrokenError) Error() string { return "a manifest file is broken" }

// Manifests are manifests to add images to.
type Manifests struct {
	Set *manifest.Set

	files Files
	teams []*team
}

// Load reads manifests. The error is a *BrokenError if they have a fault that must be
// repaired first.
func Load(files Files) (*Manifests, error) {
	set, err := manifest.Load(files.FS, files.Name, files.Display)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", files.Display, cause(err))
	case set.Broken():
		return nil, &BrokenError{Faults: set.Faults}
	}
	m := &Manifests{Set: set, files: files, teams: teamsOf(set, files.Name)}
	if len(m.teams) == 0 {
		return nil, fmt.Errorf("%s has no source registry: images cannot be added to a native file", files.Display)
	}
	return m, nil
}

// Compute returns the changes that add what is requested, one for each file, ordered by path.
//
// It returns none if the manifests have everything already. The error joins those about
// each part of the request. If there is one, there are no changes.
func (m *Manifests) Compute(ctx context.Context, request Request, reader Reader) ([]Change, error) {
	c := &computation{Manifests: m, request: &request, reader: reader}
	wanted, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	changes, err := c.edit(wanted)
	if err == nil && len(changes) > 0 {
		err = c.verify(changes)
	}
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// computation is one call of Compute.
type computation struct {
	*Manifests

	request *Request
	reader  Reader
}

// cause returns an error about a file without operation and path.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
