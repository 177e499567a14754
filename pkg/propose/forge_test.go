package propose_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/propose"
)

func TestSiteOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]propose.Site{
		"https://github.com/team/up.git":          {Host: "github.com", Path: "team/up"},
		"https://GitHub.com:443/team/up/":         {Host: "github.com", Path: "team/up"},
		"ssh://git@github.com:22/team/up.git":     {Host: "github.com", Path: "team/up"},
		"git@github.com:team/up.git":              {Host: "github.com", Path: "team/up"},
		"work:team/up":                            {Host: "work", Path: "team/up"},
		"git@gitlab.example.com:group/sub/up.git": {Host: "gitlab.example.com", Path: "group/sub/up"},
		"/srv/git/team/up.git":                    {Path: "srv/git/team/up"},
		"file:///srv/git/team/up.git":             {Path: "srv/git/team/up"},
		"://":                                     {},
	} {
		if got := propose.SiteOf(address); got != want {
			t.Errorf("SiteOf(%s): got %+v, want %+v", address, got, want)
		}
	}
}

func TestForkOf(t *testing.T) {
	t.Parallel()
	mine := git.Address{Fetch: "https://github.com/Me/up", Push: "git@github.com:Me/up.git"}
	for name, tc := range map[string]struct {
		base    git.Address
		fork    string
		remotes []git.Address
		want    string
		err     string
	}{
		"the same name":      {git.Address{Fetch: "https://github.com/team/up.git"}, "me", nil, "https://github.com/me/up.git", ""},
		"another name":       {git.Address{Fetch: "https://github.com/team/up"}, "me/my-up", nil, "https://github.com/me/my-up", ""},
		"ssh":                {git.Address{Fetch: "git@github.com:team/up.git"}, "me", nil, "git@github.com:me/up.git", ""},
		"as it is pushed to": {git.Address{Fetch: "https://github.com/team/up", Push: "git@github.com:team/up"}, "me", nil, "git@github.com:me/up", ""},
		"a remote":           {git.Address{Fetch: "https://github.com/team/up.git"}, "me", []git.Address{{Fetch: "x"}, mine}, mine.Push, ""},
		"on disk":            {git.Address{Fetch: "/srv/team/up.git"}, "me", []git.Address{mine}, "/srv/me/up.git", ""},
		"bad":                {git.Address{Fetch: "https://github.com/team/up.git"}, "me/../x", nil, "", "bad --fork"},
		"above":              {git.Address{Fetch: "https://github.com/team/up.git"}, "..", nil, "", "bad --fork"},
		"above, by name":     {git.Address{Fetch: "https://github.com/team/up.git"}, "me/..", nil, "", "bad --fork"},
		"no owner":           {git.Address{Fetch: "up.git"}, "me", nil, "", "has no owner"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := propose.ForkOf(tc.base, tc.fork, tc.remotes)
			if got.Pushed() != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %s, %v, want %s, %q", got.Pushed(), err, tc.want, tc.err)
			}
		})
	}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// The host says which forge a repository is on, and whether a token may be sent to it.
