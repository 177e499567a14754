// Package resolve selects the digest for each selector of a sources.yaml file.
//
//	selector ─ Resolve ─▶ Choice: a digest, and the reason for it
//	    │ reads through: Registry (tags, digests, labels), History (commits), files
//	    ▼
//	Choice, dmap, lock ─ Amend ─▶ changes of images.yaml and the lock
//
// Each policy has a source file of its own: tag, semver, ordered (numerical,
// alphabetical), newest, gitrevision, imagetags (alias, labels). Candidates always have a
// total order, so that equal inputs give equal results.
//
// The package is pure. It reads through the interfaces in Readers only, logs nothing
// and cannot write to a registry. If a read fails, the selector fails: an image that
// could not be read is never treated as absent.
package resolve

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// Readers are the functions and interfaces that selectors read through.
type Readers struct {
	Registry Registry
	// ReadFile returns the content of a file. Names are relative to the selector's file.
	ReadFile func(name string) ([]byte, error)
	// History opens a branch of a git repository. repository is a URL, or a path
	// relative to the selector's file. The caller must call release after use.
	History func(ctx context.Context, repository, branch string) (history History, release func(), err error)
	// Rebase returns the digest of the selected image app after a rebase, and its
	// lock entry. It is called only for selectors that have a rebase.
	Rebase func(ctx context.Context, p *selector.Selector, app v1.Hash) (v1.Hash, *selector.LockRebase, error)
}

// Options configure Resolve.
type Options struct {
	Refresh       bool // read the digest of a tag again even if the lock has it
	AllowRollback bool // accept a result that is older than the lock entry
}

// Registry reads the source repositories. It must be safe for concurrent use.
type Registry interface {
	// Tags returns all tags, in any order. A repository that does not exist is an error.
	Tags(ctx context.Context, repo name.Repository) ([]string, error)
	// Digest returns the digest of a tag or digest. It returns false if the registry
	// answers that the reference does not exist.
	Digest(ctx context.Context, repo name.Repository, ref string) (v1.Hash, bool, error)
	// Image returns the image or index of a tag or digest.
	Image(ctx context.Context, repo name.Repository, ref string) (*Image, error)
}

// Image holds the parts of an image or index that policies use.
type Image struct {
	Digest       v1.Hash
	Annotations  map[string]string // annotations of the manifest or index
	Config       string            // digest of the config; empty for an index
	Labels       map[string]string // labels in the config
	Created      string            // creation time in the config (RFC 3339); empty if it has none
	OS           string            // platform in the config
	Architecture string
	Variant      string
	Children     []v1.Descriptor // of an index, in order
}

// Candidate is a tag that a policy considered.
type Candidate struct {
	Tag    string  `json:"tag,omitempty"`
	Digest v1.Hash `json:"digest,omitzero"` // zero if it was not read
	Chosen bool    `json:"chosen"`
	Reason string  `json:"reason"` // reason why the tag was chosen or not
}

// PassedCommit is a commit without an image that is newer than the selected one.
type PassedCommit struct {
	ID, Subject string
	Counted     bool // counts as behind: it changes files of the image
}

// Choice is the result of a selector.
type Choice struct {
	Tag        string             // selected source tag; empty if a digest was selected
	Digest     v1.Hash            // selected digest
	Default    []string           // tags to promote if the selector sets none
	Fields     selector.TagFields // fields for templates of tags
	Candidates []Candidate        // best first
	Passed     []PassedCommit     // newest first; only of a git revision
	Notes      []string           // hints for people
	Git        *selector.LockGit
	Alias      *selector.LockAlias
	Newest     *selector.LockNewest
	Rebase     *selector.LockRebase
}

// job is the resolution of one selector.
type job struct {
	*selector.Selector
	Readers
	Options
	previous *selector.Lock // lock entry of the selector, or nil
}

// Resolve selects the digest for selector p.
//
// previous is the lock entry of the selector, or nil. If Resolve returns an error and
// a choice, the choice has the candidates only.
func Resolve(ctx context.Context, p *selector.Selector, previous *selector.Lock, r Readers, o Options) (*Choice, error) {
	o.Refresh = o.Refresh || p.AlwaysRefresh
	j := &job{Selector: p, Readers: r, Options: o, previous: previous}
	choice, err := j.choose(ctx)
	if err != nil {
		return choice, err
	}
	if p.Rebase != nil {
		if choice.Digest, choice.Rebase, err = r.Rebase(ctx, p, choice.Digest); err != nil {
			return choice, err
		}
	}
	choice.Fields.Name, choice.Fields.Tag, choice.Fields.Digest = p.Name, choice.Tag, choice.Digest.String()
	return choice, nil
}

// choose runs the policy of the selector.
func (j *job) choose(ctx context.Context) (*Choice, error) {
	switch s := j.Select; {
	case s.Tag != "":
		return j.tag(ctx)
	case s.Digest != (v1.Hash{}):
		return j.digest(ctx)
	case s.SemVer != nil:
		return j.ordered(ctx, newSemVer(s.SemVer.Range))
	case s.Numerical != nil:
		return j.ordered(ctx, &numerical{descending: s.Numerical.Order == selector.OrderDescending})
	case s.Alphabetical != nil:
		return j.ordered(ctx, &alphabetical{descending: s.Alphabetical.Order == selector.OrderDescending})
	case s.Newest != nil:
		return j.newest(ctx)
	case s.GitRevision != nil:
		return j.gitRevision(ctx)
	case s.Alias != nil:
		return j.alias(ctx)
	case s.Labels != nil:
		return j.labels(ctx)
	}
	return nil, errors.New("no policy")
}

// pin returns the digest of a tag. It comes from the lock if the lock is still valid
// for this tag, else from the registry.
func (j *job) pin(ctx context.Context, tag string) (v1.Hash, error) {
	if d, ok := j.locked(tag); ok {
		return d, nil
	}
	d, ok, err := j.Registry.Digest(ctx, j.Repository, tag)
	switch {
	case err != nil:
		return v1.Hash{}, err
	case !ok:
		return v1.Hash{}, fmt.Errorf("reading source %s: there is no such tag", j.Repository.Tag(tag).String())
	}
	return d, nil
}

// locked returns the digest of a tag in the lock.
//
// It returns false if the lock is for another tag, if the selector has changed since,
// or if the digest must be read again.
func (j *job) locked(tag string) (v1.Hash, bool) {
	l := j.previous
	if l == nil || j.Refresh || l.Tag != tag || l.Intent != j.Intent() || l.Rebase != nil {
		return v1.Hash{}, false
	}
	return l.Digest, true
}
