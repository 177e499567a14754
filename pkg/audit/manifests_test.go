package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// origin is an Origin that can fail.
type origin struct {
	mu    sync.Mutex
	reads int
	err   error
	set   *manifest.Set
}

func (o *origin) Read(context.Context) (*manifest.Set, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads++
	time.Sleep(100 * time.Millisecond) // fake time: fetching takes
	return o.set, "c", o.err
}

// fail sets the error of readings, and returns the number of readings.
func (o *origin) fail(err error) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
	return o.reads
}

func (*origin) MaxAge() time.Duration { return time.Minute }

func TestManifestsAreReadRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{set: &manifest.Set{Digest: "1"}}
		m := NewManifests(o, func(string) {})
		ctx, cancel := context.WithCancel(t.Context())
		kept := make(chan struct{})
		go func() { m.readLoop(ctx); close(kept) }()
		defer func() { cancel(); <-kept }()
		if _, err := m.current(t.Context()); err != nil || o.fail(nil) != 1 {
			t.Fatalf("got %d readings and error %v, want 1 reading", o.fail(nil), err)
		}
		if _, err := m.current(t.Context()); err != nil || o.fail(nil) != 1 {
			t.Errorf("younger than MaxAge: got %d readings and error %v, want 1 reading", o.fail(nil), err)
		}
		now := time.Now()
		var g sync.WaitGroup
		for range 100 { // events that are not explained, all at once
			g.Go(func() {
				if r, err := m.since(t.Context(), now); err != nil || r.Read.Before(now) {
					t.Errorf("got rules %+v and error %v, want rules read since %v", r, err, now)
				}
			})
		}
		g.Wait()
		if n := o.fail(nil); n != 2 {
			t.Errorf("%d readings, want 2", n)
		}
		if pause := time.Since(now); pause < 6*time.Second { // a tenth of MaxAge
			t.Errorf("time between two readings: got %s, want 6s or more", pause)
		}
		o.fail(errors.New("down"))
		time.Sleep(2 * time.Minute)
		if r, err := m.current(t.Context()); err != nil || r == nil {
			t.Errorf("error: got %v, want the last valid manifests", err)
		}
		if _, err := m.since(t.Context(), time.Now()); err == nil {
			t.Error("got old manifests, want an error")
		}
	})
}

// Manifests that were read at the start are not read again before someone needs newer ones.
func TestManifestsAreReadOnceAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &origin{set: &manifest.Set{Digest: "1"}}
		m := NewManifests(o, func(string) {})
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		kept := make(chan struct{})
		go func() { m.readLoop(ctx); close(kept) }()
		defer func() { cancel(); <-kept }()
		time.Sleep(idleGap / 2)
		if n := o.fail(nil); n != 1 {
			t.Errorf("got %d readings, want 1", n)
		}
		now := time.Now()
		if _, err := m.since(t.Context(), now); err != nil || time.Since(now) > 200*time.Millisecond {
			t.Errorf("got error %v after %s, want newer manifests at once", err, time.Since(now))
		}
	})
}

// After failures, the origin is read again soon, even if no event needs it.
func TestManifestsComeBack(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			o := &origin{set: &manifest.Set{Digest: "1"}, err: errors.New("down")}
			m := NewManifests(o, func(string) {})
			ctx, cancel := context.WithCancel(t.Context())
			kept := make(chan struct{})
			go func() { m.readLoop(ctx); close(kept) }()
			defer func() { cancel(); <-kept }()
			if _, err := m.current(t.Context()); err == nil {
				t.Fatal("got manifests, want an error")
			}
			time.Sleep(30 * time.Second)
			o.fail(nil)
			if asked {
				if _, err := m.current(t.Context()); err != nil {
					t.Errorf("error: got %v, want none after the origin has recovered", err)
				}
				return
			}
			time.Sleep(2*failedGap + o.MaxAge()/10)
			if r, err := m.state(); r == nil || err != nil {
				t.Errorf("error: got %v, want the manifests to be read again", err)
			}
		})
	}
}