func TestNewForge(t *testing.T) {
	t.Parallel()
	const ours = "GITHUB_TOKEN"
	for name, tc := range map[string]struct {
		address, kind string
		write         bool
		getenv        func(string) string
		want          string // type of the forge
		login         string
		err           string
	}{
		"github":                  {"https://github.com/team/up", "", true, env(ours, token), "*propose.gitHub", "https://github.com/", ""},
		"github by ssh":           {"git@github.com:team/up", "", true, env(ours, token), "*propose.gitHub", "", ""},
		"github by ssh, port 443": {"ssh://git@ssh.github.com:443/team/up.git", "", true, env(ours, token), "*propose.gitHub", "", ""},
		"a dry run":               {"https://github.com/team/up", "", false, env(), "*propose.gitHub", "", ""},
		"no token":                {"https://github.com/team/up", "", true, env(), "", "", "GITHUB_TOKEN is not set"},
		"a server of one's own":   {"https://git.example:8443/team/up", "", true, env(ours, token, "GITHUB_API_URL", "https://git.example:8443/api/v3"), "*propose.gitHub", "https://git.example:8443/", ""},
		"plain http":              {"http://github.com/team/up", "", true, env(ours, token), "*propose.gitHub", "", ""},
		"api over plain http":     {"https://git.example/team/up", "", true, env(ours, token, "GITHUB_API_URL", "http://git.example/api/v3"), "", "", "bad GITHUB_API_URL"},
		"api with a password":     {"https://git.example/team/up", "", true, env(ours, token, "GITHUB_API_URL", "https://a:b@git.example/"), "", "", "bad GITHUB_API_URL"},
		"an alias":                {"work:up", "github", true, env(ours, token, "GITHUB_REPOSITORY", "team/up"), "*propose.gitHub", "", ""},
		"an alias without names":  {"work:up", "github", true, env(ours, token), "", "", "set GITHUB_REPOSITORY"},
		"an alias of the API":     {"work:up", "github", true, env(ours, token, "GITHUB_REPOSITORY", "../up"), "", "", "set GITHUB_REPOSITORY"},
		"a line after the token":  {"https://github.com/team/up", "", true, env(ours, token+"\n"), "*propose.gitHub", "https://github.com/", ""},
		"two lines":               {"https://github.com/team/up", "", true, env(ours, token+"\nx"), "", "", "bad GITHUB_TOKEN"},
		"gitlab":                  {"https://gitlab.com/group/sub/up", "", true, env(ours, token), "*propose.gitLab", "", ""},
		"gitlab in its own job":   {"https://code.example/group/up", "", true, env("CI_SERVER_HOST", "code.example"), "*propose.gitLab", "", ""},
		"another":                 {"https://code.example/team/up", "", true, env(ours, token), "propose.noForge", "", ""},
		"on disk":                 {"/srv/team/up", "", true, env(ours, token), "propose.noForge", "", ""},
		"none":                    {"https://github.com/team/up", "none", true, env(ours, token), "propose.noForge", "", ""},
		"unknown":                 {"https://github.com/team/up", "gerrit", true, env(ours, token), "", "", "bad --forge"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := git.Address{Fetch: tc.address}
			forge, login, err := propose.NewForge(propose.Place{Kind: tc.kind, Base: at, Push: at, Write: tc.write, Getenv: tc.getenv})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), token) {
					t.Errorf("got %v, want an error with %q", err, tc.err)
				}
				return
			}
			got := ""
			if login != nil {
				got = login.URL
			}
			if kind := fmt.Sprintf("%T", forge); err != nil || kind != tc.want || got != tc.login {
				t.Errorf("got %s, login for %q, %v, want %s, %q", kind, got, err, tc.want, tc.login)
			}
		})
	}
}

