package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// Limits bound a fetch. A zero field is the default.
type Limits struct {
	Refs    int64         // bytes of the list of branches and tags; default: 64 MiB, about a million of them
	Pack    int64         // bytes of commits and files; default: 2 GiB, or 512 MiB if the copy is in memory
	Silence time.Duration // time without a byte; default: a minute
	Total   time.Duration // time of the whole fetch; default: 15 minutes
}

func (l Limits) orDefault(inMemory bool) Limits {
	if l.Refs == 0 {
		l.Refs = 64 << 20
	}
	if l.Pack == 0 && inMemory {
		l.Pack = 512 << 20
	}
	if l.Pack == 0 {
		l.Pack = 2 << 30
	}
	if l.Silence == 0 {
		l.Silence = time.Minute
	}
	if l.Total == 0 {
		l.Total = 15 * time.Minute
	}
	return l
}

// watch checks the limits of one fetch.
//
// It is a value of the context of the requests, since go-git has no other way to pass
// it to the transport.
type watch struct {
	Limits

	mu  sync.Mutex
	err error // about the first limit that was exceeded
}

type watchKey struct{}

// watched returns a context that limits a fetch.
//
// The returned function returns the reason for an error of the fetch: go-git replaces
// errors about limits by its own.
func (m Remote) watched(ctx context.Context) (context.Context, context.CancelFunc, func(error) error) {
	w := &watch{Limits: m.Limits.orDefault(m.Dir == "")}
	timed, cancel := context.WithTimeout(context.WithValue(ctx, watchKey{}, w), w.Total)
	return timed, cancel, func(err error) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case w.err != nil:
			return w.err
		case ctx.Err() == nil && timed.Err() != nil:
			return fmt.Errorf("the server took more than %v", w.Total)
		}
		return err
	}
}

// fail stores the first error. It returns err.
func (w *watch) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return err
}

// watchHTTP makes go-git send its requests through guard.
//
// The table of transports is global in go-git.
var watchHTTP = sync.OnceFunc(func() {
	c := githttp.NewClient(&http.Client{Transport: guard{http.DefaultTransport}})
	client.InstallProtocol("http", c)
	client.InstallProtocol("https", c)
})

// guard limits the responses to requests whose context has a watch.
type guard struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	w, ok := req.Context().Value(watchKey{}).(*watch)
	if !ok {
		return g.RoundTripper.RoundTrip(req)
	}
	ctx, cancel := context.WithCancel(req.Context())
	body := &guarded{watch: w, left: w.Pack, content: "commits and files", cancel: cancel}
	if strings.HasSuffix(req.URL.Path, "/info/refs") {
		body.left, body.content = w.Refs, "branches and tags"
	}
	body.max = body.left
	body.timer = time.AfterFunc(w.Silence, func() {
		_ = w.fail(fmt.Errorf("the server sent nothing for %v", w.Silence))
		cancel()
	})
	resp, err := g.RoundTripper.RoundTrip(req.WithContext(ctx))
	if err != nil {
		body.stop()
		return nil, err
	}
	body.ReadCloser, resp.Body = resp.Body, body
	return resp, nil
}

// guarded is the body of a response, with limits.
type guarded struct {
	io.ReadCloser
	*watch
	left, max int64  // bytes
	content   string // of the body, for messages
	timer     *time.Timer
	cancel    context.CancelFunc
}

// Read implements io.Reader.
func (b *guarded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.timer.Reset(b.Silence)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.timer.Stop()
	}
	if b.left -= int64(n); b.left < 0 {
		return 0, b.fail(fmt.Errorf("the server sent more than %d MiB of %s", b.max>>20, b.content))
	}
	return n, err
}

// Close implements io.Closer.
func (b *guarded) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

func (b *guarded) stop() {
	b.timer.Stop()
	b.cancel()
}
