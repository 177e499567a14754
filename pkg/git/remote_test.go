package git_test

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// serve serves the repository in dir over HTTP (gitprotocol-http(5)).
func serve(t *testing.T, dir string) string {
	t.Helper()
	from := server.NewServer(server.NewFilesystemLoader(osfs.New(dir)))
	mux := http.NewServeMux()
	session := func() transport.UploadPackSession {
		s, err := from.NewUploadPackSession(&transport.Endpoint{Path: ".git"}, nil)
		if err != nil {
			t.Error(err)
		}
		return s
	}
	mux.HandleFunc("GET /repo/info/refs", func(w http.ResponseWriter, r *http.Request) {
		refs, err := session().AdvertisedReferencesContext(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		refs.Prefix = [][]byte{[]byte("# service=git-upload-pack"), nil}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		if err := refs.Encode(w); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /repo/git-upload-pack", func(w http.ResponseWriter, r *http.Request) {
		req := packp.NewUploadPackRequest()
		if err := req.Decode(r.Body); err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		answer, err := session().UploadPack(r.Context(), req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = answer.Encode(w) // the client may close the connection
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/repo"
}

// A git server is not trusted: the size and the duration of its answers are bounded.
func TestFetchIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	write(t, filepath.Join(dir, "large"), string(noise))
	gittest.CommitAll(t, dir)
	fine := serve(t, dir)
	flood := func(line string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, "001e# service=git-upload-pack\n0000")
			first := strings.Repeat("a", 40) + " refs/heads/a\x00 \n"
			_, _ = fmt.Fprintf(w, "%04x%s", len(first)+4, first)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, line); err != nil {
					return
				}
			}
		}
	}
	silent := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "001e# service=git-upload-pack\n0000")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	hung := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	const line = "003eaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa refs/heads/large\n"
	tests := map[string]struct {
		serve  http.HandlerFunc
		limits git.Limits
		want   string
	}{
		"endless branches": {flood(line), git.Limits{Refs: 1 << 20}, "the server sent more than 1 MiB of branches and tags"},
		"a large pack":     {nil, git.Limits{Pack: 1 << 20}, "the server sent more than 1 MiB of commits and files"},
		"silence":          {silent, git.Limits{Silence: 50 * time.Millisecond}, "the server sent nothing for 50ms"},
		"no answer":        {hung, git.Limits{Silence: 50 * time.Millisecond}, "the server sent nothing for 50ms"},
		"no end":           {flood(line), git.Limits{Refs: 1 << 40, Total: 100 * time.Millisecond}, "the server took more than 100ms"},
		"within limits":    {nil, git.Limits{}, ""},
	}
	for name, tc := range tests {
		for _, copied := range []string{"", t.TempDir()} {
			t.Run(name+" on disk "+strconv.FormatBool(copied != ""), func(t *testing.T) {
				t.Parallel()
				url := fine
				if tc.serve != nil {
					s := httptest.NewServer(tc.serve)
					t.Cleanup(s.Close)
					url = s.URL
				}
				m := git.Remote{URL: url, Branch: "master", Limits: tc.limits}
				if copied != "" {
					m.Dir = t.TempDir()
				}
				_, _, err := m.Fetch(t.Context())
				if tc.want == "" {
					if err != nil {
						t.Errorf("error %v, want none", err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), url) {
					t.Errorf("error %v, want one that says %q and names %s", err, tc.want, url)
				}
				if left, _ := filepath.Glob(m.Dir + "/objects/pack/*"); m.Dir != "" && len(left) > 0 {
					t.Errorf("left behind: %q, want nothing", left)
				}
			})
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	dir, copied := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), "first")
	gittest.CommitAll(t, dir)
	address := serve(t, dir)
	for _, m := range []git.Remote{
		{URL: address, Branch: "master", Dir: copied},
		{URL: address, Dir: copied},
		{URL: address},
		{URL: dir},
		{URL: "file://" + dir, Branch: "master"},
	} {
		write(t, filepath.Join(dir, "a.yaml"), "next "+m.URL+m.Branch+m.Dir)
		want := gittest.CommitAll(t, dir)
		r, head, err := m.Fetch(t.Context())
		if err != nil || head != want {
			t.Fatalf("%+v: got %s %v, want %s", m, head, err, want)
		}
		tree, err := r.FS(head, "")
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := fs.ReadFile(tree, "a.yaml"); err != nil || string(raw) != "next "+m.URL+m.Branch+m.Dir {
			t.Errorf("%+v: got %q, %v, want %q", m, raw, err, "next "+m.URL+m.Branch+m.Dir)
		}
	}
	secret := strings.Replace(address, "http://", "http://user:hunter2@", 1)
	for want, m := range map[string]git.Remote{
		"it is a copy of":          {URL: address + "x", Dir: copied},
		"/repo has no branch none": {URL: secret, Branch: "none"},
		"not in a git":             {URL: t.TempDir()},
		"opening git reposi":       {URL: filepath.Join(dir, "none")},
		"has no branch none":       {URL: dir, Branch: "none"},
		"repository not foun":      {URL: secret + "/elsewhere"},
	} {
		if _, _, err := m.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: got %v, want %q", m, err, want)
		}
	}
}

