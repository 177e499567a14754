package audit

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // http.Server needs this type
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"golang.org/x/sync/semaphore"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

const (
	maxBody      = 1 << 20         // bytes of a notification
	smallBody    = 64 << 10        // bytes of it that are read without waiting for other requests
	maxReading   = 64              // larger notifications that are read concurrently
	readLimit    = 5 * time.Second // to receive a whole request
	maxAnswering = 256             // Pub/Sub pushes that are judged concurrently
	pushLimit    = 8 * time.Second // to judge a Pub/Sub push
	unseenLimit  = 4 * time.Second // of pushLimit, to wait until the registry serves a tag
)

// server is the HTTP server: notifications, page, API and metrics.
type server struct {
	*Auditor
	decoders  map[string]event.Decoder
	reading   *semaphore.Weighted // larger notifications
	answering *semaphore.Weighted // Pub/Sub pushes

	mu     sync.Mutex
	seen   map[string]time.Time // when a push without a verdict was first received
	warned map[string]struct{}  // keys of warnings that are logged once
}

// server returns the auditor's HTTP server, with its limits.
func (a *Auditor) server() *http.Server {
	return &http.Server{
		Handler: a.handler(), ReadHeaderTimeout: readLimit, ReadTimeout: readLimit,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(warner(a.options.Warn), "", 0),
	}
}

// warner logs the messages of an HTTP server as warnings.
type warner func(string)

// Write implements io.Writer. Each call is one line.
func (w warner) Write(line []byte) (int, error) {
	w(strings.TrimSpace(string(line)))
	return len(line), nil
}

// handler returns the handler of all paths. It needs Serve to run.
func (a *Auditor) handler() http.Handler {
	s := &server{
		Auditor: a, decoders: event.Decoders(), seen: map[string]time.Time{}, warned: map[string]struct{}{},
		reading: semaphore.NewWeighted(maxReading), answering: semaphore.NewWeighted(maxAnswering),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", s.push)
	mux.HandleFunc("POST /events/{source}", s.events)
	mux.HandleFunc("GET /api/verdicts", s.verdicts)
	mux.HandleFunc("GET /api/drift", s.drift)
	mux.HandleFunc("GET /api/timeline", s.minutes)
	mux.HandleFunc("GET /api/status", s.status)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", a.metrics.handler())
	mux.Handle("GET /", pages())
	return mux
}

// answer writes a response of one line of text.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintln(w, output.Escape(text))
}

