package transfer

import (
	"context"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// cancelTime bounds the request that deletes an upload session after an interrupt.
const cancelTime = 3 * time.Second

// Send uploads a blob whose bytes are in memory, unless the repository holds it.
func (b *Blobs) Send(ctx context.Context, dst name.Repository, d v1.Descriptor, raw []byte) error {
	b.traffic.Of(dst.RegistryStr()).total.Add(d.Size)
	s := newSpool(d.Size)
	_, err := s.Write(raw)
	s.finish(err)
	return b.upload(ctx, dst, dst, nil, d, func() (*spool, error) { return s, nil })
}

// SendNew uploads a blob that was just made, and does not ask whether the repository
// holds it.
func (b *Blobs) SendNew(ctx context.Context, dst name.Repository, d v1.Descriptor, raw []byte) error {
	for try := 1; ; try++ {
		err := b.put(ctx, nil, dst, d, registry.BytesBody(raw))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || registry.IsLastUpload(try, err) {
			return fmt.Errorf("uploading blob %s: %w", d.Digest.String(), err)
		}
		if err := b.client.Pause(ctx, try); err != nil {
			return err
		}
	}
}

// upload uploads a blob that is read from a repository, unless dst holds it.
//
// An upload that waits for bytes occupies one of the requests that a host may have in
// flight. On the source's own host, uploads could occupy all of them, and the bytes
// would never arrive. So there, and for small blobs, the upload begins when the whole
// blob has been read.
func (b *Blobs) upload(ctx context.Context, dst, from name.Repository, session *registry.Session, d v1.Descriptor, open func() (*spool, error)) error {
	sent := b.traffic.Of(dst.RegistryStr()).blob(d)
	defer sent.end()
	whole := d.Size <= spoolMemory || dst.RegistryStr() == from.RegistryStr()
	blind := b.isDistrusted(dst, d)
	for try := 1; ; try++ {
		check, there, err := blind, false, error(nil)
		if !blind && (try > 1 || !b.isNew(dst, d)) {
			check, there, err = b.look(ctx, dst, d)
		}
		if err != nil || there {
			b.cancel(ctx, session)
			return err
		}
		body, err := open()
		if err == nil {
			err = body.wait(ctx, whole)
		}
		if err != nil {
			b.cancel(ctx, session)
			return err
		}
		turns := body.turns()
		if err = b.put(ctx, session, dst, d, sent.of(body.body)); err == nil {
			b.count(dst, Moved{Copied: 1})
			return b.repaired(ctx, dst, d, check)
		}
		session = nil
		blind = blind || registry.IsDamaged(err)
		switch failed := body.failed(); {
		case ctx.Err() != nil:
			return ctx.Err()
		case failed != nil:
			return failed
		case body.turns() == turns && (registry.IsLastUpload(try, err) || registry.IsDamaged(err) && try > 1):
			return fmt.Errorf("uploading blob %s: %w", d.Digest.String(), err)
		}
		if err := b.client.Pause(ctx, try); err != nil {
			return err
		}
		if body.turns() > turns {
			try-- // the source sent wrong bytes: FetchBlob limits that
		}
	}
}

// look reports whether a repository holds a blob. A damaged blob counts as not there.
func (b *Blobs) look(ctx context.Context, dst name.Repository, d v1.Descriptor) (damaged, there bool, err error) {
	state, err := b.client.HasBlob(ctx, dst, d)
	if registry.IsDamaged(err) {
		return true, false, nil
	}
	if err != nil {
		err = fmt.Errorf("looking for blob %s: %w", d.Digest.String(), err)
	}
	return false, state == inventory.Present, err
}

// repaired returns an error if a blob that was sent to replace a damaged one is still
// damaged: some registries keep the content that they have under a digest.
func (b *Blobs) repaired(ctx context.Context, dst name.Repository, d v1.Descriptor, check bool) error {
	if !check {
		return nil
	}
	if _, err := b.client.HasBlob(ctx, dst, d); registry.IsDamaged(err) {
		return fmt.Errorf("uploading blob %s: the registry took it and did not replace what it had: %w", d.Digest.String(), err)
	}
	return nil // no other answer is evidence: the registry was wrong before
}

// put sends the body of a blob, in a session if there is one.
func (b *Blobs) put(ctx context.Context, session *registry.Session, dst name.Repository, d v1.Descriptor, body func() (io.ReadCloser, error)) error {
	done, err := b.lanes.enter(ctx, lane{dst.RegistryStr(), true}, d)
	if err != nil {
		b.cancel(ctx, session)
		return err
	}
	defer done()
	if session == nil {
		if session, err = b.client.Send(ctx, dst, d, body); err != nil || session == nil {
			return err
		}
	}
	if err = session.Put(ctx, d, body); err != nil {
		b.cancel(ctx, session)
	}
	return err
}

// cancel deletes an upload session that is not used, even after an interrupt.
func (b *Blobs) cancel(ctx context.Context, session *registry.Session) {
	if session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer cancel()
	session.Cancel(ctx)
}