func TestManifestsFromGit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	repo, err := gogit.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	commit := func(files map[string]string) string {
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := tree.Add(name); err != nil {
				t.Fatal(err)
			}
		}
		id, err := tree.Commit("change", &gogit.CommitOptions{Author: &object.Signature{Name: "a", Email: "a@example.com", When: time.Now()}})
		if err != nil {
			t.Fatal(err)
		}
		return id.String()
	}
	registries := "registries:\n- {name: r.example.com/src, src: true}\n- {name: r.example.com/prod}\n"
	first := commit(map[string]string{
		"registries/manifests/a/promoter-manifest.yaml": registries,
		"registries/images/a/images.yaml":               entry("apple", digestA, "1.0"),
		"plain.yaml":                                    registries + "images:\n" + entry("pear", digestB, "2.0"),
	})
	prod := someEvent("1").Repository
	prod = image.NewRepository(prod.RegistryStr(), "prod/apple")
	for _, test := range []struct{ path, repo, line string }{
		{"registries", "prod/apple", "registries/images/a/images.yaml:3:"},
		{"/registries/", "prod/apple", "registries/images/a/images.yaml:3:"},
		{"plain.yaml", "prod/pear", "plain.yaml:7:"},
	} {
		m := NewManifests(&Git{Remote: git.Remote{URL: "file://" + dir}, Path: test.path}, func(string) {})
		if err := m.read(t.Context()); err != nil {
			t.Errorf("%s: got error %v, want none", test.path, err)
			continue
		}
		r, _ := m.state()
		prod = image.NewRepository(prod.RegistryStr(), test.repo)
		digest := digestA
		if test.repo == "prod/pear" {
			digest = digestB
		}
		if pos := r.pos(prod, digest, "").String(); r.Commit != first || !strings.HasPrefix(pos, test.line) {
			t.Errorf("%s: got commit %s and line %s, want %s and %s", test.path, r.Commit, pos, first, test.line)
		}
	}
	m := NewManifests(&Git{Remote: git.Remote{URL: "file://" + dir}, Path: "registries"}, func(string) {})
	if err := m.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := commit(map[string]string{"registries/images/a/images.yaml": entry("apple", digestA, "1.0", "1.1")})
	if err := m.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, _ := m.state()
	if r.Commit != second {
		t.Fatalf("the commit is %s, want %s", r.Commit, second)
	}
	prod = image.NewRepository(prod.RegistryStr(), "prod/apple")
	if e := r.tagged(prod, "1.1"); e == nil || e.Digest != digestA {
		t.Errorf("1.1 is wanted as %+v", e)
	}
	for _, bad := range []Git{{Remote: git.Remote{URL: "file://" + dir}, Path: "nothing"}, {Remote: git.Remote{URL: "file://" + dir + "/none"}, Path: "."}} {
		if err := NewManifests(&bad, func(string) {}).read(t.Context()); err == nil {
			t.Errorf("%+v: got no error, want one", bad.Remote)
		}
	}
}

// A branch or a path that does not exist is an error at the start, other problems of git are not.
func TestStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	repo := gittest.In(t, dir)
	repo.Branch("main", repo.Commit(1, map[string]string{"good.yaml": "registries: []\n", "broken.yaml": "x: ["}))
	for _, test := range []struct {
		name string
		git  Git
		want string // in the error; empty: none
	}{
		{"good", Git{Remote: git.Remote{URL: dir, Branch: "main"}, Path: "."}, ""},
		{"a broken file", Git{Remote: git.Remote{URL: dir, Branch: "main"}, Path: "broken.yaml"}, ""},
		{"git is down", Git{Remote: git.Remote{URL: "http://127.0.0.1:1/x", Branch: "main"}, Path: "."}, ""},
		{"a repository that does not exist", Git{Remote: git.Remote{URL: dir + "/none"}, Path: "."}, ""},
		{"no such branch", Git{Remote: git.Remote{URL: dir, Branch: "nope"}, Path: "."}, "has no branch nope"},
		{"no such path", Git{Remote: git.Remote{URL: dir, Branch: "main"}, Path: "nope"}, "nope"},
	} {
		err := NewManifests(&test.git, func(string) {}).Start(t.Context())
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want %q", test.name, err, test.want)
		}
	}
	if err := NewManifests(Directory{filepath.Join(dir, "none")}, func(string) {}).Start(t.Context()); err == nil {
		t.Error("a directory that does not exist: got no error, want one")
	}
}

// The status lists the faults of broken files one by one.
func TestBrokenFilesInStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t, registrytest.New(t), "  []\n")
	var faults []string
	for i := range 7 {
		faults = append(faults, fmt.Sprintf("- dmpa%d: {}\n", i))
	}
	r.write(strings.Join(faults, ""))
	if _, err := r.auditor.manifests.since(t.Context(), time.Now()); err == nil {
		t.Fatal("got no error of broken files, want one")
	}
	_, text := r.get("/api/status")
	var st status
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		t.Fatal(err)
	}
	if n := len(st.Manifests.Faults); n != maxFaults+1 || !strings.Contains(st.Manifests.Faults[0], "promote.yaml:6:") || !strings.HasPrefix(st.Manifests.Faults[maxFaults], "and ") {
		t.Errorf("got faults %q, want %d with their lines, and how many more there are", st.Manifests.Faults, maxFaults)
	}
	if want := "the manifests are broken: " + strings.Join(st.Manifests.Faults, "; "); st.Manifests.Error != want {
		t.Errorf("got error %q, want %q", st.Manifests.Error, want)
	}
}