// refuse writes the response to a refused notification.
func (s *server) refuse(w http.ResponseWriter, status int, text string) {
	s.metrics.refused.WithLabelValues(strconv.Itoa(status)).Inc()
	switch status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="cip audit"`)
	}
	answer(w, status, text)
}

// body reads a notification. ok is false if it was refused.
//
// Only large notifications wait for a turn, so that slow senders do not delay others.
func (s *server) body(w http.ResponseWriter, r *http.Request) (n event.Notification, ok bool) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		s.refuse(w, http.StatusUnsupportedMediaType, "compressed notifications are refused: "+event.Clip(coding))
		return n, false
	}
	in := http.MaxBytesReader(w, r.Body, maxBody)
	raw, err := io.ReadAll(io.LimitReader(in, smallBody))
	if err == nil && len(raw) == smallBody {
		if s.reading.Acquire(r.Context(), 1) != nil {
			return n, false
		}
		defer s.reading.Release(1)
		var rest []byte
		rest, err = io.ReadAll(in)
		raw = append(raw, rest...)
	}
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large:
		s.refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a notification of more than %d bytes is refused", maxBody))
		return n, false
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.refuse(w, http.StatusRequestTimeout, fmt.Sprintf("the notification took more than %s to arrive", readLimit))
		return n, false
	case err != nil:
		s.refuse(w, http.StatusBadRequest, "reading the notification: "+err.Error())
		return n, false
	}
	return event.Notification{Body: raw, Header: r.Header, Host: r.URL.Query().Get("host")}, true
}

// allowed reports whether a request has the token.
//
// Depending on the system, it is a bearer token, the whole Authorization header, the
// password of basic authentication, or in the URL.
func (s *server) allowed(r *http.Request) bool {
	_, password, _ := r.BasicAuth()
	header := r.Header.Get("Authorization")
	scheme, bearer, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		bearer = header
	}
	good := 0
	for _, shown := range []string{header, bearer, password, r.URL.Query().Get("token")} {
		a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(s.options.Token))
		good |= subtle.ConstantTimeCompare(a[:], b[:])
	}
	return good == 1
}

// events handles /events/SOURCE.
//
// It answers once the events are on disk.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	source := r.PathValue("source")
	decode := s.decoders[source]
	switch {
	case decode == nil:
		s.refuse(w, http.StatusNotFound, "there is no system "+event.Clip(source))
		return
	case s.options.Token == "" && s.oidc != nil:
		s.refuse(w, http.StatusForbidden, "only Pub/Sub pushes are accepted: there is no token for other systems")
		return
	case s.options.Token != "" && !s.allowed(r):
		s.refuse(w, http.StatusUnauthorized, "the notification does not have the token")
		return
	}
	n, ok := s.body(w, r)
	if !ok {
		return
	}
	events, err := decode(n)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, source+": "+err.Error())
		return
	}
	judged, others := s.judged(events)
	added, fresh, err := s.store.Enqueue(judged)
	if err != nil {
		s.refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	s.metrics.events.WithLabelValues(source).Add(float64(len(events)))
	s.worker.add(added)
	s.noteDrops(time.Now())
	text := fmt.Sprintf("events: %d, of them new: %d", len(events), fresh)
	if len(others) > 0 {
		text += "; TRANSACTION " + string(ignored) + ": " + strings.Join(listed(others, maxOthers), ", ") + ": counted, not stored"
	}
	answer(w, http.StatusAccepted, text)
}

// maxOthers bounds the number of events without a verdict that an answer lists.
const maxOthers = 5

// judged returns the events that need a verdict.
//
// The others are described. They are counted, and each kind that cip does not know is
// logged once.
func (s *server) judged(events []event.Event) (out []event.Event, others []string) {
	now := time.Now().UTC()
	for _, e := range events {
		if e.Action != event.Other {
			e.Received = now
			out = append(out, e)
			continue
		}
		text := e.Kind
		if e.Repository != (name.Repository{}) {
			text += " of " + e.Ref()
		}
		others = append(others, text)
		kind := e.Kind
		if e.Unknown {
			kind = "unknown"
			s.once(e.Source+" "+e.Kind, fmt.Sprintf("%s sent a notification of an unknown kind, which is counted and not judged: %s", e.Source, e.Kind))
		}
		s.metrics.unjudgedEvent(e.Source, kind)
	}
	return out, others
}

// maxOnce bounds the number of different warnings.
//
// Their keys are text of senders, who could send any number of them.
const maxOnce = 100

// once logs a warning unless one with the same key was logged.
func (s *server) once(key, text string) {
	s.mu.Lock()
	_, known := s.warned[key]
	room := len(s.warned) < maxOnce
	if !known && room {
		s.warned[key] = struct{}{}
	}
	s.mu.Unlock()
	if !known && room {
		s.options.Warn(text)
	}
}

// push handles a Pub/Sub push. The answer is the verdict, if there is one.
func (s *server) push(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.oidc != nil:
		if err := s.oidc.check(r); err != nil {
			s.refuse(w, http.StatusUnauthorized, err.Error())
			return
		}
	case s.options.Token != "" && !s.allowed(r):
		s.refuse(w, http.StatusUnauthorized, "the push does not have the token")
		return
	}
	n, ok := s.body(w, r)
	if !ok {
		return
	}
	s.metrics.events.WithLabelValues(event.PubSub).Inc()
	e, err := event.DecodePubSub(n)
	e.Received = time.Now().UTC()
	if err != nil {
		e = event.Event{ID: e.ID, Source: event.PubSub, Received: e.Received}
		s.settle(w, verdict{Event: e, Outcome: rejected, Reason: "malformed: " + err.Error(), Judged: e.Received})
		return
	}
	if known, ok := s.store.Known(e); ok {
		answer(w, http.StatusOK, known.Text)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pushLimit)
	defer cancel()
	if s.answering.Acquire(ctx, 1) != nil {
		s.refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pushes are already being judged", maxAnswering))
		return
	}
	defer s.answering.Release(1)
	e.Received = s.firstSeen(e)
	v, err := s.judgeNow(ctx, e)
	if err != nil {
		text := fmt.Sprintf("cannot judge %s of %s yet: %v", e.Action, e.Ref(), err)
		s.options.Warn(text)
		s.refuse(w, http.StatusServiceUnavailable, text)
		return
	}
	s.settle(w, v)
}

// judgeNow judges a push while its sender waits.
//
// A wanted tag that the registry does not serve yet is read again for unseenLimit.
func (s *server) judgeNow(ctx context.Context, e event.Event) (verdict, error) {
	began := time.Now()
	for try := 1; ; try++ {
		v, err := s.judge(ctx, e, s.manifests.since)
		if _, unsettled := errors.AsType[*unsettledError](err); !unsettled {
			return v, err
		}
		wait := backoff(try)
		if time.Since(began)+wait > unseenLimit {
			return v, err
		}
		if pause(ctx, wait, nil); ctx.Err() != nil {
			return v, err
		}
	}
}

// maxSeen bounds the number of pushes in server.seen.
const maxSeen = 10_000

// firstSeen returns when a push was first received.
func (s *server) firstSeen(e event.Event) time.Time {
	key := e.Key()
	if key == "" {
		return e.Received
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, ok := s.seen[key]; ok {
		return first
	}
	if len(s.seen) >= maxSeen {
		clear(s.seen)
	}
	s.seen[key] = e.Received
	return e.Received
}

// settle stores the verdict on a push and writes it as the response.
func (s *server) settle(w http.ResponseWriter, v verdict) {
	r, fresh, err := s.store.Settle(0, v)
	if err != nil {
		s.refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	for _, one := range fresh {
		s.mu.Lock()
		delete(s.seen, v.Event.Key())
		s.mu.Unlock()
		s.settled(one)
	}
	answer(w, http.StatusOK, r.Text)
}
