package promote

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const (
	uploadTries = 4               // of one blob to one repository
	lateUploads = 2               // the same, to a host that is too slow: each try may take as long
	partingTime = 3 * time.Second // for deleting an upload session after an interrupt
)

// give uploads a blob, which comes from a repository, to another unless it is there.
func (b *blobs) give(ctx context.Context, dst, from name.Repository, session *registry.Session, d v1.Descriptor, open func() (*spool, error)) error {
	// An upload that waits for bytes holds one of the requests a host may have. On the
	// source's own host uploads could take them all, and their bytes would never come;
	// elsewhere, what is small is soon there. The rest flows through.
	whole := d.Size <= spoolMemory || dst.RegistryStr() == from.RegistryStr()
	blind := b.distrusts(place{dst, d.Digest.String()})
	for try := 1; ; try++ {
		check, there, err := blind, false, error(nil)
		if !blind {
			check, there, err = b.look(ctx, dst, d)
		}
		if err != nil || there {
			b.drop(ctx, session)
			return err
		}
		body, err := open()
		if err == nil {
			err = body.wait(ctx, whole)
		}
		if err != nil {
			b.drop(ctx, session)
			return err
		}
		if session == nil {
			if session, err = b.client.Upload(ctx, dst); err != nil {
				return fmt.Errorf("opening an upload for blob %s: %w", d.Digest.String(), err)
			}
		}
		turns := body.turns()
		if err = b.upload(ctx, session, dst, d, body); err == nil {
			b.count(dst, Moved{Copied: 1})
			return b.repaired(ctx, dst, d, check)
		}
		b.drop(ctx, session)
		session = nil
		blind = blind || isDamaged(err)
		switch failed := body.failed(); {
		case ctx.Err() != nil:
			return ctx.Err()
		case failed != nil:
			return failed
		case body.turns() == turns && (lastUpload(try, err) || isDamaged(err) && try > 1):
			return fmt.Errorf("uploading blob %s: %w", d.Digest.String(), err)
		}
		if err := b.client.Pause(ctx, try); err != nil {
			return err
		}
		if body.turns() > turns {
			try-- // the source's fault, which it has a limit for
		}
	}
}

// look asks a repository for a blob. What it holds damaged is to be sent, and looked at again.
func (b *blobs) look(ctx context.Context, dst name.Repository, d v1.Descriptor) (damaged, there bool, err error) {
	state, err := b.client.HasBlob(ctx, dst, d)
	if isDamaged(err) {
		return true, false, nil
	}
	return false, state == inventory.Present, wrap(err, "looking for blob %s", d.Digest.String())
}

// repaired returns an error if a blob that was sent to replace another one is as it was
// before: registries that find something under a digest may keep that.
func (b *blobs) repaired(ctx context.Context, dst name.Repository, d v1.Descriptor, check bool) error {
	if !check {
		return nil
	}
	if _, err := b.client.HasBlob(ctx, dst, d); isDamaged(err) {
		return fmt.Errorf("uploading blob %s: the registry took it and did not replace what it had: %w", d.Digest.String(), err)
	}
	return nil // what it says else was not believed before
}

func isDamaged(err error) bool {
	var damaged *registry.DamagedError
	return errors.As(err, &damaged)
}

func (b *blobs) upload(ctx context.Context, session *registry.Session, dst name.Repository, d v1.Descriptor, body *spool) error {
	done, err := b.lanes.pass(ctx, lane{dst.RegistryStr(), true}, d)
	if err != nil {
		return err
	}
	defer done()
	return session.Put(ctx, d, body.body)
}

// drop deletes an upload session that is not used, even after an interrupt.
func (b *blobs) drop(ctx context.Context, session *registry.Session) {
	if session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTime)
	defer cancel()
	session.Cancel(ctx)
}

// lastUpload reports whether an upload that failed is not to be tried again.
func lastUpload(try int, err error) bool {
	return try == uploadTries || permanent(err) || registry.Late(err) && try == lateUploads
}

// permanent reports whether a registry's answer to an upload will be the same next time.
func permanent(err error) bool {
	var e *registry.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case 401, 403, 405, 413, 415:
		return true
	}
	return false
}