// An error has neither the password nor the user name, which may be a token.
func TestRemoteHidesCredentials(t *testing.T) {
	t.Parallel()
	for _, remote := range []string{
		"http://SECRET@127.0.0.1:1/repo", "http://SECRET:x-oauth-basic@127.0.0.1:1/repo", "http://user:SECRET@127.0.0.1:1/repo",
		"http://SECRET:SECRET@127.0.0.1:1/repo", "ssh://git:SECRET@127.0.0.1:1/repo",
	} {
		for _, branch := range []string{"", "main"} {
			m := git.Remote{URL: remote, Branch: branch}
			_, _, err := m.Fetch(t.Context())
			if err == nil {
				t.Fatalf("%s: got no error, want one", remote)
			}
			if text := m.String() + " " + err.Error(); strings.Contains(text, "SECRET") || !strings.Contains(text, "127.0.0.1:1/repo") {
				t.Errorf("%s: got %s, want 127.0.0.1:1/repo named, without SECRET", remote, text)
			}
		}
	}
}

// A server may repeat the credentials in its answer, but the error does not have them.
func TestServerRepeatsCredentials(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]*url.Userinfo{
		"name and password": url.UserPassword("robot", "pl4nted/pass+word"),
		"a token as name":   url.User("pl4nted-token"),
	} {
		for _, status := range []int{400, 401, 403, 404, 500} {
			t.Run(fmt.Sprintf("%s, %d", name, status), func(t *testing.T) {
				t.Parallel()
				var sent []string
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					sent = registrytest.Spellings(r)
					w.Header().Set("Content-Type", "text/plain")
					w.WriteHeader(status)
					_, _ = io.WriteString(w, strings.Join(sent, " ")) // the client may have closed the connection
				}))
				t.Cleanup(s.Close)
				at, err := url.Parse(s.URL + "/repo")
				if err != nil {
					t.Fatal(err)
				}
				at.User = user
				for _, branch := range []string{"", "main"} {
					_, _, err := git.Remote{URL: at.String(), Branch: branch}.Fetch(t.Context())
					if err == nil || len(sent) == 0 {
						t.Fatalf("got %v with %d spellings sent, want an error of a request with credentials", err, len(sent))
					}
					for _, s := range sent {
						if strings.Contains(err.Error(), s) {
							t.Errorf("error: got %v, want it without %q", err, s)
						}
					}
				}
			})
		}
	}
}

// The name of a remote has no credentials, even if the URL cannot be parsed.
func TestUnparsedURL(t *testing.T) {
	t.Parallel()
	m := git.Remote{URL: "https://robot:pl4nted%zz@git.example.com/repo"}
	if got, want := m.String(), "https://git.example.com/repo"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
