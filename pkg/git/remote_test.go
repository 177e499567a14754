package git_test

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
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
	url := serve(t, dir)
	for _, m := range []git.Remote{
		{URL: url, Branch: "master", Dir: copied},
		{URL: url, Dir: copied},
		{URL: url},
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
	secret := strings.Replace(url, "http://", "http://user:hunter2@", 1)
	for want, m := range map[string]git.Remote{
		"it is a copy of":     {URL: url + "x", Dir: copied},
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
