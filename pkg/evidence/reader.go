package evidence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const (
	// maxAttestations is the maximum number of referrers and of layers under cosign's tag
	// that are read of one digest. Images have a few of them.
	maxAttestations = 1000
	// maxTotal is the maximum size of all attestations of one digest, in bytes.
	maxTotal = 4 * MaxBundle
	// maxBytes limits the bundles that are in memory at a time, in bytes. Verifying one takes
	// several times its size.
	maxBytes = 2 * MaxBundle
	// inFlight is the maximum number of concurrent reads for one digest. The pace of the host
	// limits how many requests are sent.
	inFlight = 16
)

// Source reads from registries. A *registry.Client is one, except for Below: see Direct.
type Source interface {
	Manifest(ctx context.Context, repo name.Repository, ref string) (*registry.Manifest, error)
	ReferrersOrTag(ctx context.Context, repo name.Repository, digest v1.Hash) ([]v1.Descriptor, error)
	FetchBlob(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error
	Signatures(ctx context.Context, repo name.Repository, digest v1.Hash) iter.Seq2[registry.Signature, error]
	// Below returns the content of a manifest, from wherever it was read before; nil if the
	// manifest does not exist.
	Below(ctx context.Context, repo name.Repository, digest string) (*registry.Content, error)
}

// Direct returns a source that reads everything from registries.
func Direct(c *registry.Client) Source { return direct{c} }

type direct struct{ *registry.Client }

// Below implements Source.
func (d direct) Below(ctx context.Context, repo name.Repository, digest string) (*registry.Content, error) {
	m, err := d.Manifest(ctx, repo, digest)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return m.Parse()
}

// Reader reads attestations and verifies their signatures. It is safe for concurrent use.
type Reader struct {
	from  Source
	trust *Trust
	bytes *semaphore.Weighted // of bundles in memory

	images  memo.Map[place, *provenance.Evidence]
	digests memo.Map[place, *attached]
}

// NewReader returns a Reader.
func NewReader(from Source, trust *Trust) *Reader {
	return &Reader{from: from, trust: trust, bytes: semaphore.NewWeighted(maxBytes)}
}

// Attestations returns the attestations of a digest with a predicate type, sorted.
//
// Those whose signature does not verify are in the result, too. A referrer that cannot be
// read is left out.
func (r *Reader) Attestations(ctx context.Context, repo name.Repository, digest v1.Hash, predicateType string) ([]provenance.Attestation, error) {
	found, err := r.attached(ctx, repo, digest, predicateType)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found.attestations, func(a provenance.Attestation) bool {
		return a.Statement == nil || a.Statement.PredicateType != predicateType
	}), nil
}

// Tagged returns the attestations under cosign's tag of a digest, sorted.
//
// Those whose signature does not verify are in the result, too. One that cannot be read is
// an error.
func (r *Reader) Tagged(ctx context.Context, repo name.Repository, digest v1.Hash) ([]provenance.Attestation, error) {
	layers, err := r.tagged(ctx, repo, digest)
	if err != nil || len(layers) == 0 {
		return nil, err
	}
	found, err := r.read(ctx, at{repo: repo, digest: digest}, nil, layers, "")
	switch {
	case err != nil:
		return nil, err
	case len(found.notes) > 0:
		return nil, errors.New(strings.Join(found.notes, "; "))
	}
	return found.attestations, nil
}

// attached are the attestations of one digest, and notes about what was left out.
type attached struct {
	attestations []provenance.Attestation
	notes        []string

	judged bool // of statements that are not provenance, only the head is needed
	mu     sync.Mutex
	total  int64 // bytes
}

// grow adds to the bytes that are read. The error is that they are too many.
func (a *attached) grow(where at, n int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total += n; a.total > maxTotal {
		return fmt.Errorf("the attestations of %s have more than %d bytes: refused", where.digest, maxTotal)
	}
	return nil
}

func (a *attached) add(one provenance.Attestation) {
	if s := one.Statement; a.judged && s != nil && s.PredicateType != provenance.ProvenanceV1 && s.PredicateType != provenance.ProvenanceV02 {
		s.Predicate = nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attestations = append(a.attestations, one)
}

// attached reads the attestations of a digest. Those that say they have another predicate
// type are not read.
//
// Without a predicate type all are read, and predicates are kept of provenance alone.
func (r *Reader) attached(ctx context.Context, repo name.Repository, digest v1.Hash, predicateType string) (*attached, error) {
	referrers, err := r.from.ReferrersOrTag(ctx, repo, digest)
	if err != nil {
		return nil, err
	}
	tagged, err := r.tagged(ctx, repo, digest)
	if err != nil {
		return nil, err
	}
	return r.read(ctx, at{repo: repo, digest: digest}, referrers, tagged, predicateType)
}

// read reads the attestations in referrers, and in layers under cosign's tag.
func (r *Reader) read(ctx context.Context, of at, referrers, tagged []v1.Descriptor, predicateType string) (*attached, error) {
	if n := len(referrers) + len(tagged); n > maxAttestations {
		return nil, fmt.Errorf("%s has %d referrers and layers under %s: more than %d are not read",
			of.digest, n, attestationTag(of.digest), maxAttestations)
	}
	out := &attached{judged: predicateType == ""}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for _, d := range referrers {
		g.Go(func() error { return r.referrer(ctx, at{of.repo, of.digest, d.Digest}, d, predicateType, out) })
	}
	for _, l := range tagged {
		g.Go(func() error { return r.taggedLayer(ctx, of, l, out) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(out.attestations, func(a, b provenance.Attestation) int {
		return cmp.Or(cmp.Compare(a.URI, b.URI), cmp.Compare(a.Digest.String(), b.Digest.String()), cmp.Compare(a.State, b.State))
	})
	slices.Sort(out.notes)
	return out, nil
}

// at says where an attestation is.
type at struct {
	repo     name.Repository
	digest   v1.Hash // of the image
	referrer v1.Hash // zero under cosign's tag
}

// uri returns the reference of the manifest with the attestation.
func (a at) uri() string {
	if a.referrer == (v1.Hash{}) {
		return a.repo.Tag(attestationTag(a.digest)).Name()
	}
	return a.repo.Digest(a.referrer.String()).Name()
}
