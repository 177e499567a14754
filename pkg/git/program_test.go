package git_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

const token = "planted-token-0123456789"

// spy returns a git program that writes its arguments into a file.
func spy(t *testing.T) (program string, args func() string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "args")
	script := "printf '%s\\n' \"$*\" >>" + file + "\nexec git \"$@\"\n"
	return gittest.Script(t, filepath.Join(dir, "git"), script), func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

// A login serves its host, whether it is given or in a remote's URL, and is in no
// argument, file or error.
func TestLogin(t *testing.T) {
	t.Parallel()
	r, _, head := upstream(t)
	r.Set("http", "", "receivepack", "true")
	url := gittest.Serve(t, filepath.Dir(r.Dir), token)
	address := url + "/" + filepath.Base(r.Dir)
	clone := gittest.New(t)
	clone.Set("remote", "origin", "url", strings.Replace(address, "://", "://robot:"+token+"@", 1))
	clone.Set("remote", "plain", "url", address)
	stale := []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http." + url + "/.extraheader", "GIT_CONFIG_VALUE_0=Authorization: Basic b2xk"}
	for name, tc := range map[string]struct {
		remote, password string
		env              []string
	}{
		"in the URL":            {"origin", "", nil},
		"given":                 {"plain", token, nil},
		"instead of old ones":   {"plain", token, stale},
		"the URL's comes first": {"origin", "other-token-0123456789", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spied, args := spy(t)
			p, err := git.NewProgram(t.Context(), git.Setup{Clone: clone.Dir, Env: gittest.Env(t, "robot", tc.env...), Git: spied})
			if err != nil {
				t.Fatal(err)
			}
			at, err := p.Remote(tc.remote)
			if err != nil {
				t.Fatal(err)
			}
			if tc.password != "" {
				p.Use(git.Login{URL: url + "/", User: "x-access-token", Password: tc.password})
			}
			d, err := p.NewDraft(t.Context(), at, "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			if d.Base != head || at.Fetch != address {
				t.Errorf("got %s of %s, want %s of %s", d.Base, at, head, address)
			}
			commit, err := d.Commit(t.Context(), []git.FileChange{{Path: "c", After: []byte(name)}}, name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Push(t.Context(), at, commit, strings.ReplaceAll(name, " ", "-"), nil); err != nil {
				t.Fatal(err)
			}
			if text := args(); strings.Contains(text, token) || !strings.Contains(text, "push") {
				t.Errorf("got arguments with the token or without a push:\n%s", text)
			}
		})
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	r, _, _ := upstream(t)
	url := gittest.Serve(t, filepath.Dir(r.Dir), "another")
	p := program(t, "", gittest.Env(t, "robot"))
	at, err := p.Remote(strings.Replace(url, "://", "://robot:"+token+"@", 1) + "/" + filepath.Base(r.Dir))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.NewDraft(t.Context(), at, "main")
	if err == nil || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte("robot:"+token))) ||
		!strings.Contains(err.Error(), "fetching branch main") {
		t.Errorf("got %v, want an error without the token", err)
	}
}

func TestRemote(t *testing.T) {
	t.Parallel()
	clone := gittest.New(t)
	clone.Set("remote", "origin", "url", "../up.git")
	clone.Set("remote", "mine", "url", "https://robot@git.example/me/up")
	clone.Set("remote", "mine", "pushurl", "git@git.example:me/up.git")
	p := program(t, clone.Dir, gittest.Env(t, "robot"))
	up := git.Address{Fetch: filepath.Join(filepath.Dir(clone.Dir), "up.git")}
	mine := git.Address{Fetch: "https://git.example/me/up", Push: "git@git.example:me/up.git"}
	for name, want := range map[string]git.Address{
		"origin": up, "mine": mine, "ssh://git@git.example/a/b": {Fetch: "ssh://git@git.example/a/b"}, "/a/b": {Fetch: "/a/b"},
	} {
		if got, err := p.Remote(name); got != want || err != nil {
			t.Errorf("Remote(%s): got %v, %v, want %v", name, got, err, want)
		}
	}
	if _, err := p.Remote("none"); err == nil || !strings.Contains(err.Error(), `no remote "none"`) {
		t.Errorf("got %v, want an error that names the remote", err)
	}
	if diff := cmp.Diff([]git.Address{up, mine}, p.Remotes()); diff != "" {
		t.Errorf("remotes (-want +got):\n%s", diff)
	}
	if got := mine.Pushed(); got != mine.Push {
		t.Errorf("got %s, want %s", got, mine.Push)
	}
}
