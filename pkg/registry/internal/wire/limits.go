package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

// Limits bound how long a host may take. A field that is zero has its default.
type Limits struct {
	Head       time.Duration // for the head of an answer, once the request is sent: 30 s
	Answer     time.Duration // for the whole of an answer that is not a blob: 5 minutes
	List       time.Duration // for all pages of a listing: 15 minutes
	Window     time.Duration // an answer has to make progress, and to come at the slowest rate, over each: 30 s
	BlobWindow time.Duration // the same for a blob, either way: 1 minute
	Commit     time.Duration // for the answer to an upload, which the host hashes first: 5 minutes
	Refusal    time.Duration // for the body of a refusal, which holds a message only: 5 s
	Grace      time.Duration // for an answer after an interrupt, to a request that opens or writes something: 3 s
	Patience   time.Duration // with a host that grants nothing; and the longest wait that it may ask for: 2 minutes
}

// slowest is the rate below which a body is too slow, in bytes a second.
const slowest = 1 << 10

// withDefaults returns l with its defaults.
func (l Limits) withDefaults() Limits {
	for _, field := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&l.Head, 30 * time.Second}, {&l.Answer, 5 * time.Minute}, {&l.List, 15 * time.Minute}, {&l.Window, 30 * time.Second}, {&l.BlobWindow, time.Minute},
		{&l.Commit, 5 * time.Minute}, {&l.Refusal, 5 * time.Second}, {&l.Grace, 3 * time.Second}, {&l.Patience, 2 * time.Minute},
	} {
		if *field.at == 0 {
			*field.at = field.value
		}
	}
	return l
}

// Why a request was ended that took too long.
var (
	errStalled = errors.New("no progress: the host neither answers nor reads")
	errSlow    = errors.New("too slow: the host takes too long for the whole, or sends or reads less than 1 KiB a second")
)

// Late reports whether an error says that a host was too slow: another try may take as long again.
func Late(err error) bool { return errors.Is(err, errStalled) || errors.Is(err, errSlow) }

// send sends one request to a host in a slot. The slot is given back when the answer's
// body is closed.
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
	resp, err := t.client.Do(req.WithContext(ctx))
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
		t.throttle(slot, req, resp)
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
	t.throttle(slot, req, resp)
	return resp, nil
}

// refuse returns the error of a try that has no answer to use: err, or ErrElsewhere
// where the request was led away from home.
func (r *Request) refuse(req *http.Request, resp *http.Response, err error) error {
	if !r.Home || !elsewhere(req, resp, err) {
		return err
	}
	if err == nil {
		resp.Body.Close()
	}
	return ErrElsewhere
}

// enter waits for a connection, and returns what gives it back with the slot.
func (t *Transport) enter(ctx context.Context, slot *pace.Slot) (leave func(), err error) {
	if t.flying == nil {
		return slot.Done, nil
	}
	if err := t.flying.Acquire(ctx, 1); err != nil {
		slot.Done()
		return nil, err
	}
	return func() {
		slot.Done()
		t.flying.Release(1)
	}, nil
}

// hurry bounds what is left of an answer that is only read for a message, or to keep its connection.
func hurry(resp *http.Response, d time.Duration) {
	if b, ok := resp.Body.(*answerBody); ok {
		b.spare = true
		b.watch.end(d)
	}
}

// watch ends a request that takes too long for a step or as a whole.
type watch struct {
	mu     sync.Mutex
	timer  *time.Timer
	step   time.Time // when the step has to be done
	whole  time.Time // when everything has to be done; zero: no bound
	cancel context.CancelCauseFunc
}

func newWatch(first time.Duration, cancel context.CancelCauseFunc) *watch {
	w := &watch{cancel: cancel, step: time.Now().Add(first)}
	w.timer = time.AfterFunc(first, w.fire)
	return w
}

// allow gives the next step d.
func (w *watch) allow(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step = time.Now().Add(d)
	w.set()
}

// end gives everything that is left d, or less if it was bounded before.
func (w *watch) end(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if whole := time.Now().Add(d); w.whole.IsZero() || whole.Before(w.whole) {
		w.whole = whole
		w.set()
	}
}

// set winds the timer, unless it has been stopped. The caller holds mu.
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

// slow notes that n bytes took d, and reports whether a window has passed with too few.
func (m *meter) slow(n int, d time.Duration) bool {
	m.bytes, m.took = m.bytes+n, m.took+d
	if m.took < m.window {
		return false
	}
	slow := float64(m.bytes) < slowest*m.took.Seconds()
	m.bytes, m.took = 0, 0
	return slow
}

// answerBody is the body of an answer, which has to come in time.
type answerBody struct {
	io.ReadCloser
	host    *host
	watch   *watch
	ctx     context.Context // of the request: its cause says why the body broke off
	step    time.Duration   // for each piece
	meter   meter
	granted bool  // the answer grants something, once it is there
	spare   bool  // the answer is complete without the body
	late    error // the body did not come in time
	once    sync.Once
	end     func()
}

// Read reads on.
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
		err = b.host.transport.Clean(err) // HTTP/2 quotes the host's words
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
			_ = b.host.failing(b.late, 0) // the next request will be told
		case b.granted:
			b.host.granted()
		}
	})
	return err
}

// uploadBody is the body of an upload, which the host has to read in time.
type uploadBody struct {
	io.ReadCloser
	watch  *watch
	limits Limits
	meter  meter
	sent   int       // bytes of the last piece
	at     time.Time // when it was handed over; zero: there was none
}

// Read hands the next piece over. What passes between two pieces is the host's time.
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
