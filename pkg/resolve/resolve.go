// Package resolve finds digests: it turns a producer's intent, as sources.yaml says
// it, into one digest and the tags to promote it under.
//
//	Producer ─ Resolve ─▶ Choice: a digest, and why it was taken
//	    │ handed: Registry (tags, digests, labels), History (commits), files
//	    ▼
//	Choice, dmap, lock ─ Amend ─▶ what changes in images.yaml and the lock
//
// A selector is a file of its own: tag, semver, order (numerical, alphabetical),
// gitRevision, alias, labels. Every choice has a total order, so that the same
// inputs give the same result. The package is pure: what it has to know it is
// handed, it logs nothing, and it cannot write to a registry. A reader that fails
// fails the producer; what could not be read is never taken for absent.
package resolve

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Readers are what selectors are handed.
type Readers struct {
	Registry Registry
	// ReadFile returns the bytes of a file whose name is relative to the producer's file.
	ReadFile func(name string) ([]byte, error)
	// History opens a branch of a git repository, a URL or a path relative to the
	// producer's file, and returns it with what ends its use.
	History func(ctx context.Context, repository, branch string) (history History, release func(), err error)
	// Rebase returns what the image that a producer selected becomes on its new run image.
	Rebase func(ctx context.Context, p *manifest.Producer, app v1.Hash) (v1.Hash, *manifest.LockRebase, error)
}

// Options say how a producer is resolved.
type Options struct {
	Refresh       bool // read the digest of a tag again though the lock has it
	AllowRollback bool // take a result that is older than the lock's
}

// Registry reads the repositories that producers name. It is safe for concurrent use.
type Registry interface {
	// Tags returns all tags, in any order. A repository that does not exist is an error.
	Tags(ctx context.Context, repo name.Repository) ([]string, error)
	// Digest returns what a tag or digest leads to; false if the registry says that it does not exist.
	Digest(ctx context.Context, repo name.Repository, ref string) (v1.Hash, bool, error)
	// Image describes what a tag or digest leads to.
	Image(ctx context.Context, repo name.Repository, ref string) (*Image, error)
}

// Image is what selectors look at in an image or index.
type Image struct {
	Digest       v1.Hash
	MediaType    string
	Annotations  map[string]string // of the manifest or index
	Config       string            // digest of an image's config; empty for an index
	Labels       map[string]string // of an image's config
	OS           string            // of an image's config, and so are the next two
	Architecture string
	Variant      string
	Children     []Child // of an index, in order
}

// Child is an image in an index, as the index describes it.
type Child struct {
	Digest       v1.Hash
	OS           string
	Architecture string
	Variant      string
	Annotations  map[string]string
}

// Candidate is a tag that was looked at.
type Candidate struct {
	Tag    string
	Digest v1.Hash // if it was read
	Chosen bool
	Reason string // why it was taken or not
}

// Choice is what a selector found.
type Choice struct {
	Tag        string             // the selected source tag; empty for a digest that was named
	Digest     v1.Hash            // never empty
	Default    []string           // tags to promote if the producer names none
	Fields     manifest.TagFields // what templates of tags may use
	Candidates []Candidate        // best first
	Notes      []string           // what a reader of the result should know
	Git        *manifest.LockGit
	Alias      *manifest.LockAlias
	Rebase     *manifest.LockRebase
}

// job is one producer being resolved.
type job struct {
	*manifest.Producer
	Readers
	Options
	previous *manifest.Lock // nil: there is none
}

// Resolve finds the digest that a producer asks for. previous is its lock entry, or
// nil. With an error the choice, if there is one, holds the candidates alone.
func Resolve(ctx context.Context, p *manifest.Producer, previous *manifest.Lock, r Readers, o Options) (*Choice, error) {
	j := &job{Producer: p, Readers: r, Options: o, previous: previous}
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

// choose hands the producer to its selector.
func (j *job) choose(ctx context.Context) (*Choice, error) {
	switch s := j.Select; {
	case s.Tag != "":
		return j.tag(ctx)
	case s.Digest != (v1.Hash{}):
		return j.digest(ctx)
	case s.SemVer != nil:
		return j.ordered(ctx, newSemVer(s.SemVer.Range))
	case s.Numerical != nil:
		return j.ordered(ctx, &numerical{s.Numerical.Order == manifest.OrderDescending})
	case s.Alphabetical != nil:
		return j.ordered(ctx, &alphabetical{s.Alphabetical.Order == manifest.OrderDescending})
	case s.GitRevision != nil:
		return j.gitRevision(ctx)
	case s.Alias != nil:
		return j.alias(ctx)
	case s.Labels != nil:
		return j.labels(ctx)
	}
	return nil, errors.New("no selector")
}

// pin returns the digest of a tag: the lock's if it was found for the same tag and
// intent before, or else the registry's.
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

// locked returns the digest that the lock has for a tag, if that still holds.
func (j *job) locked(tag string) (v1.Hash, bool) {
	l := j.previous
	if l == nil || j.Refresh || j.AlwaysRefresh || l.Tag != tag || l.Intent != j.Intent() || l.Rebase != nil {
		return v1.Hash{}, false
	}
	return l.Digest, true
}
