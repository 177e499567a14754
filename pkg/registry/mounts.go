package registry

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
)

// maxMountFailures is the number of 5xx answers after which a host is not asked to
// mount any more. Each of them costs mountTries requests.
const maxMountFailures = 2

// mounts holds what each host has answered to mount requests. The zero value is empty.
type mounts struct {
	mu  sync.Mutex
	all map[string]*hostMounts
}

// hostMounts holds what one host has answered to mount requests.
type hostMounts struct {
	// first is held during a request as long as no mount has succeeded. Requests are
	// then sent one at a time, so that a host that never mounts is asked once for
	// each source repository and not once for each blob.
	first   sync.Mutex
	granted atomic.Bool

	mu      sync.Mutex
	refused map[name.Repository]struct{} // source repositories
	failed  int                          // 5xx answers
}

func (m *mounts) of(host string) *hostMounts {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]*hostMounts{}
	}
	h := m.all[host]
	if h == nil {
		h = &hostMounts{refused: map[name.Repository]struct{}{}}
		m.all[host] = h
	}
	return h
}

// try runs a mount request unless an earlier answer shows that it would be refused.
func (h *hostMounts) try(from name.Repository, request func() (*Session, error)) (*Session, error) {
	if !h.granted.Load() {
		h.first.Lock()
		if h.granted.Load() {
			h.first.Unlock()
		} else {
			defer h.first.Unlock()
		}
	}
	if h.refuses(from) {
		return nil, ErrMountRefused
	}
	session, err := request()
	switch {
	case err == nil:
		h.granted.Store(true)
	case errors.Is(err, ErrMountRefused):
		h.refuse(from, err)
	}
	return session, err
}

func (h *hostMounts) refuses(from name.Repository) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, refused := h.refused[from]
	return refused || h.failed >= maxMountFailures
}

func (h *hostMounts) refuse(from name.Repository, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused[from] = struct{}{}
	var e *Error
	if errors.As(err, &e) && e.Status >= 500 {
		h.failed++
	}
}
