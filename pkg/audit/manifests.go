package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Origin is where manifests are read from.
type Origin interface {
	// Read returns the current manifests, and their commit if there is one. Only one
	// goroutine at a time calls it.
	Read(ctx context.Context) (set *manifest.Set, commit string, err error)
	// MaxAge is how old manifests may be to verify an event.
	MaxAge() time.Duration
}

// Directory is an Origin on disk.
//
// Path is a thin manifest directory or a plain manifest file.
type Directory struct{ Path string }

// Read implements Origin.
func (d Directory) Read(context.Context) (*manifest.Set, string, error) {
	if _, err := os.Stat(d.Path); err != nil {
		return nil, "", fmt.Errorf("reading the manifests: %w", err)
	}
	return load.At(d.Path).Read(), "", nil
}

// MaxAge implements Origin. It is short because reading a directory is cheap.
func (Directory) MaxAge() time.Duration { return time.Second }

// Git is an Origin in a git repository.
//
// It reads the head of a branch.
type Git struct {
	Remote git.Remote
	Path   string // of the thin manifest directory or plain manifest file

	commit string
	set    *manifest.Set
}

// Read implements Origin. It fetches the branch, and reads the files of a new head.
func (g *Git) Read(ctx context.Context) (*manifest.Set, string, error) {
	repo, head, err := g.Remote.Fetch(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("fetching the manifests from %s: %w", g.Remote, err)
	}
	if head == g.commit {
		return g.set, head, nil
	}
	tree, err := repo.FS(head, "")
	if err != nil {
		return nil, "", fmt.Errorf("reading the manifests of %s at %s: %w", g.Remote, head, err)
	}
	name := path.Clean(strings.Trim(filepath.ToSlash(g.Path), "/"))
	set, err := manifest.Load(tree, name, name)
	if err != nil {
		return nil, "", fmt.Errorf("reading the manifests of %s at %s: %w", g.Remote, head, err)
	}
	g.commit, g.set = head, set
	return set, head, nil
}

// MaxAge implements Origin. It saves requests to the git server.
//
// Events that the manifests do not explain are compared with the newest ones anyway.
func (*Git) MaxAge() time.Duration { return 30 * time.Second }

// Manifests reads an Origin again and again, and has the current rules.
//
// While the origin cannot be read, or has broken files, the last valid rules stay.
// One goroutine, which calls readLoop, reads the origin. All others wait for it, or use
// the rules that are loaded.
type Manifests struct {
	origin Origin
	warn   func(string)
	wanted signal // requests a reading that begins from now on

	mu     sync.Mutex
	rules  *rules
	err    error         // of the last reading
	failed time.Time     // when the last failed reading began
	began  time.Time     // when the current reading began; zero: there is none
	ended  time.Time     // when the last reading ended
	took   time.Duration // duration of the last reading
	done   chan struct{} // closed when the next reading ends
	onRead func()        // called after each reading
}

// NewManifests returns manifests that have not been read yet.
//
// warn logs faults in the files and errors of the origin.
func NewManifests(origin Origin, warn func(string)) *Manifests {
	return &Manifests{origin: origin, warn: warn, wanted: newSignal(), done: make(chan struct{}), onRead: func() {}}
}

const (
	idleGap    = time.Minute            // between two readings that nobody requests
	failedGap  = 5 * time.Second        // the same, after a reading that failed
	minGap     = 100 * time.Millisecond // between any two readings, or four times the duration of the last one
	currentGap = 2 * time.Second        // how long an event waits for newer manifests if the loaded ones may do
)

// readLoop reads the origin until ctx ends.
//
// It reads when another goroutine requests it, and every idleGap. If Start has read the
// manifests, it does not begin with a reading, which would delay the next request.
func (m *Manifests) readLoop(ctx context.Context) {
	for ctx.Err() == nil {
		m.mu.Lock()
		idle := idleGap
		switch {
		case m.ended.IsZero():
			idle = 0
		case m.err != nil:
			idle = failedGap
		}
		m.mu.Unlock()
		pause(ctx, idle, m.wanted)
		m.mu.Lock()
		rest := time.Until(m.ended.Add(max(minGap, 4*m.took, m.origin.MaxAge()/10)))
		m.mu.Unlock()
		if pause(ctx, rest, nil); ctx.Err() == nil {
			_ = m.read(ctx) // it stores the error for the goroutines that wait
		}
	}
}

// current returns the last valid rules.
//
// If they are older than MaxAge, it waits up to currentGap for newer ones. It is an
// error only if there are no rules.
func (m *Manifests) current(ctx context.Context) (*rules, error) {
	now := time.Now()
	m.mu.Lock()
	rules, slow := m.rules, !m.began.IsZero() && now.Sub(m.began) > currentGap
	m.mu.Unlock()
	switch {
	case rules == nil:
		return m.since(ctx, now.Add(-currentGap)) // an error is reused for less time than manifests are
	case slow || now.Sub(rules.Read) <= m.origin.MaxAge():
		return rules, nil
	}
	ctx, cancel := context.WithTimeout(ctx, currentGap)
	defer cancel()
	if fresh, err := m.since(ctx, now.Add(-m.origin.MaxAge())); err == nil {
		return fresh, nil
	}
	return rules, nil
}

