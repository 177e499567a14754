package promote

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const (
	readBackTries = 5               // of a reference that was just written: a registry with replicas may be late
	maxRace       = 2 * time.Second // that the end of a run waits for other clients that write the same tag
)

// written holds the PUTs of a run: under tags, and by digest for tagless edges.
type written struct {
	mu  sync.Mutex
	all []writing
}

// writing is one PUT that succeeded.
type writing struct {
	repo   name.Repository
	ref    string    // tag or digest of the PUT
	tag    string    // empty: PUT by digest
	digest string    // of the manifest
	was    v1.Hash   // that the tag pointed to before
	until  time.Time // another client that read the tag before this PUT has probably written it by then
}

// add records a PUT. took is the time since its tag was read.
func (w *written) add(one writing, took time.Duration) {
	one.until = time.Now().Add(min(took, maxRace))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, one)
}

// edge is a digest under a tag of a repository, or without one.
type edge struct {
	repo        name.Repository
	digest, tag string
}

// readBack reads all that was written again, at the end of the run. Another client may
// have read a tag before our PUT and written it afterwards, which no answer to the PUT
// can show. That client gets the time that our PUT took. An item that is not as it was
// written has failed.
func (e *engine) readBack(ctx context.Context, units []*unit) {
	slices.SortFunc(e.written.all, func(a, b writing) int { return a.until.Compare(b.until) })
	failed := map[edge]error{}
	var mu sync.Mutex
	byHost(maxReads, e.written.all, func(w writing) string { return w.repo.RegistryStr() }, func(w writing) {
		if wait(ctx, time.Until(w.until)) != nil {
			return
		}
		err := w.check(ctx, e.client)
		if err == nil || ctx.Err() != nil { // after an interrupt the state is unknown
			return
		}
		mu.Lock()
		defer mu.Unlock()
		failed[edge{w.repo, w.digest, w.tag}] = err
	})
	for _, u := range units {
		for _, items := range [][]plan.Item{u.items, u.referrers} {
			for i := range items {
				it := &items[i]
				if err := failed[edge{it.Destination, it.Digest.String(), it.Tag}]; err != nil {
					it.Fail(err.Error(), err)
				}
			}
		}
	}
}

// check returns an error if the registry lacks what was written.
func (w writing) check(ctx context.Context, c *registry.Client) error {
	for try := 1; ; try++ {
		at, err := c.ReadBack(ctx, w.repo, w.ref)
		late := at == (v1.Hash{}) || at == w.was
		switch {
		case err != nil:
			return fmt.Errorf("reading back destination %s: %w", w.name(), err)
		case at.String() == w.digest:
			return nil
		case !late || try == readBackTries && at != (v1.Hash{}):
			return fmt.Errorf("reading back destination %s: it was written, and now points to %s", w.name(), at)
		case try == readBackTries:
			return fmt.Errorf("reading back destination %s: it was written, and the registry does not have it", w.name())
		}
		if err := c.Pause(ctx, try); err != nil {
			return err
		}
	}
}

func (w writing) name() string {
	if w.tag == "" {
		return w.repo.String() + "@" + w.digest
	}
	return w.repo.Tag(w.tag).String()
}

// wait waits for d, or until ctx ends, and returns the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
