// Package audit is a server that compares changes of destinations with the manifests.
//
// Registries send events: "something was pushed to this repository". An event says
// where to look, and is never evidence. The evidence for a verdict is read from the
// registry and from the manifests.
//
//	notification ─ event.Decoder ─▶ event.Event ─ store (durable queue) ─▶ worker
//	Event, manifests ─ rules.consider ─▶ a verdict, or a question ─ inquirer ─▶ verdict ─▶ store
//	manifests, whole destinations ─ sweep ─▶ drift ─▶ store
//	store ─▶ page, API, metrics, alerts
//
// Events arrive by HTTP (server.go). Package event has a decoder for each system.
// Events that cannot be judged yet, because a registry or the manifests cannot be
// read, stay in the queue and are retried. A push by Pub/Sub is judged while its
// sender waits for the answer. The package has no logger of its own: Options has
// functions for that. It never writes to a registry.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Options configure an Auditor.
type Options struct {
	Manifests *Manifests
	Client    *registry.Client
	State     string        // file for verdicts and waiting events; empty: in memory
	Token     string        // that notifications must show; empty: none
	OIDC      OIDC          // for Pub/Sub pushes
	Sweep     time.Duration // time between two sweeps; 0: no sweeps
	AlertURL  string        // URL that rejected changes and new drift are posted to; empty: none
	PageURL   string        // URL of the page for links in alerts, with a slash at the end; empty: no links
	CommitURL string        // URL of a commit of the manifests, with CommitMark for its id; empty: no links
	Log       Log           // the verdicts
	Warn      func(string)  // logs a problem that the auditor survives
	Error     func(string)  // logs a verdict that could not be written
}

// CommitMark is the part of a CommitURL that is replaced by the id of a commit.
const CommitMark = "{commit}"

// Log is where verdicts are written: one JSON object per line.
type Log struct {
	Out     io.Writer
	UUID    string // names the auditor in each line
	Project string // Google Cloud project whose Error Reporting collects rejected changes; empty: none
	Version string // of the program
}

// Auditor judges changes of registries. Serve runs it.
type Auditor struct {
	options   Options
	manifests *Manifests
	store     *store
	inquirer  *inquirer
	worker    *worker
	metrics   *metrics
	alerts    *alerter
	oidc      *verifier
	timeline  *timeline
	log       *verdictLog
	drops     dropNotes
}

// New returns an auditor and opens its store.
//
// The caller must Close it. ctx bounds background fetches of signing keys.
func New(ctx context.Context, o Options) (*Auditor, error) {
	store, err := openStore(o.State, o.AlertURL != "")
	if err != nil {
		return nil, err
	}
	store.page = o.PageURL
	a := &Auditor{options: o, manifests: o.Manifests, store: store, inquirer: newInquirer(o.Client), oidc: newVerifier(ctx, o.OIDC), log: &verdictLog{Log: o.Log}}
	a.metrics = newMetrics(a)
	a.alerts = &alerter{url: o.AlertURL, store: store, metrics: a.metrics, warn: o.Warn, added: newSignal()}
	judge := func(ctx context.Context, e event.Event) (verdict, error) { return a.judge(ctx, e, a.manifests.newer) }
	a.worker, err = newWorker(store, judge, a.settled, o.Warn)
	if err == nil {
		a.timeline, err = newTimeline(store, time.Now())
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	a.worker.stale, a.manifests.onRead = a.manifests.wanted, a.worker.unpark
	return a, nil
}

// Close closes the store.
func (a *Auditor) Close() error { return a.store.Close() }

// Limits on the time between the end of ctx and that of Serve.
const (
	answerLimit = 6 * time.Second // for open requests: longer than readLimit
	drainLimit  = 8 * time.Second // for events that are being judged or were never tried
)

// Serve serves on a listener until ctx ends.
//
// Then it answers open requests, and judges events that are being judged or were
// never tried. Other events stay in the store.
func (a *Auditor) Serve(ctx context.Context, listener net.Listener) error {
	ctx, fail := context.WithCancel(ctx)
	defer fail()
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	requests, giveUp := context.WithCancel(work)
	defer giveUp()
	server := a.server()
	server.BaseContext = func(net.Listener) context.Context { return requests }
	var tasks, kept sync.WaitGroup
	kept.Go(func() { a.manifests.readLoop(work) }) // the last events may need newer manifests
	defer kept.Wait()
	defer stop()
	taken, end := context.WithCancel(work) // ends when no more events can come in
	tasks.Go(func() { a.worker.run(taken, work) })
	tasks.Go(func() { a.sweepLoop(ctx) })
	tasks.Go(func() { a.alerts.run(ctx, work) })
	tasks.Go(func() {
		<-ctx.Done()
		time.AfterFunc(drainLimit, stop)
		time.AfterFunc(answerLimit, giveUp)
		defer end()
		a.shutdown(work, server)
	})
	err := server.Serve(listener)
	fail()
	tasks.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}

// shutdown lets a server answer the open requests.
//
// Requests that take too long are cut off.
func (a *Auditor) shutdown(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit+time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		a.options.Warn("shutting down: open requests were cut off: " + err.Error())
		_ = server.Close() // only connections are left to close
	}
}

// judge returns the verdict on an event.
//
// If the loaded manifests do not explain the event, it is compared with those that
// newer returns. It is an error if there cannot be a verdict yet.
func (a *Auditor) judge(ctx context.Context, e event.Event, newer func(context.Context, time.Time) (*rules, error)) (verdict, error) {
	began := time.Now()
	rules, err := a.manifests.current(ctx)
	if err != nil {
		return verdict{}, &manifestsError{"there are no manifests", err}
	}
	v, err := a.inquirer.judge(ctx, e, rules)
	explained := v.Outcome == verified || e.Action == event.Other || e.Repository == (name.Repository{})
	if err == nil && !explained && rules.Read.Before(e.Received) {
		if rules, err = newer(ctx, e.Received); err != nil {
			return verdict{}, &manifestsError{"the loaded manifests do not explain it, and there are no newer ones", err}
		}
		v, err = a.inquirer.judge(ctx, e, rules)
	}
	a.metrics.judged(time.Since(began), err)
	return v, err
}

// manifestsError is the error about an event that needs newer manifests.
//
// It does not mean that a registry has a problem.
type manifestsError struct {
	what string
	err  error
}

func (e *manifestsError) Error() string { return e.what + ": " + e.err.Error() }

func (e *manifestsError) Unwrap() error { return e.err }

// settled logs and counts a verdict that was stored.
func (a *Auditor) settled(r record) {
	a.metrics.verdict(r)
	a.timeline.add(r)
	a.alerts.added.send()
	if err := a.log.write(r); err != nil {
		a.options.Error("writing a verdict to stdout: " + err.Error())
	}
	a.noteDrops(time.Now())
}
