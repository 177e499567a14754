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
	looks       = 5               // at a reference that was just written: registries that copy their state about may be late
	longestRace = 2 * time.Second // that the end of a run waits for other writers
)

// written is what a run has put under tags, and by digest for its own sake.
type written struct {
	mu  sync.Mutex
	all []writing
}

// writing is one PUT that succeeded.
type writing struct {
	repo   name.Repository
	ref    string    // what it was put under: a tag or its digest
	tag    string    // empty: it was put by digest
	digest string    // what was put
	was    v1.Hash   // what the tag pointed to before
	until  time.Time // when another writer that read the tag before this PUT has most likely written it
}

// add records a PUT that took a while from the reading of its tag.
func (w *written) add(one writing, took time.Duration) {
	one.until = time.Now().Add(min(took, longestRace))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, one)
}

// edge is a digest under a tag of a repository, or without one.
type edge struct {
	repo        name.Repository
	digest, tag string
}

// readBack reads everything that was written once more, after all else. No answer to a
// PUT can tell that another writer wrote the same tag afterwards, having read it before;
// that writer gets as long to finish as the PUT here took. Items that are not as they
// were written have failed.
func (e *engine) readBack(ctx context.Context, units []*unit) {
	slices.SortFunc(e.written.all, func(a, b writing) int { return a.until.Compare(b.until) })
	failed := map[edge]result{}
	var mu sync.Mutex
	byHost(atOnce, e.written.all, func(w writing) string { return w.repo.RegistryStr() }, func(w writing) {
		if wait(ctx, time.Until(w.until)) != nil {
			return
		}
		err := w.check(ctx, e.client)
		if err == nil || ctx.Err() != nil { // an interrupt says nothing of what was written
			return
		}
		mu.Lock()
		defer mu.Unlock()
		failed[edge{w.repo, w.digest, w.tag}] = result{plan.Failed, err.Error()}
	})
	of := func(it plan.Item, tag string) (result, bool) {
		r, ok := failed[edge{it.Destination, it.Digest.String(), tag}]
		return r, ok
	}
	for _, u := range units {
		u.items, u.referrers = divide(u.items, of), divide(u.referrers, of)
	}
}

// check returns an error unless what was written is there.
func (w writing) check(ctx context.Context, c *registry.Client) error {
	for try := 1; ; try++ {
		at, err := c.ReadBack(ctx, w.repo, w.ref)
		late := at == (v1.Hash{}) || at == w.was
		switch {
		case err != nil:
			return fmt.Errorf("reading back destination %s: %w", w.name(), err)
		case at.String() == w.digest:
			return nil
		case !late || try == looks && at != (v1.Hash{}):
			return fmt.Errorf("reading back destination %s: it was written, and now points to %s", w.name(), at)
		case try == looks:
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

// wait returns after d, or with ctx's error if that ends first.
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
