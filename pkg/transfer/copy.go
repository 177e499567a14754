package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// bring mounts a blob from the source, or from a repository of the destination host
// that has it by then. If neither is possible, it copies the body.
func (b *Blobs) bring(ctx context.Context, dst, from name.Repository, d v1.Descriptor) error {
	var session *registry.Session
	if b.isDistrusted(dst, d) {
		return b.copyAlone(ctx, dst, nil, from, d)
	}
	if from.RegistryStr() == dst.RegistryStr() && from != dst {
		var err error
		if session, err = b.mount(ctx, dst, from, d, true); !errors.Is(err, registry.ErrMountRefused) {
			return err
		}
	}
	at, err := b.deliver(ctx, dst, from, d, session)
	if err != nil || at.to == dst {
		return err
	}
	session, err = b.mountDelivered(ctx, dst, at, d)
	if errors.Is(err, errForgotten) {
		return b.bring(ctx, dst, from, d)
	}
	if !errors.Is(err, registry.ErrMountRefused) {
		return err
	}
	return b.copyAlone(ctx, dst, session, from, d)
}

// copyAlone copies a blob's body to one repository. Other callers do not wait for it.
func (b *Blobs) copyAlone(ctx context.Context, dst name.Repository, session *registry.Session, from name.Repository, d v1.Descriptor) error {
	t := b.deliveryTo(dst, d)
	b.copyTo(ctx, []*delivery{t}, session, from, d)
	return t.err
}

// errForgotten is the error if the repository that got a blob has not put a manifest that
// refers to it, and will not.
var errForgotten = errors.New("the blob was not committed")

// mountDelivered mounts a blob from the repository that its body was sent to. If the host
// demands that, it waits until a manifest in that repository refers to the blob.
func (b *Blobs) mountDelivered(ctx context.Context, dst name.Repository, at *delivery, d v1.Descriptor) (*registry.Session, error) {
	committed, over := b.ended(at, d)
	session, err := b.mount(ctx, dst, at.to, d, committed)
	work := b.work(at.to)
	if !errors.Is(err, registry.ErrMountEarly) || work == nil || !before(at.to, dst) {
		return session, err
	}
	b.cancel(ctx, session)
	select {
	case <-over:
	case <-work:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if committed, _ = b.ended(at, d); !committed {
		b.drop(at, d)
		return nil, errForgotten
	}
	return b.mount(ctx, dst, at.to, d, true)
}

// drop makes the next caller of deliver send the body of a blob again.
func (b *Blobs) drop(at *delivery, d v1.Descriptor) {
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.hosts[at.to.RegistryStr()] == at {
		delete(one.hosts, at.to.RegistryStr())
	}
}

// mount mounts a blob, and counts it.
func (b *Blobs) mount(ctx context.Context, dst, from name.Repository, d v1.Descriptor, committed bool) (*registry.Session, error) {
	session, err := b.client.Mount(ctx, dst, from, d.Digest, committed)
	switch {
	case err == nil:
		b.count(dst, Moved{Mounted: 1})
	case !errors.Is(err, registry.ErrMountRefused):
		return nil, fmt.Errorf("mounting blob %s: %w", d.Digest.String(), err)
	}
	return session, err
}

// deliver brings a blob's body to the host of dst, and returns how. The first caller
// reads the source, and serves all other hosts that are expected to need the blob.
func (b *Blobs) deliver(ctx context.Context, dst, from name.Repository, d v1.Descriptor, session *registry.Session) (*delivery, error) {
	mine, todo, over := b.start(dst, d)
	if todo == nil {
		b.cancel(ctx, session)
		select {
		case <-mine.done:
		case <-over: // nobody has begun it
			return b.deliver(ctx, dst, from, d, nil)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if mine.err != nil && mine.to != dst && ctx.Err() == nil { // it failed for another repository: try this one
			return b.deliver(ctx, dst, from, d, nil)
		}
		return mine, mine.err
	}
	b.running.Go(func() { b.copyTo(ctx, todo, session, from, d) })
	select {
	case <-mine.done:
		return mine, mine.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// start returns the delivery of a blob to the host of dst, and those that the caller must
// carry out: that one first. They are nil if another caller does so, or will do so until
// over is closed.
func (b *Blobs) start(dst name.Repository, d v1.Descriptor) (mine *delivery, todo []*delivery, over <-chan struct{}) {
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	mine = one.hosts[dst.RegistryStr()]
	if mine == nil || mine.started && isClosed(mine.done) && mine.err != nil {
		mine = one.add(b.deliveryTo(dst, d))
	}
	if mine.started {
		return mine, nil, nil
	}
	if over := b.work(mine.to); over != nil && !isClosed(over) && before(mine.to, dst) && !b.client.MountsEarly(dst.RegistryStr()) {
		return mine, nil, over // it is mounted from there: this host may not mount from a repository that comes later
	}
	mine.to = dst
	todo = []*delivery{mine}
	for _, other := range one.hosts {
		if !other.started && other != mine {
			todo = append(todo, other)
		}
	}
	for _, t := range todo {
		t.started = true
	}
	return mine, todo, nil
}

// copyTo copies a blob's body to every destination that does not have it, and reads it
// from the source at most once. session may be nil, or an upload that is open at the
// first destination.
func (b *Blobs) copyTo(ctx context.Context, to []*delivery, session *registry.Session, from name.Repository, d v1.Descriptor) {
	var body *spool // nil if no destination needs it
	var reading, others sync.WaitGroup
	open := sync.OnceValues(func() (*spool, error) {
		s, err := b.disk.spool(ctx, d.Size)
		if err != nil {
			return nil, fmt.Errorf("copying blob %s: %w", d.Digest.String(), err)
		}
		body = s
		reading.Go(func() { s.finish(b.fetch(ctx, from, d, s)) })
		return s, nil
	})
	send := func(t *delivery, session *registry.Session) {
		t.err = b.upload(ctx, t.to, from, session, d, open)
		close(t.done)
	}
	for _, t := range to[1:] {
		others.Go(func() { send(t, nil) })
	}
	send(to[0], session)
	others.Wait()
	reading.Wait()
	if body != nil {
		b.disk.free(body, d.Size)
	}
}

// unreadError is a failure to read a blob.
type unreadError struct{ error }

func (e *unreadError) Unwrap() error { return e.error }

// IsUnread reports whether an error of Place is a failure to read the blob. Another
// repository that holds it may then be used as the source.
func IsUnread(err error) bool {
	var unread *unreadError
	return errors.As(err, &unread)
}

// fetch reads a blob from its source.
func (b *Blobs) fetch(ctx context.Context, from name.Repository, d v1.Descriptor, to *spool) error {
	done, err := b.lanes.enter(ctx, lane{from.RegistryStr(), false}, d)
	if err != nil {
		return err
	}
	defer done()
	if err := b.source.FetchBlob(ctx, from, d, to); err != nil {
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
