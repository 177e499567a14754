package promote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// blobs knows where the blobs of a run are and brings them where they lack. A
// host gets a blob's body once; its further repositories mount it.
type blobs struct {
	client *registry.Client
	room   *room
	lanes  lanes

	mu      sync.Mutex
	all     map[string]*blob // by digest
	placed  flights[place]
	suspect map[place]struct{} // blobs that a repository says it holds, and does not, or not whole
	mounts  map[string]*mounts // by host
	moved   map[name.Repository]Moved
	running sync.WaitGroup // deliveries to other hosts than the asker's
}

// mounts is what is known of mounting on one host.
type mounts struct {
	first   sync.Mutex // held while nothing has been mounted yet: a host that never does is asked once a pair
	granted atomic.Bool

	mu      sync.Mutex
	refused map[name.Repository]struct{} // sources that were not mounted from
	broken  int                          // times that the host failed at it
}

// mostBroken is how many failures make a host one that cannot mount: each costs all tries of a request.
const mostBroken = 2

// place is a blob or manifest in a repository.
type place struct {
	repo   name.Repository
	digest string
}

// blob is one blob of the run.
type blob struct {
	v1.Descriptor
	mu    sync.Mutex
	hosts map[string]*delivery // hosts that need its body
}

// delivery is the body of a blob on its way to one host.
type delivery struct {
	to      name.Repository
	started bool
	done    chan struct{} // closed when it is there, or has failed
	err     error
}

func newBlobs(c *registry.Client) *blobs {
	return &blobs{client: c, room: newRoom(c.TempFiles()), all: map[string]*blob{}, suspect: map[place]struct{}{}, mounts: map[string]*mounts{}, moved: map[name.Repository]Moved{}}
}

func (b *blobs) blob(d v1.Descriptor) *blob {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.all[d.Digest.String()]
	if one == nil {
		one = &blob{Descriptor: d, hosts: map[string]*delivery{}}
		b.all[d.Digest.String()] = one
	}
	return one
}

// expect announces that a repository on another host than the source's will need a blob.
func (b *blobs) expect(d v1.Descriptor, dst name.Repository) {
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.hosts[dst.RegistryStr()] == nil {
		one.hosts[dst.RegistryStr()] = &delivery{to: dst, done: make(chan struct{})}
	}
}

// place brings a blob into a repository, once a run.
func (b *blobs) place(ctx context.Context, dst, from name.Repository, d v1.Descriptor) error {
	return b.placed.do(ctx, place{dst, d.Digest.String()}, func() error { return b.bring(ctx, dst, from, d) })
}

// forget makes the next place of a blob look for itself: the registry lost it. With
// distrust it sends the blob, whatever the registry says.
func (b *blobs) forget(dst name.Repository, d v1.Descriptor, distrust bool) {
	if distrust {
		b.distrust(place{dst, d.Digest.String()})
	}
	b.placed.forget(place{dst, d.Digest.String()})
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	delete(one.hosts, dst.RegistryStr())
}

// distrust makes a blob be sent to a repository, whatever that says.
func (b *blobs) distrust(at place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspect[at] = struct{}{}
}

func (b *blobs) distrusts(at place) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.suspect[at]
	return ok
}

// bring mounts a blob from the source or from a repository that has it by now,
// and else has its body delivered.
func (b *blobs) bring(ctx context.Context, dst, from name.Repository, d v1.Descriptor) error {
	var session *registry.Session
	if b.distrusts(place{dst, d.Digest.String()}) {
		return b.copyTo(ctx, []*delivery{{to: dst}}, nil, from, d)[0]
	}
	if from.RegistryStr() == dst.RegistryStr() && from != dst {
		var err error
		if session, err = b.mount(ctx, dst, from, d); !errors.Is(err, registry.ErrMountRefused) {
			return err
		}
	}
	at, err := b.deliver(ctx, dst, from, d, session)
	if err != nil || at == dst {
		return err
	}
	session, err = b.mount(ctx, dst, at, d)
	if !errors.Is(err, registry.ErrMountRefused) {
		return err
	}
	return b.copyTo(ctx, []*delivery{{to: dst}}, session, from, d)[0]
}

