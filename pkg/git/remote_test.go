package git_test

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"

	"cip/internal/registrytest"
	"cip/pkg/git"
)

// serve serves the repository in dir by git's smart HTTP protocol (gitprotocol-http(5)).
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
		if err := answer.Encode(w); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/repo"
}

func TestFetch(t *testing.T) {
	t.Parallel()
	dir, copied := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), "first")
	commitAll(t, dir, "first")
	address := serve(t, dir)
	for _, m := range []git.Remote{
		{URL: address, Branch: "master", Dir: copied},
		{URL: address, Dir: copied},
		{URL: address},
		{URL: dir},
		{URL: "file://" + dir, Branch: "master"},
	} {
		write(t, filepath.Join(dir, "a.yaml"), "next "+m.URL+m.Branch+m.Dir)
		want := commitAll(t, dir, "next")
		r, head, err := m.Fetch(t.Context())
		if err != nil || head != want {
			t.Fatalf("%+v: got %s %v, want %s", m, head, err, want)
		}
		tree, err := r.FS(head, "")
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := fs.ReadFile(tree, "a.yaml"); err != nil || string(raw) != "next "+m.URL+m.Branch+m.Dir {
			t.Errorf("%+v: got %q %v", m, raw, err)
		}
	}
	secret := strings.Replace(address, "http://", "http://user:hunter2@", 1)
	for want, m := range map[string]git.Remote{
		"it is a copy of":     {URL: address + "x", Dir: copied},
		"none of http":        {URL: secret, Branch: "none"},
		"not in a git":        {URL: t.TempDir()},
		"opening git reposi":  {URL: filepath.Join(dir, "none")},
		"has no branch none":  {URL: dir, Branch: "none"},
		"repository not foun": {URL: secret + "/elsewhere"},
	} {
		if _, _, err := m.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: got %v, want %q", m, err, want)
		}
	}
}

// TestRemoteHidesCredentials fetches where nothing listens: what is said of it holds
// neither the password nor the name, which may be a token itself.
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
				t.Fatalf("%s: fetched", remote)
			}
			if text := m.String() + " " + err.Error(); strings.Contains(text, "SECRET") || !strings.Contains(text, "127.0.0.1:1/repo") {
				t.Errorf("%s: %s", remote, text)
			}
		}
	}
}

// TestServerRepeatsCredentials fetches from servers that repeat in their refusal what
// they were sent: none of it is in the error.
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
					_, _ = io.WriteString(w, strings.Join(sent, " ")) // the client may have gone
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
							t.Errorf("%q is in the error: %v", s, err)
						}
					}
				}
			})
		}
	}
}

// TestUnparsedURL names a remote whose URL cannot be parsed without its credentials.
func TestUnparsedURL(t *testing.T) {
	t.Parallel()
	m := git.Remote{URL: "https://robot:pl4nted%zz@git.example.com/repo"}
	if got, want := m.String(), "https://git.example.com/repo"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
