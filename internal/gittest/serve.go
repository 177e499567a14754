package gittest

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Env returns an environment for the git program in which no settings of the machine
// apply. With a name, commits have an author.
func Env(t testing.TB, name string, more ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skipf("the git program is needed: %v", err)
	}
	config := filepath.Join(t.TempDir(), "config")
	text := ""
	if name != "" {
		text = "[user]\n\tname = " + name + "\n\temail = " + name + "@example.com\n"
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(config),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + config, "GIT_TERMINAL_PROMPT=0",
	}, more...)
}

// Serve serves the repositories below a directory over HTTP, to fetch and push, for
// requests with a password. Others are repeated what they sent. It returns the URL.
func Serve(t testing.TB, dir, password string) string {
	t.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Skipf("the git program is needed: %v", err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"), Dir: dir,
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "REMOTE_USER=someone"},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, got, _ := r.BasicAuth(); got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "not with "+r.Header.Get("Authorization")+", which is "+got, http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Branches returns the commit ids of all branches.
func (r *Repository) Branches() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	refs, err := r.disk.IterReferences()
	r.must(err)
	r.must(refs.ForEach(func(ref *plumbing.Reference) error {
		if ref.Name().IsBranch() {
			all[ref.Name().Short()] = ref.Hash().String()
		}
		return nil
	}))
	return all
}

// Set adds a variable to the repository's configuration.
func (r *Repository) Set(section, subsection, key, value string) {
	r.t.Helper()
	head := "[" + section + "]"
	if subsection != "" {
		head = "[" + section + " " + strconv.Quote(subsection) + "]"
	}
	f, err := os.OpenFile(filepath.Join(r.Dir, "config"), os.O_APPEND|os.O_WRONLY, 0)
	r.must(err)
	_, err = fmt.Fprintf(f, "%s\n\t%s = %q\n", head, key, value)
	r.must(err)
	r.must(f.Close())
}

// Read returns a commit.
func (r *Repository) Read(id string) *object.Commit {
	r.t.Helper()
	c, err := object.GetCommit(r.disk, plumbing.NewHash(id))
	r.must(err)
	return c
}

// Script writes a program for the shell and returns its path.
//
// No process that another test starts at the same time inherits the open file: Linux
// would not run it.
func Script(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Remove removes a reference.
func (r *Repository) Remove(name string) {
	r.t.Helper()
	r.must(r.disk.RemoveReference(plumbing.ReferenceName(name)))
}