// A fork of the same owner is named by head_repo.
func TestGitHubForkOfSameOwner(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	fork := gittest.In(t, filepath.Join(filepath.Dir(g.up.Dir), "copy.git"))
	fork.Ref("refs/heads/cip/apple-1", fork.Commit(1, map[string]string{list: "x"}))
	g.github = gittest.NewGitHub(t, token, map[string]*gittest.Repository{"team/up": g.up, "team/copy": fork})
	base, push := git.Address{Fetch: g.url + "/team/up.git"}, git.Address{Fetch: g.url + "/team/copy.git"}
	forge, _, err := propose.NewForge(propose.Place{Base: base, Push: push, Write: true, Getenv: env("GITHUB_TOKEN", token, "GITHUB_API_URL", g.github.URL)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds the first
		opened, err := forge.Open(t.Context(), proposal("new"), propose.Head{Branch: "cip/apple-1", Into: "main", Pushed: true})
		if err != nil || opened.URL != "https://github.example/team/up/pull/1" {
			t.Errorf("got %+v, %v, want the pull request", opened, err)
		}
	}
	if got := g.github.Pulls(); len(got) != 1 || got[0].From != "team/copy" {
		t.Errorf("got %+v, want one pull request from team/copy", got)
	}
}

// A token follows no redirect to another host.
func TestGitHubRedirect(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("got a request with %q at another host, want none", r.Header.Get("Authorization"))
	}))
	t.Cleanup(other.Close)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(api.Close)
	at := git.Address{Fetch: "http://127.0.0.1/team/up"}
	forge, _, err := propose.NewForge(propose.Place{Base: at, Push: at, Write: true, Getenv: env("GITHUB_TOKEN", token, "GITHUB_API_URL", api.URL)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forge.Requests(t.Context(), propose.Head{Branch: "x"}); err == nil || !strings.Contains(err.Error(), "the server redirects to") || strings.Contains(err.Error(), token) {
		t.Errorf("Requests: got %v, want an error about the redirect", err)
	}
	if _, err := forge.Open(t.Context(), proposal("new"), propose.Head{Branch: "x"}); err == nil || !strings.Contains(err.Error(), "the server redirects to") {
		t.Errorf("Open: got %v, want an error about the redirect", err)
	}
}

// An error has what GitHub says about it, and an answer that is not one is an error.
func TestGitHubAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status     int
		body, want string
	}{
		"details":   {422, `{"message": "Validation Failed", "errors": [{"field": "base", "code": "invalid"}, {"message": "No commits"}, "no more"]}`, "422 Unprocessable Entity: Validation Failed: base invalid: No commits: no more"},
		"no JSON":   {502, "<html>" + token, "502 Bad Gateway"},
		"not there": {404, `{"message": "Not Found"}`, "404 Not Found: Not Found"},
		"a page":    {200, "<html>", "parsing the answer: invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("User-Agent") + r.Header.Get("Accept") + r.Header.Get("X-GitHub-Api-Version"); got != "cip/testapplication/vnd.github+json2022-11-28" {
					t.Errorf("got headers %s, want those of the API", got)
				}
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			t.Cleanup(s.Close)
			at := git.Address{Fetch: "http://127.0.0.1/team/up"}
			forge, _, err := propose.NewForge(propose.Place{Base: at, Push: at, UserAgent: "cip/test", Write: true, Getenv: env("GITHUB_TOKEN", token, "GITHUB_API_URL", s.URL)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := forge.Requests(t.Context(), propose.Head{Branch: "x"}); err == nil || !strings.Contains(err.Error(), "listing the pull requests of team/up: "+tc.want) || strings.Contains(err.Error(), token) {
				t.Errorf("Requests: got %v, want an error with %q", err, tc.want)
			}
			if _, err := forge.Open(t.Context(), proposal("new"), propose.Head{Branch: "x"}); err == nil || !strings.Contains(err.Error(), "opening a pull request in team/up: "+tc.want) {
				t.Errorf("Open: got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

// GitLab opens a merge request because of push options, which a hook prints here.
func TestGitLab(t *testing.T) {
	t.Parallel()
	up := gittest.New(t)
	up.Branch("main", up.Commit(1, map[string]string{list: "one\ntwo\nthree\n"}))
	up.Set("receive", "", "advertisePushOptions", "true")
	gittest.Script(t, filepath.Join(up.Dir, "hooks/post-receive"), `cat >/dev/null
for i in $(seq 0 $((GIT_PUSH_OPTION_COUNT - 1))); do eval "printf '%s\n' \"\$GIT_PUSH_OPTION_$i\""; done
echo "View merge request for x:"
echo "  https://gitlab.example/team/up/-/merge_requests/7"
`)
	p, err := git.NewProgram(t.Context(), git.Setup{Env: gittest.Env(t, "robot")})
	if err != nil {
		t.Fatal(err)
	}
	at := git.Address{Fetch: up.Dir}
	named := git.Address{Fetch: "https://gitlab.example/team/up"}
	forge, _, err := propose.NewForge(propose.Place{Base: named, Push: git.Address{Fetch: "https://gitlab.example/me/up"}, Getenv: env()})
	if err != nil {
		t.Fatal(err)
	}
	draft, err := p.NewDraft(t.Context(), at, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = draft.Close() })
	w := &propose.Work{Draft: draft, Push: at, Forge: forge}
	proposed := proposal("new")
	proposed.Body, proposed.Draft = "Two\nlines.\n", true
	for run, want := range []propose.Outcome{{
		Opened: propose.Opened{URL: "https://gitlab.example/team/up/-/merge_requests/7"},
		Head: propose.Head{Branch: "cip/apple-1", Into: "main", Pushed: true, Said: "merge_request.create\nmerge_request.target=main\nmerge_request.title=Promote apple 1\nmerge_request.description=Two\\nlines.\n" +
			"merge_request.target_project=team/up\nmerge_request.draft\nView merge request for x:\nhttps://gitlab.example/team/up/-/merge_requests/7\n"},
	}, {
		Opened: propose.Opened{Note: "branch cip/apple-1 of https://gitlab.example/me/up had the change already: see its merge requests there, or at https://gitlab.example/team/up/-/merge_requests?source_branch=cip%2Fapple-1"},
		Head:   propose.Head{Branch: "cip/apple-1", Into: "main"},
	}} {
		plan, err := w.Plan(t.Context(), proposed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.Open(t.Context(), plan)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("run %d (-want +got), error %v:\n%s", run, err, diff)
		}
	}
	if _, err := forge.Open(t.Context(), proposed, propose.Head{Said: "WARNINGS:\nError encountered with push options 'merge_request.create': no\n", Pushed: true}); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("got %v, want the error that GitLab printed", err)
	}
	long := propose.Proposal{Body: strings.Repeat("line\n", 20_000)}
	for _, o := range forge.PushOptions(long, propose.Head{}) {
		if len(o) > 65_000 || strings.Contains(o, "\n") {
			t.Errorf("got an option of %d bytes, want fewer, in one line", len(o))
		}
	}
}

// A server without pull requests gets the branch alone.
func TestNoForge(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	w := g.work("")
	var err error
	if w.Forge, _, err = propose.NewForge(propose.Place{Kind: "none", Push: w.Push, Getenv: env()}); err != nil {
		t.Fatal(err)
	}
	plan, err := w.Plan(t.Context(), proposal("new"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.Open(t.Context(), plan)
	if err != nil || !out.Pushed || out.URL != "" || !strings.Contains(out.Note, "open a pull request there") || g.up.Branches()["cip/apple-1"] == "" {
		t.Errorf("got %+v, %v, want a branch and a note", out, err)
	}
}
