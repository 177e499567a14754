package git

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// minRate is the minimum rate of a response, in bytes per second.
const minRate = 1 << 10

// Limits bound a fetch. A zero field is the default.
type Limits struct {
	Refs     int64         // bytes of the list of branches and tags; default: 64 MiB, about a million of them
	Preface  int64         // bytes that precede a pack, about the commits that both sides have; default: 1 MiB
	Pack     int64         // bytes of commits and files; default: 2 GiB, or 512 MiB if the copy is in memory
	Objects  int64         // number of commits, directories and files; default: 2 million
	Object   int64         // bytes of one of them after decompression; default: 128 MiB
	Chain    int64         // bytes of one of them and of those that it is a delta of, after decompression; default: 1 GiB
	Inflated int64         // bytes of all of them after decompression; default: 64 GiB, or 1 GiB if the copy is in memory
	Silence  time.Duration // time without a byte; default: a minute
	Slow     time.Duration // time with less than 1 KiB/s, as while a server compresses; default: 5 minutes
	Total    time.Duration // time of the whole fetch; default: 15 minutes
}

func (l Limits) orDefault(inMemory bool) Limits {
	pack, inflated := int64(2<<30), int64(64<<30)
	if inMemory {
		pack, inflated = 512<<20, 1<<30
	}
	l.Refs = cmp.Or(l.Refs, 64<<20)
	l.Preface = cmp.Or(l.Preface, 1<<20)
	l.Pack = cmp.Or(l.Pack, pack)
	l.Objects = cmp.Or(l.Objects, 2_000_000)
	l.Object = cmp.Or(l.Object, 128<<20)
	l.Chain = cmp.Or(l.Chain, 1<<30)
	l.Inflated = cmp.Or(l.Inflated, inflated)
	l.Silence = cmp.Or(l.Silence, time.Minute)
	l.Slow = cmp.Or(l.Slow, 5*time.Minute)
	l.Total = cmp.Or(l.Total, 15*time.Minute)
	return l
}

// watch checks the limits of one fetch.
//
// It is a value of the context of the requests, since go-git has no other way to pass
// it to the transport.
type watch struct {
	Limits
	packing atomic.Bool // a pack is being received

	mu  sync.Mutex
	err error // about the first limit that was exceeded
}

type watchKey struct{}

// watched returns a context that limits a fetch.
//
// The returned function returns the reason for an error of the fetch: go-git replaces
// errors about limits by its own.
func (w *watch) watched(ctx context.Context) (context.Context, context.CancelFunc, func(error) error) {
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

// guard limits responses to requests whose context has a watch.
type guard struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	w, ok := req.Context().Value(watchKey{}).(*watch)
	if !ok {
		return g.RoundTripper.RoundTrip(req)
	}
	ctx, cancel := context.WithCancel(req.Context())
	body := &guarded{watch: w, refs: strings.HasSuffix(req.URL.Path, "/info/refs"), cancel: cancel}
	body.timer = time.AfterFunc(w.Silence, func() {
		_ = w.fail(fmt.Errorf("the server sent nothing for %v", w.Silence))
		cancel()
	})
	resp, err := g.RoundTripper.RoundTrip(req.WithContext(ctx))
	body.timer.Stop()
	if err != nil {
		cancel()
		return nil, err
	}
	body.ReadCloser, resp.Body = resp.Body, body
	return resp, nil
}

// guarded is the body of a response, with limits.
type guarded struct {
	io.ReadCloser
	*watch
	refs   bool  // the list of branches and tags
	read   int64 // bytes
	timer  *time.Timer
	cancel context.CancelFunc

	recent int64         // bytes in the current window
	took   time.Duration // how long Read waited for them
}

// Read implements io.Reader.
//
// Only the time in Read is the server's: between calls the answer is processed.
func (b *guarded) Read(p []byte) (int, error) {
	began := time.Now()
	b.timer.Reset(b.Silence)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.read += int64(n)
	if limit, content := b.limit(); b.read > limit {
		return 0, b.fail(fmt.Errorf("the server sent more than %s of %s", size(limit), content))
	}
	if err == nil && b.slow(n, time.Since(began)) {
		return 0, b.fail(fmt.Errorf("the server sent less than 1 KiB/s for %v", b.Slow))
	}
	return n, err
}

// limit returns how many bytes the server may send, and of what.
func (b *guarded) limit() (n int64, content string) {
	switch {
	case b.refs:
		return b.Refs, "branches and tags"
	case b.packing.Load():
		return b.Pack, "commits and files"
	}
	return b.Preface, "text that precedes the commits and files"
}

// slow adds n bytes that took d. It reports whether a full window was too slow.
func (b *guarded) slow(n int, d time.Duration) bool {
	b.recent, b.took = b.recent+int64(n), b.took+d
	if b.took < b.Slow {
		return false
	}
	slow := float64(b.recent) < minRate*b.took.Seconds()
	b.recent, b.took = 0, 0
	return slow
}

// Close implements io.Closer.
func (b *guarded) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}
