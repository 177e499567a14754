package audit

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cip/pkg/git"
	"cip/pkg/image"
	"cip/pkg/manifest"
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
		return manifest.Thin(os.DirFS(d.Path), filepath.Clean(d.Path)), "", nil
	}
	return manifest.Plain(os.DirFS(filepath.Dir(d.Path)), filepath.Base(d.Path), d.Path), "", nil
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
	info, err := fs.Stat(tree, name)
	if err != nil {
		return nil, "", fmt.Errorf("reading the manifests of %s at %s: %w", g.Remote, head, err)
	}
	set := manifest.Plain(tree, name, name)
	if info.IsDir() {
		below, err := fs.Sub(tree, name)
		if err != nil {
			return nil, "", fmt.Errorf("reading the manifests of %s: %w", g.Remote, err)
		}
		set = manifest.Thin(below, name)
	}
	g.commit, g.set = head, set
	return set, head, nil
}

// MaxAge spares the git server: what is not explained is held against the newest manifests at once.
func (*Git) MaxAge() time.Duration { return 30 * time.Second }

// Manifests keeps the rules that events are held against. While the origin cannot
// be read, or holds broken files, the last good ones stay.
type Manifests struct {
	origin Origin
	warn   func(string)
	now    func() time.Time
	turn   chan struct{} // holds one token: who has it reads

	mu     sync.Mutex
	rules  *Rules
	failed time.Time // when the last failed reading began
	err    error     // of the last reading
	tried  time.Time // when the last reading ended
	took   time.Duration
}

// NewManifests returns manifests that have not been read. warn is told of faults.
func NewManifests(origin Origin, warn func(string)) *Manifests {
	return &Manifests{origin: origin, warn: warn, now: time.Now, turn: make(chan struct{}, 1)}
}

// leastGap is the time between two readings; a slow reading is followed by four times as long.
const leastGap = 100 * time.Millisecond

// Current returns rules that may explain an event: the last good ones, after trying
// for newer ones if they are old. It is an error only if there are none.
func (m *Manifests) Current(ctx context.Context) (*Rules, error) {
	fresh, err := m.Since(ctx, m.now().Add(-m.origin.MaxAge()))
	if err == nil {
		return fresh, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rules == nil {
		return nil, err
	}
	return m.rules, nil
}

// Since returns rules whose reading began at t or later.
func (m *Manifests) Since(ctx context.Context, t time.Time) (*Rules, error) {
	if rules, ok, err := m.known(t); ok {
		return rules, err
	}
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if rules, ok, err := m.known(t); ok { // another has read meanwhile
		return rules, err
	}
	m.mu.Lock()
	pause := m.tried.Add(max(leastGap, 4*m.took)).Sub(m.now())
	m.mu.Unlock()
	if m.tried.IsZero() || pause <= 0 {
		return m.read(ctx)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return m.read(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// known returns the outcome of a reading that began at t or later, if there is one.
func (m *Manifests) known(t time.Time) (rules *Rules, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rules != nil && !m.rules.Read.Before(t) {
		return m.rules, true, nil
	}
	if m.err != nil && !m.failed.Before(t) {
		return nil, true, m.err
	}
	return nil, false, nil
}

// readLimit bounds one reading.
const readLimit = 2 * time.Minute

// read reads the origin. Whoever waits for it does not end it for the others.
func (m *Manifests) read(ctx context.Context) (*Rules, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
	defer cancel()
	began := m.now()
	set, commit, err := m.origin.Read(ctx)
	if err == nil && set.Broken() {
		err = broken(set)
	}
	m.mu.Lock()
	old := m.rules
	m.mu.Unlock()
	var rules *Rules
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && (m.err == nil || m.err.Error() != err.Error()) {
		m.warn(err.Error())
	}
	m.err, m.tried = err, m.now()
	m.took = m.tried.Sub(began)
	if err != nil {
		m.failed = began
		return nil, err
	}
	m.rules = rules
	return rules, nil
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
func (m *Manifests) tell(r *Rules) {
	for _, f := range append(append([]manifest.Fault{}, r.Set.Faults...), r.Faults...) {
		m.warn(f.String())
	}
	for _, text := range r.Sites.Warnings {
		m.warn(text)
	}
}

// keep reads the origin again and again until ctx ends, so that faults are noticed while nothing happens.
func (m *Manifests) keep(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		_, _ = m.Current(ctx) // it is kept, and read has told of it
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// state returns the last good rules, nil if there are none, and what is wrong with newer ones.
func (m *Manifests) state() (*Rules, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rules, m.err
}

// Account returns the service account a repository is spoken to with, or "".
func (m *Manifests) Account(repo image.Repository) string {
	if r, _ := m.state(); r != nil {
		return r.Sites.Account(repo)
	}
	return ""
}

// AbsentStatus returns the HTTP statuses that count as absent in a repository, besides 404.
func (m *Manifests) AbsentStatus(repo image.Repository) []int {
	if r, _ := m.state(); r != nil {
		return r.Sites.AbsentStatus(repo)
	}
	return nil
}
