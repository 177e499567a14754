package attest

import (
	"context"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// inFlight is the number of images whose evidence is read or written at a time. The pace
// of a host limits how many requests are sent to it.
const inFlight = 32

// Options says which evidence is written, and what it says.
type Options struct {
	Records    bool // promotion records
	Summaries  bool // verification summaries
	Signatures bool // of images
	DryRun     bool // nothing will be written, and so nothing is asked of Fulcio

	Client        *registry.Client
	Signer        *Signer          // nil: there is none in this dry run, or nothing is signed
	SummarySigner *Signer          // of summaries; nil: Signer
	Reader        *evidence.Reader // of the statements that are attached already
	Trust         *evidence.Trust  // that verifies signatures of images
	Judge         Judge            // nil: there are no policies

	Builder  string // builderId of records
	Promoter Promoter
	Job      Job
	Verifier Verifier // of summaries
	Level    string   // of summaries, that promotion itself proves
	Origin   Origin   // of the manifests
	Time     time.Time
}

// Judge judges an image in its source by the policies that bind it.
type Judge interface {
	Image(ctx context.Context, source name.Repository, digest v1.Hash) provenance.Verdict
}

// Writer writes evidence.
type Writer struct {
	o      Options
	blobs  *promote.Writer
	images memo.Map[place, *registry.Manifest]

	mu       sync.Mutex
	warnings map[string]struct{}
}

// NewWriter returns a writer, which the caller must Close.
func NewWriter(o Options) *Writer {
	return &Writer{o: o, blobs: promote.NewWriter(o.Client), warnings: map[string]struct{}{}}
}

// Close waits for what is being copied.
func (w *Writer) Close() error {
	_, err := w.blobs.Close()
	return err
}

// warn adds a warning, once.
func (w *Writer) warn(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warnings[text] = struct{}{}
}

// signer returns who signs statements of a type.
func (w *Writer) signer(predicateType string) *Signer {
	if predicateType == SummaryType && w.o.SummarySigner != nil {
		return w.o.SummarySigner
	}
	return w.o.Signer
}

// identity returns the identity whose evidence counts as written by a signer, or false if
// nobody signs.
func (w *Writer) identity(ctx context.Context, by *Signer) (provenance.Identity, bool, error) {
	switch {
	case by == nil:
		return provenance.Identity{}, false, nil
	case w.o.DryRun:
		return by.Expected(), true, nil
	}
	id, err := by.Identity(ctx)
	return id, true, err
}

// isOurs reports whether a signer is the given identity. Only the name and its issuer
// matter: the other fields describe one job.
func isOurs(by, id provenance.Identity) bool {
	return by.SAN == id.SAN && by.Issuer == id.Issuer && by.Key == id.Key
}

// earlier returns the verified statements of a type about a digest that the signer made
// before, in a repository.
func (w *Writer) earlier(ctx context.Context, repo name.Repository, digest v1.Hash, predicateType string) ([]*provenance.Statement, error) {
	all, err := w.o.Reader.Attestations(ctx, repo, digest, predicateType)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	id, known, err := w.identity(ctx, w.signer(predicateType))
	if err != nil || !known {
		return nil, err
	}
	var ours []*provenance.Statement
	for i := range all {
		if a := &all[i]; a.State == provenance.Verified && isOurs(a.Signer, id) {
			ours = append(ours, a.Statement)
		}
	}
	return ours, nil
}

// verdicts returns the verdicts about a subject in its sources.
func (w *Writer) verdicts(ctx context.Context, s *Subject) []provenance.Verdict {
	var all []provenance.Verdict
	for _, source := range s.sources() {
		v := provenance.Verdict{Repository: source}
		if w.o.Judge != nil {
			v = w.o.Judge.Image(ctx, source, s.Digest)
		}
		all = append(all, v)
	}
	return all
}
