package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/tree"
)

// Origin is where manifests are read from.
type Origin interface {
	// Read returns the manifests as they are now, and the commit they are of if there
	// is one. It is called by one goroutine at a time.
	Read(ctx context.Context) (set *manifest.Set, commit string, err error)
	// MaxAge is how old manifests may be that explain an event.
	MaxAge() time.Duration
}

// Directory is an Origin on disk: a directory of thin manifests, or a plain manifest.
type Directory struct{ Path string }

// Read reads the files.
func (d Directory) Read(context.Context) (*manifest.Set, string, error) {
	info, err := os.Stat(d.Path)
	if err != nil {
		return nil, "", fmt.Errorf("reading the manifests: %w", err)
	}
	if info.IsDir() {
		files := tree.Open(d.Path)
		defer files.Close()
		return manifest.Thin(files, d.Path), "", nil
	}
	files := tree.Open(filepath.Dir(d.Path))
	defer files.Close()
	return manifest.Plain(files, filepath.Base(d.Path), d.Path), "", nil
}

// MaxAge is short: reading a directory is cheap.
func (Directory) MaxAge() time.Duration { return time.Second }

// Git is an Origin in a git repository: the head of a branch.
type Git struct {
	Remote git.Remote
	Path   string // of the thin directory or plain manifest in it

	commit string
	set    *manifest.Set
}

// Read fetches the branch and reads the files at its head, unless they have been read.
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

// MaxAge spares the git server: what is not explained is held against the newest manifests at once.
func (*Git) MaxAge() time.Duration { return 30 * time.Second }

// Manifests keeps the rules that events are held against. While the origin cannot
// be read, or holds broken files, the last good ones stay. One goroutine, Keep,
// reads; all others wait for it or take what is at hand.
type Manifests struct {
	origin Origin
	warn   func(string)
	wanted chan struct{} // has a token when a reading is asked for

	mu     sync.Mutex
	rules  *rules
	err    error         // of the last reading
	failed time.Time     // when the last failed reading began
	began  time.Time     // when the reading under way began; zero: there is none
	ended  time.Time     // when the last reading ended
	took   time.Duration // by the last reading
	done   chan struct{} // closed when the next reading ends
	told   func()        // called after each reading
}

// NewManifests returns manifests that have not been read. warn is told of faults.
func NewManifests(origin Origin, warn func(string)) *Manifests {
	return &Manifests{origin: origin, warn: warn, wanted: make(chan struct{}, 1), done: make(chan struct{}), told: func() {}}
}

const (
	idleGap    = time.Minute            // between two readings that nothing asks for
	failedGap  = 5 * time.Second        // the same, after one that failed
	leastGap   = 100 * time.Millisecond // between any two; a slow reading is followed by four times as long
	currentGap = 2 * time.Second        // that an event waits for newer manifests, if it may be judged by those at hand
)

// Keep reads the origin when it is asked to, and now and then, until ctx ends.
func (m *Manifests) Keep(ctx context.Context) {
	for ctx.Err() == nil {
		m.mu.Lock()
		pause := time.Until(m.ended.Add(max(leastGap, 4*m.took, m.origin.MaxAge()/10)))
		m.mu.Unlock()
		timer := time.NewTimer(pause)
		idle := idleGap
		select {
		case <-timer.C:
			if m.Read(ctx) != nil { // it is kept for those who wait
				idle = failedGap
			}
		case <-ctx.Done():
		}
		timer.Reset(idle)
		select {
		case <-m.wanted:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// want asks for a reading that begins from now on.
func (m *Manifests) want() {
	select {
	case m.wanted <- struct{}{}:
	default:
	}
}

// Current returns rules that may explain an event: the last good ones, after waiting
// a little for newer ones if they are old. It is an error only if there are none.
func (m *Manifests) Current(ctx context.Context) (*rules, error) {
	now := time.Now()
	m.mu.Lock()
	rules, slow := m.rules, !m.began.IsZero() && now.Sub(m.began) > currentGap
	m.mu.Unlock()
	switch {
	case rules == nil:
		return m.Since(ctx, now.Add(-currentGap)) // a failure is not news for as long as manifests are
	case now.Sub(rules.Read) <= m.origin.MaxAge():
		return rules, nil
	case slow:
		return rules, nil
	}
	ctx, cancel := context.WithTimeout(ctx, currentGap)
	defer cancel()
	if fresh, err := m.Since(ctx, now.Add(-m.origin.MaxAge())); err == nil {
		return fresh, nil
	}
	return rules, nil
}

// Since returns rules whose reading began at t or later, once there are some.
func (m *Manifests) Since(ctx context.Context, t time.Time) (*rules, error) {
	for {
		rules, done, err := m.known(t)
		if done == nil {
			return rules, err
		}
		m.want()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the manifests: %w", ctx.Err())
		}
	}
}

// errStale says that the manifests have not been read since an event came.
var errStale = errors.New("waiting for the newest manifests")

// Newer returns rules whose reading began at t or later; without waiting, errStale if there are none yet.
func (m *Manifests) Newer(_ context.Context, t time.Time) (*rules, error) {
	rules, done, err := m.known(t)
	if done != nil {
		return nil, errStale
	}
	return rules, err
}

// known returns the outcome of a reading that began at t or later. If there is none
// yet, done is closed when the next one ends.
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

// originLimit bounds one reading.
const originLimit = 2 * time.Minute

// Read reads the origin. It is called before Keep, or by it.
func (m *Manifests) Read(ctx context.Context) error {
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
		m.tell(rules)
	}
	m.keep(rules, began, err)
	return err
}

// keep keeps the outcome of a reading and tells those who wait for it.
func (m *Manifests) keep(rules *rules, began time.Time, err error) {
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
	told := m.told
	m.mu.Unlock()
	if news {
		m.warn(err.Error())
	}
	told()
}

// broken returns the faults that make a set unusable as one error.
func broken(set *manifest.Set) error {
	var lines []string
	for _, f := range set.Faults {
		if f.Severity == manifest.Broken {
			lines = append(lines, f.String())
		}
	}
	const most = 5
	more := ""
	if n := len(lines) - most; n > 0 {
		lines, more = lines[:most], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("the manifests are broken: %s%s", strings.Join(lines, "; "), more)
}

// tell warns of the entries of new rules that are not granted.
func (m *Manifests) tell(r *rules) {
	for _, f := range append(append([]manifest.Fault{}, r.Set.Faults...), r.Faults...) {
		m.warn(f.String())
	}
	for _, text := range r.Sites.Warnings {
		m.warn(text)
	}
}

// state returns the last good rules, nil if there are none, and what is wrong with newer ones.
func (m *Manifests) state() (*rules, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rules, m.err
}

// Account returns the service account a repository is spoken to with, or "".
func (m *Manifests) Account(repo name.Repository) string {
	if r, _ := m.state(); r != nil {
		return r.Sites.Account(repo)
	}
	return ""
}

// AbsentStatus returns the HTTP statuses that count as absent in a repository, besides 404.
func (m *Manifests) AbsentStatus(repo name.Repository) []int {
	if r, _ := m.state(); r != nil {
		return r.Sites.AbsentStatus(repo)
	}
	return nil
}
