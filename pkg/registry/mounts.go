package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// mountTries is the maximum number of tries of a mount that fails with a 5xx status.
// It is small because the blob can be copied instead.
const mountTries = 3

// maxMountFailures is the number of 5xx answers after which a host is not asked to
// mount any more. Each of them costs mountTries requests.
const maxMountFailures = 2

// maxMountRefusals is the number of refusals after which a source repository that no
// mount was granted from is not asked for any more. A single refusal may be about its
// blob. A host that never mounts is asked for a few blobs, and not for each.
const (
	maxMountRefusals = 2
	maxHostRefusals  = 4 // of a host that has granted no mount at all
)

var (
	// ErrMountRefused is the error if a registry does not mount a blob.
	//
	// That is normal: the caller copies the blob instead.
	ErrMountRefused = errors.New("mount refused")

	// ErrMountEarly is the error if a registry does not mount a blob that no manifest in
	// the source repository refers to yet. It may do so afterwards, as ECR does.
	ErrMountEarly = fmt.Errorf("%w: no manifest in the source repository refers to the blob yet", ErrMountRefused)
)

// mounts holds what one host has answered to mount requests.
type mounts struct {
	// first is held during a request whose answer shows how the host answers further
	// ones: such requests are sent one at a time, so that a host that never mounts is
	// asked for a few blobs.
	first sync.Mutex

	mu      sync.Mutex
	from    memo.Values[name.Repository, mountSource]
	granted bool // from some repository
	refused int  // from all repositories
	failed  int  // 5xx answers
	early   earlyMounts
}

// mountSource holds what a host has answered to mounts from one repository.
type mountSource struct {
	granted bool
	refused int
}

// earlyMounts is whether a host mounts blobs that no manifest refers to yet.
type earlyMounts int

const (
	earlyUnknown earlyMounts = iota
	earlyGranted
	earlyRefused
)

// try runs a mount request unless earlier answers show that it would be refused.
func (m *mounts) try(from name.Repository, committed bool, request func() (*Session, error)) (*Session, error) {
	if m.unsure(committed) {
		m.first.Lock()
		if m.unsure(committed) {
			defer m.first.Unlock()
		} else {
			m.first.Unlock()
		}
	}
	if err := m.refuses(from, committed); err != nil {
		return nil, err
	}
	session, err := request()
	switch {
	case err == nil:
		m.grant(from, committed)
	case errors.Is(err, ErrMountRefused):
		if early := m.refuse(from, committed || session == nil, err); early {
			err = ErrMountEarly
		}
	}
	return session, err
}

// unsure reports whether the host has not shown yet how it answers such requests.
func (m *mounts) unsure(committed bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.granted || !committed && m.early == earlyUnknown
}

// refuses returns the error of a mount that need not be asked for.
func (m *mounts) refuses(from name.Repository, committed bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	source := m.from.Of(from)
	switch {
	case m.failed >= maxMountFailures,
		!source.granted && source.refused >= maxMountRefusals,
		!m.granted && m.refused >= maxHostRefusals:
		return ErrMountRefused
	case !committed && m.early == earlyRefused:
		return ErrMountEarly
	}
	return nil
}

func (m *mounts) grant(from name.Repository, committed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.granted, m.from.Of(from).granted = true, true
	if !committed {
		m.early = earlyGranted
	}
}

// refuse counts a refusal, unless the reason may be that the blob is not committed. Such
// a refusal opens a session.
func (m *mounts) refuse(from name.Repository, committed bool, err error) (early bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case statusOf(err) >= http.StatusInternalServerError:
		m.failed++
	case !committed:
		if m.early == earlyUnknown {
			m.early = earlyRefused
		}
		return true
	}
	m.from.Of(from).refused++
	m.refused++
	return false
}

// MountsEarly reports whether a host has mounted a blob that no manifest in the source
// repository referred to yet.
func (c *Client) MountsEarly(host string) bool {
	h := &c.hosts.Of(host).mounts
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.early == earlyGranted
}

// Mount asks the registry to take a blob from another of its repositories. Where it
// does not, or names another digest, the error is ErrMountRefused, with the session that
// it opened instead, if it did. A host that has refused a few mounts from a repository and
// granted none is not asked again for that repository.
//
// committed says that a manifest in the source repository refers to the blob. Without
// one, the error may be ErrMountEarly, with or without a session.
func (c *Client) Mount(ctx context.Context, repo, from name.Repository, digest v1.Hash, committed bool) (*Session, error) {
	return c.host(repo).mounts.try(from, committed, func() (*Session, error) { return c.mount(ctx, repo, from, digest) })
}

// mount sends a mount request.
func (c *Client) mount(ctx context.Context, repo, from name.Repository, digest v1.Hash) (*Session, error) {
	r := uploadRequest(repo)
	r.From, r.Tries = from, mountTries
	r.Query = url.Values{"mount": {digest.String()}, "from": {from.RepositoryStr()}}
	resp, err := c.wire.Do(ctx, r)
	if statusOf(err) >= http.StatusInternalServerError {
		return nil, fmt.Errorf("%w: %w", ErrMountRefused, err) // some registries fail on what they cannot mount
	}
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusCreated:
		resp.Body.Close()
		if err := sameBlob(resp, digest); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMountRefused, err)
		}
		return nil, nil
	case http.StatusAccepted:
		s, err := c.session(repo, resp)
		if err != nil {
			return nil, err
		}
		return s, ErrMountRefused
	}
	return nil, fmt.Errorf("%w: %w", ErrMountRefused, wire.ReadError(resp))
}
