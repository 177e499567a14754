package wire

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

// Limits are the timeouts for registry hosts. A zero field has its default.
type Limits struct {
	Head       time.Duration // for the header of a response, after the request is sent: 30 s
	Answer     time.Duration // for a whole response that is not a blob: 5 minutes
	List       time.Duration // for all pages of a listing: 15 minutes
	Window     time.Duration // a response must make progress, with 1 KiB/s or more, in each window: 30 s
	BlobWindow time.Duration // the same for the download or upload of a blob: 1 minute
	Commit     time.Duration // for the response to an upload, which the host hashes first: 5 minutes
	Refusal    time.Duration // for the body of an error response: 5 s
	Grace      time.Duration // for the response to a write, after the run was interrupted: 3 s
	Patience   time.Duration // until a host that refuses everything is given up; also the longest wait it may ask for: 2 minutes
	Again      time.Duration // until a host that was given up is asked again: never
}

// minRate is the minimum rate of a body, in bytes per second.
const minRate = 1 << 10

// withDefaults returns l with defaults in place of zeros.
func (l Limits) withDefaults() Limits {
	return Limits{
		Head:       cmp.Or(l.Head, 30*time.Second),
		Answer:     cmp.Or(l.Answer, 5*time.Minute),
		List:       cmp.Or(l.List, 15*time.Minute),
		Window:     cmp.Or(l.Window, 30*time.Second),
		BlobWindow: cmp.Or(l.BlobWindow, time.Minute),
		Commit:     cmp.Or(l.Commit, 5*time.Minute),
		Refusal:    cmp.Or(l.Refusal, 5*time.Second),
		Grace:      cmp.Or(l.Grace, 3*time.Second),
		Patience:   cmp.Or(l.Patience, 2*time.Minute),
		Again:      l.Again,
	}
}

// These are the causes with which a slow request is cancelled.
var (
	errStalled = inventory.Retryable(errors.New("no progress: the host neither answers nor reads"))
	errSlow    = inventory.Retryable(errors.New("too slow: the host takes too long for the whole, or sends or reads less than 1 KiB a second"))
)

// Late reports whether an error means that a host was too slow.
//
// Another try may take as long.
func Late(err error) bool { return errors.Is(err, errStalled) || errors.Is(err, errSlow) }

// send sends one request. The slot is released when the response body is closed.
func (t *Transport) send(h *host, req *http.Request, slot *pace.Slot, r *Request) (*http.Response, error) {
	leave, err := t.enter(req.Context(), slot)
	if err != nil {
		return nil, err
	}
	limits := t.options.Limits
	parent := req.Context()
	if r.Grace {
		parent = context.WithoutCancel(parent)
	}
	ctx, cancel := context.WithCancelCause(parent)
	watch := newWatch(limits.Head, cancel)
	forget := func() bool { return true }
	if r.Grace {
		forget = context.AfterFunc(req.Context(), func() { watch.end(limits.Grace) })
	}
	end := func() {
		forget()
		watch.stop()
		cancel(nil)
		leave()
	}
	if r.Blob && req.Body != nil {
		req.Body = &uploadBody{ReadCloser: req.Body, watch: watch, limits: limits, meter: meter{window: limits.BlobWindow}}
		watch.allow(limits.BlobWindow)
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { slot.Sent() }})
	resp, err := t.client.Do(req.WithContext(traced))
	if err = r.refuse(req, resp, err); err != nil {
		cause := context.Cause(ctx)
		end()
		if Late(cause) {
			err = cause
		}
		return nil, err
	}
	t.redactHeader(resp.Header)
	if req.Method == http.MethodHead || resp.ContentLength == 0 {
		resp.Body.Close()
		resp.Body = http.NoBody
		h.throttle(slot, req, resp)
		end()
		if !retryStatus(resp.StatusCode) {
			h.granted()
		}
		return resp, nil
	}
	body := &answerBody{ReadCloser: resp.Body, host: h, watch: watch, ctx: ctx, step: limits.Window, end: end, granted: !retryStatus(resp.StatusCode)}
	if r.Blob {
		body.step = limits.BlobWindow
	} else {
		watch.end(limits.Answer)
	}
	body.meter.window = body.step
	watch.allow(body.step)
	resp.Body = body
	h.throttle(slot, req, resp)
	return resp, nil
}

// refuse returns err, or ErrElsewhere if a request with Home was redirected.
func (r *Request) refuse(req *http.Request, resp *http.Response, err error) error {
	if !r.Home || !elsewhere(req, resp, err) {
		return err
	}
	if err == nil {
		resp.Body.Close()
	}
	return ErrElsewhere
}

