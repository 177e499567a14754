package lookup

import (
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// Rebaser rebases the apps of selectors with a rebase onto their new run images. It writes
// nothing. It is safe for concurrent use.
type Rebaser struct {
	client *registry.Client

	mu      sync.Mutex // the reader is for one goroutine
	reader  *rebase.Reader
	results map[*selector.Selector]*rebase.Result
}

// NewRebaser returns a Rebaser.
func NewRebaser(c *registry.Client) *Rebaser {
	return &Rebaser{client: c, reader: rebase.NewReader(c), results: map[*selector.Selector]*rebase.Result{}}
}

// Compute returns the digest of a selector's app on its new run image, and the evidence for the lock.
func (r *Rebaser) Compute(ctx context.Context, p *selector.Selector, app v1.Hash) (v1.Hash, *selector.LockRebase, error) {
	accept, err := rebase.ParseAccept(p.Rebase.Accept)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	o := rebase.Options{Mirrors: p.Rebase.LocalMirrors, Accept: accept, Host: p.Output.RegistryStr()}
	if run := p.Rebase.RunImage; run != nil {
		o.Files = []rebase.File{{Name: p.Pos.String(), Images: []rebase.Names{{Image: run.Image, Mirrors: run.Mirrors}}}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	res, err := r.reader.Rebase(ctx, rebase.Reference{Repository: p.Repository, Digest: app}, o)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	r.results[p] = res
	return res.Digest, &selector.LockRebase{
		App:         app,
		From:        selector.LockBase{Reference: res.From.Reference, TopLayer: res.From.TopLayer},
		Onto:        selector.LockBase{Image: res.Onto.Image, Digest: res.Onto.Digest, TopLayer: res.Onto.TopLayer},
		PlatformAPI: res.PlatformAPI,
	}, nil
}

// Pin is like Compute, but it is an error if the source registry does not have the rebased image.
func (r *Rebaser) Pin(ctx context.Context, p *selector.Selector, app v1.Hash) (v1.Hash, *selector.LockRebase, error) {
	d, evidence, err := r.Compute(ctx, p, app)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	switch state, err := r.client.Has(ctx, p.Output, d); {
	case err != nil:
		return v1.Hash{}, nil, fmt.Errorf("reading source %s: %w", p.Output.Digest(d.String()).String(), err)
	case state != inventory.Present:
		return v1.Hash{}, nil, fmt.Errorf("%s is not there yet: cip rebase with --only=%s and --confirm puts it there", p.Output.Digest(d.String()).String(), p.Name)
	}
	return d, evidence, nil
}

// Result returns what Compute computed for a selector, or nil.
func (r *Rebaser) Result(p *selector.Selector) *rebase.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.results[p]
}

// RunImages reads the files that name run images. The error joins those of all files.
func RunImages(names []string) ([]rebase.File, error) {
	files := make([]rebase.File, len(names))
	var errs []error
	for i, name := range names {
		data, err := load.File(name, load.MaxFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading run images: %w", err))
			continue
		}
		if files[i], err = rebase.ParseFile(name, data); err != nil {
			errs = append(errs, err)
		}
	}
	return files, errors.Join(errs...)
}