// since waits for rules whose reading began at t or later.
func (m *Manifests) since(ctx context.Context, t time.Time) (*rules, error) {
	for {
		rules, done, err := m.known(t)
		if done == nil {
			return rules, err
		}
		m.wanted.send()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the manifests: %w", ctx.Err())
		}
	}
}

// errStale is the error if the manifests were not read since an event.
var errStale = errors.New("waiting for the newest manifests")

// newer returns rules whose reading began at t or later.
//
// It does not wait: the error is errStale if there are none yet.
func (m *Manifests) newer(_ context.Context, t time.Time) (*rules, error) {
	rules, done, err := m.known(t)
	if done != nil {
		return nil, errStale
	}
	return rules, err
}

// known returns the outcome of a reading that began at t or later.
//
// If there is none yet, done is not nil, and closed when the next reading ends.
func (m *Manifests) known(t time.Time) (rules *rules, done <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rules != nil && !m.rules.Read.Before(t) {
		return m.rules, nil, nil
	}
	if m.err != nil && !m.failed.Before(t) {
		return nil, nil, m.err
	}
	return nil, m.done, nil
}

// startLimit bounds the first reading of a git repository, while nothing is served.
const startLimit = 15 * time.Second

// Start reads the origin for the first time.
//
// Manifests of a directory must be valid. A branch and its path must exist, but a git
// server may be down and files may be broken: readLoop tries again.
func (m *Manifests) Start(ctx context.Context) error {
	if _, remote := m.origin.(*Git); !remote {
		return m.read(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := m.read(ctx)
	if _, missing := errors.AsType[*git.NoBranchError](err); missing || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// originLimit bounds one reading.
const originLimit = 2 * time.Minute

// read reads the origin and stores the outcome.
//
// Only readLoop and Start may call it.
func (m *Manifests) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, originLimit)
	defer cancel()
	began := time.Now()
	m.mu.Lock()
	m.began = began
	old := m.rules
	m.mu.Unlock()
	set, commit, err := m.origin.Read(ctx)
	if err == nil && set.Broken() {
		err = broken(set)
	}
	var rules *rules
	switch {
	case err != nil:
	case old != nil && old.Set.Digest == set.Digest:
		again := *old
		again.Read, again.Commit = began, commit
		rules = &again
	default:
		rules = newRules(set, commit, began)
		m.warnFaults(rules)
	}
	m.finish(rules, began, err)
	return err
}

// finish stores the outcome of a reading and wakes the goroutines that wait for it.
func (m *Manifests) finish(rules *rules, began time.Time, err error) {
	m.mu.Lock()
	news := err != nil && (m.err == nil || m.err.Error() != err.Error())
	m.err, m.began, m.ended = err, time.Time{}, time.Now()
	m.took = m.ended.Sub(began)
	if err == nil {
		m.rules = rules
	} else {
		m.failed = began
	}
	close(m.done)
	m.done = make(chan struct{})
	onRead := m.onRead
	m.mu.Unlock()
	if news {
		m.warn(err.Error())
	}
	onRead()
}

// brokenError is the error about manifests with broken files.
type brokenError struct{ faults []string }

func (e *brokenError) Error() string {
	return "the manifests are broken: " + strings.Join(e.faults, "; ")
}

// maxFaults bounds the number of faults in an error.
const maxFaults = 5

// broken returns a broken set's faults as one error.
func broken(set *manifest.Set) error {
	var faults []string
	for _, f := range set.Faults {
		if f.Severity == manifest.Broken {
			faults = append(faults, f.String())
		}
	}
	return &brokenError{listed(faults, maxFaults)}
}

// warnFaults logs the faults and warnings of new rules.
func (m *Manifests) warnFaults(r *rules) {
	for _, f := range append(append([]manifest.Fault{}, r.Set.Faults...), r.Faults...) {
		m.warn(f.String())
	}
	for _, text := range r.Sites.Warnings {
		m.warn(text)
	}
}

// state returns the last valid rules or nil, and the error of newer ones.
func (m *Manifests) state() (*rules, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rules, m.err
}

// Account returns the service account for requests to a repository, or "".
func (m *Manifests) Account(repo name.Repository) string {
	if r, _ := m.state(); r != nil {
		return r.Sites.Account(repo)
	}
	return ""
}

// AbsentStatus returns the HTTP statuses that count as absent in a repository.
//
// They are in addition to 404.
func (m *Manifests) AbsentStatus(repo name.Repository) []int {
	if r, _ := m.state(); r != nil {
		return r.Sites.AbsentStatus(repo)
	}
	return nil
}