// enter waits for a free connection.
//
// The returned function releases the connection and the slot.
func (t *Transport) enter(ctx context.Context, slot *pace.Slot) (leave func(), err error) {
	if err := t.flying.Acquire(ctx, 1); err != nil {
		slot.Done()
		return nil, err
	}
	return func() {
		slot.Done()
		t.flying.Release(1)
	}, nil
}

// hurry limits the time for the rest of a response.
//
// The rest is only read for an error message or to keep the connection.
func hurry(resp *http.Response, d time.Duration) {
	if b, ok := resp.Body.(*answerBody); ok {
		b.spare = true
		b.watch.end(d)
	}
}

// watch cancels a request that is too slow.
//
// There is a limit for each step and one for the whole request.
type watch struct {
	mu     sync.Mutex
	timer  *time.Timer
	step   time.Time // the deadline of the current step
	whole  time.Time // the deadline of the request; zero: none
	cancel context.CancelCauseFunc
}

func newWatch(first time.Duration, cancel context.CancelCauseFunc) *watch {
	w := &watch{cancel: cancel, step: time.Now().Add(first)}
	w.timer = time.AfterFunc(first, w.fire)
	return w
}

// allow starts the next step, which may take d.
func (w *watch) allow(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step = time.Now().Add(d)
	w.set()
}

// end limits the rest of the request to d. An earlier deadline stays.
func (w *watch) end(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if whole := time.Now().Add(d); w.whole.IsZero() || whole.Before(w.whole) {
		w.whole = whole
		w.set()
	}
}

// set resets the timer, unless it has been stopped. The caller holds mu.
func (w *watch) set() {
	if w.timer == nil {
		return
	}
	next := w.step
	if !w.whole.IsZero() && w.whole.Before(next) {
		next = w.whole
	}
	w.timer.Reset(time.Until(next))
}

func (w *watch) fire() {
	w.mu.Lock()
	slow := !w.whole.IsZero() && !time.Now().Before(w.whole)
	w.mu.Unlock()
	if slow {
		w.cancel(errSlow)
		return
	}
	w.cancel(errStalled)
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// meter measures the rate of a body.
type meter struct {
	window time.Duration
	took   time.Duration
	bytes  int
}

// slow adds n bytes that took d.
//
// It reports whether a full window was too slow.
func (m *meter) slow(n int, d time.Duration) bool {
	m.bytes, m.took = m.bytes+n, m.took+d
	if m.took < m.window {
		return false
	}
	slow := float64(m.bytes) < minRate*m.took.Seconds()
	m.bytes, m.took = 0, 0
	return slow
}

// answerBody is a response body with time limits.
type answerBody struct {
	io.ReadCloser
	host    *host
	watch   *watch
	ctx     context.Context // of the request: its cause is the reason if the body ends early
	step    time.Duration   // for each Read
	meter   meter
	granted bool  // the status is not one to retry
	spare   bool  // the body is not needed
	late    error // the body was too slow
	once    sync.Once
	end     func()
}

// Read reads the next part. It fails if the host is too slow.
func (b *answerBody) Read(p []byte) (int, error) {
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	switch cause := context.Cause(b.ctx); {
	case err == nil && b.meter.slow(n, time.Since(began)):
		b.watch.cancel(errSlow)
		b.late, err = errSlow, errSlow
	case err == nil:
		b.watch.allow(b.step)
	case errors.Is(err, io.EOF):
	case Late(cause):
		b.late, err = cause, cause
	default:
		err = inventory.Retryable(b.host.transport.Clean(err)) // errors of HTTP/2 quote the host
	}
	return n, err
}

// Close closes the body and ends the request.
func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() {
		b.end()
		switch {
		case b.late != nil && !b.spare:
			_ = b.host.failing(b.late, 0) // the next request returns the error
		case b.granted:
			b.host.granted()
		}
	})
	return err
}

// uploadBody is a request body with time limits.
type uploadBody struct {
	io.ReadCloser
	watch  *watch
	limits Limits
	meter  meter
	sent   int       // bytes that the last Read returned
	at     time.Time // when it returned; zero: there was none
}

// Read returns the next part.
//
// The time between two calls is the time of the host.
func (b *uploadBody) Read(p []byte) (int, error) {
	if !b.at.IsZero() && b.meter.slow(b.sent, time.Since(b.at)) {
		b.watch.cancel(errSlow)
		return 0, errSlow
	}
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.watch.allow(b.limits.BlobWindow)
	} else {
		b.watch.allow(b.limits.Commit)
	}
	b.sent, b.at = n, time.Now()
	return n, err
}
