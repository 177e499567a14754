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

// Limits bound what a git server may cost. A zero field is the default.
type Limits struct {
	Refs    int64         // bytes of the list of branches and tags: 64 MiB, a million of them
	Pack    int64         // bytes of commits and files: 2 GiB, or 512 MiB if the copy is in memory
	Silence time.Duration // without a byte: a minute
	Total   time.Duration // for a fetch: 15 minutes
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

// watch keeps one fetch within limits. It is in the context of its requests.
type watch struct {
	Limits

	mu  sync.Mutex
	err error // the first limit that was passed
}

type watchKey struct{}

// watched returns a context in which a fetch keeps within limits, and a function that
// says why it failed: go-git hides the reason behind errors of its own.
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

// fail keeps an error unless there is one.
func (w *watch) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return err
}

// watchHTTP makes go-git send its requests by way of guard. It takes transports from a
// table of its own alone.
var watchHTTP = sync.OnceFunc(func() {
	c := githttp.NewClient(&http.Client{Transport: guard{http.DefaultTransport}})
	client.InstallProtocol("http", c)
	client.InstallProtocol("https", c)
})

// guard bounds the answers to requests whose context has a watch.
type guard struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	w, ok := req.Context().Value(watchKey{}).(*watch)
	if !ok {
		return g.RoundTripper.RoundTrip(req)
	}
	ctx, cancel := context.WithCancel(req.Context())
	body := &guarded{watch: w, left: w.Pack, what: "commits and files", cancel: cancel}
	if strings.HasSuffix(req.URL.Path, "/info/refs") {
		body.left, body.what = w.Refs, "branches and tags"
	}
	body.most = body.left
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

// guarded is the body of an answer.
type guarded struct {
	io.ReadCloser
	*watch
	left, most int64
	what       string
	timer      *time.Timer
	cancel     context.CancelFunc
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
		return 0, b.fail(fmt.Errorf("the server sent more than %d MiB of %s", b.most>>20, b.what))
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