// mount mounts a blob, unless the source repository was refused before.
func (b *blobs) mount(ctx context.Context, dst, from name.Repository, d v1.Descriptor) (*registry.Session, error) {
	b.mu.Lock()
	m := b.mounts[dst.RegistryStr()]
	if m == nil {
		m = &mounts{refused: map[name.Repository]struct{}{}}
		b.mounts[dst.RegistryStr()] = m
	}
	b.mu.Unlock()
	if !m.granted.Load() {
		m.first.Lock()
		if m.granted.Load() {
			m.first.Unlock()
		} else {
			defer m.first.Unlock()
		}
	}
	if m.hopeless(from) {
		return nil, registry.ErrMountRefused
	}
	session, err := b.client.Mount(ctx, dst, from, d.Digest)
	switch {
	case err == nil:
		m.granted.Store(true)
		b.count(dst, Moved{Mounted: 1})
	case errors.Is(err, registry.ErrMountRefused):
		m.refuse(from, err)
	default:
		return nil, fmt.Errorf("mounting blob %s: %w", d.Digest.String(), err)
	}
	return session, err
}

func (m *mounts) hopeless(from name.Repository) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, refused := m.refused[from]
	return refused || m.broken >= mostBroken
}

func (m *mounts) refuse(from name.Repository, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[from] = struct{}{}
	var e *registry.Error
	if errors.As(err, &e) && e.Status >= 500 {
		m.broken++
	}
}

// deliver sees to it that the host of dst has a blob's body, and returns the
// repository that has it. Whoever comes first reads the source and serves every
// other host that is known to need the blob, too.
func (b *blobs) deliver(ctx context.Context, dst, from name.Repository, d v1.Descriptor, session *registry.Session) (name.Repository, error) {
	one := b.blob(d)
	one.mu.Lock()
	mine := one.hosts[dst.RegistryStr()]
	if mine == nil || mine.started && isClosed(mine.done) && mine.err != nil {
		mine = &delivery{to: dst, done: make(chan struct{})}
		one.hosts[dst.RegistryStr()] = mine
	}
	if mine.started {
		one.mu.Unlock()
		b.drop(ctx, session)
		select {
		case <-mine.done:
			if mine.err != nil && mine.to != dst && ctx.Err() == nil { // it failed for another repository: try for this one
				return b.deliver(ctx, dst, from, d, nil)
			}
			return mine.to, mine.err
		case <-ctx.Done():
			return dst, ctx.Err()
		}
	}
	mine.to = dst
	todo := []*delivery{mine}
	for _, other := range one.hosts {
		if !other.started && other != mine {
			todo = append(todo, other)
		}
	}
	for _, t := range todo {
		t.started = true
	}
	one.mu.Unlock()
	b.running.Go(func() { b.copyTo(ctx, todo, session, from, d) })
	select {
	case <-mine.done:
		return dst, mine.err
	case <-ctx.Done():
		return dst, ctx.Err()
	}
}

// copyTo copies a blob's body to every destination that lacks it, reading it from
// the source at most once. session, if any, is one opened for the first of them.
func (b *blobs) copyTo(ctx context.Context, to []*delivery, session *registry.Session, from name.Repository, d v1.Descriptor) []error {
	errs := make([]error, len(to))
	var fetch struct {
		once  sync.Once
		spool *spool
		err   error
		group sync.WaitGroup
	}
	open := func() (*spool, error) {
		fetch.once.Do(func() {
			if fetch.spool, fetch.err = b.room.spool(ctx, d.Size); fetch.err != nil {
				fetch.err = fmt.Errorf("copying blob %s: %w", d.Digest.String(), fetch.err)
				return
			}
			fetch.group.Go(func() { fetch.spool.finish(b.fetch(ctx, from, d, fetch.spool)) })
		})
		return fetch.spool, fetch.err
	}
	var group sync.WaitGroup
	for i, t := range to {
		own := session
		if i > 0 {
			own = nil
		}
		group.Go(func() {
			errs[i] = b.give(ctx, t.to, from, own, d, open)
			if t.done != nil {
				t.err = errs[i]
				close(t.done)
			}
		})
	}
	group.Wait()
	fetch.group.Wait()
	if fetch.spool != nil {
		b.room.free(fetch.spool, d.Size)
	}
	return errs
}

// unreadError is the failure to read a blob: another place that holds it may help.
type unreadError struct{ error }

func (e *unreadError) Unwrap() error { return e.error }

// fetch reads a blob from its source.
func (b *blobs) fetch(ctx context.Context, from name.Repository, d v1.Descriptor, to *spool) error {
	done, err := b.lanes.pass(ctx, lane{from.RegistryStr(), false}, d)
	if err != nil {
		return err
	}
	defer done()
	if err := b.client.FetchBlob(ctx, from, d, to); err != nil {
		return &unreadError{fmt.Errorf("reading blob %s of %s: %w", d.Digest.String(), from, err)}
	}
	return nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
