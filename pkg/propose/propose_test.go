package propose_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/propose"
)

const (
	token = "planted-token-0123456789"
	list  = "top/images.yaml"
)

// rig is a GitHub with the repository team/up and its fork me/up, both served over HTTP.
type rig struct {
	t        *testing.T
	github   *gittest.GitHub
	up, fork *gittest.Repository
	head     string // of the branch main
	url      string
	env      map[string]string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	g := &rig{t: t, up: gittest.In(t, filepath.Join(dir, "team/up.git")), fork: gittest.In(t, filepath.Join(dir, "me/up.git"))}
	g.head = g.up.Commit(1, map[string]string{list: "one\ntwo\nthree\n", "README": "text\n"})
	for _, r := range []*gittest.Repository{g.up, g.fork} {
		r.Set("http", "", "receivepack", "true")
	}
	g.up.Branch("main", g.head)
	g.github = gittest.NewGitHub(t, token, map[string]*gittest.Repository{"team/up": g.up, "me/up": g.fork})
	g.url = gittest.Serve(t, dir, token)
	g.env = map[string]string{"GITHUB_TOKEN": token, "GITHUB_API_URL": g.github.URL}
	return g
}

// proposal adds a line to the list.
func proposal(line string) propose.Proposal {
	return propose.Proposal{
		Files:  []git.FileChange{{Path: list, Before: []byte("one\ntwo\nthree\n"), After: []byte("one\n" + line + "\ntwo\nthree\n")}},
		Branch: "cip/apple-1", Title: "Promote apple 1", Body: "The plan.\n",
	}
}

// work begins work on the branch main, for the fork if there is one.
func (g *rig) work(fork string) *propose.Work {
	g.t.Helper()
	p, err := git.NewProgram(g.t.Context(), git.Setup{Env: gittest.Env(g.t, "robot")})
	if err != nil {
		g.t.Fatal(err)
	}
	base, err := p.Remote(g.url + "/team/up.git")
	if err != nil {
		g.t.Fatal(err)
	}
	push := base
	if fork != "" {
		if push, err = propose.ForkOf(base, fork, nil); err != nil {
			g.t.Fatal(err)
		}
	}
	forge, login, err := propose.NewForge(propose.Place{
		Base: base, Push: push, UserAgent: "cip/test", Write: true, Getenv: func(name string) string { return g.env[name] },
	})
	if err != nil || login == nil {
		g.t.Fatalf("NewForge: got login %v, error %v, want a login", login, err)
	}
	p.Use(*login)
	draft, err := p.NewDraft(g.t.Context(), base, "main")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = draft.Close() })
	return &propose.Work{Draft: draft, Push: push, Forge: forge}
}

// open plans a proposal and carries it out. It returns the branch.
func (g *rig) open(p propose.Proposal, fork string) (string, propose.Outcome, error) {
	g.t.Helper()
	w := g.work(fork)
	plan, err := w.Plan(g.t.Context(), p)
	if err != nil {
		g.t.Fatal(err)
	}
	out, err := w.Open(g.t.Context(), plan)
	if err != nil && strings.Contains(err.Error(), token) {
		g.t.Errorf("got an error with the token: %v", err)
	}
	return plan.Branch, out, err
}

func (g *rig) opened(p propose.Proposal, fork string) (string, propose.Outcome) {
	g.t.Helper()
	branch, out, err := g.open(p, fork)
	if err != nil {
		g.t.Fatal(err)
	}
	return branch, out
}

func TestOpen(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	p := proposal("new")
	p.SignOff, p.Draft = true, true
	branch, out := g.opened(p, "")
	want := gittest.Pull{
		In: "team/up", From: "team/up", Branch: "cip/apple-1", Base: "main", Title: "Promote apple 1", Body: "The plan.\n", Draft: true, State: "open",
		URL: "https://github.example/team/up/pull/1",
	}
	if diff := cmp.Diff([]gittest.Pull{want}, g.github.Pulls(), cmp.AllowUnexported(gittest.Pull{})); diff != "" {
		t.Errorf("pull requests (-want +got):\n%s", diff)
	}
	if branch != want.Branch || out.URL != want.URL || !out.Pushed {
		t.Errorf("got %s, %+v, want %s and %s", branch, out, want.Branch, want.URL)
	}
	if got := g.up.Read(g.up.Branches()[branch]).Message; got != "Promote apple 1\n\nSigned-off-by: robot <robot@example.com>\n" {
		t.Errorf("got message %q, want a title and a sign-off", got)
	}
}

func TestOpenFromFork(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for range 2 {
		branch, out := g.opened(proposal("new"), "me")
		if out.URL != "https://github.example/team/up/pull/1" || g.fork.Branches()[branch] == "" || len(g.up.Branches()) != 1 {
			t.Errorf("got %+v, branches %v of the fork and %v, want the branch in the fork", out, g.fork.Branches(), g.up.Branches())
		}
	}
	if got := g.github.Pulls(); len(got) != 1 || got[0].From != "me/up" {
		t.Errorf("got %+v, want one pull request from the fork", got)
	}
}

// What there is decides whether a branch is used again.
func TestOpenAgain(t *testing.T) {
	t.Parallel()
	const url = "https://github.example/team/up/pull/"
	p := proposal("new")
	for name, tc := range map[string]struct {
		before func(g *rig)
		branch string
		pushed bool
		url    string
		pulls  int
	}{
		"nothing":     {func(*rig) {}, "cip/apple-1", true, url + "1", 1},
		"an open one": {func(g *rig) { g.opened(p, "") }, "cip/apple-1", false, url + "1", 1},
		"an open one, and the base moved": {func(g *rig) {
			g.opened(p, "")
			g.up.Branch("main", g.up.Commit(2, map[string]string{list: "one\ntwo\nthree\nfour\n"}, g.head))
		}, "cip/apple-1", false, url + "1", 1},
		"a closed one": {func(g *rig) { g.opened(p, ""); g.github.Close(1) }, "cip/apple-1-2", true, url + "2", 2},
		"a closed and an open one": {func(g *rig) {
			g.opened(p, "")
			g.github.Close(1)
			g.opened(p, "")
		}, "cip/apple-1-2", false, url + "2", 2},
		"a closed one of a branch that was removed": {func(g *rig) {
			g.opened(p, "")
			g.github.Close(1)
			g.up.Remove("refs/heads/cip/apple-1")
		}, "cip/apple-1", true, url + "2", 2},
		"an open one with other content": {func(g *rig) { g.opened(proposal("other"), "") }, "cip/apple-1-2", true, url + "2", 2},
		"a branch without a pull request": {func(g *rig) {
			g.up.Ref("refs/heads/cip/apple-1", g.up.Commit(2, map[string]string{list: "one\nnew\ntwo\nthree\n", "README": "text\n"}, g.head))
		}, "cip/apple-1", false, url + "1", 1},
		"the same, and the base moved": {func(g *rig) {
			g.up.Ref("refs/heads/cip/apple-1", g.up.Commit(2, map[string]string{list: "one\nnew\ntwo\nthree\n", "README": "text\n"}, g.head))
			g.up.Branch("main", g.up.Commit(3, map[string]string{list: "one\ntwo\nthree\nfour\n"}, g.head))
		}, "cip/apple-1", false, url + "1", 1},
		"a branch with more commits than its change": {func(g *rig) {
			extra := g.up.Commit(2, map[string]string{list: "one\ntwo\nthree\n", "evil": "x"}, g.head)
			g.up.Ref("refs/heads/cip/apple-1", g.up.Commit(3, map[string]string{list: "one\nnew\ntwo\nthree\n", "evil": "x"}, extra))
		}, "cip/apple-1-2", true, url + "1", 1},
		"a branch that changes more": {func(g *rig) {
			g.up.Ref("refs/heads/cip/apple-1", g.up.Commit(2, map[string]string{list: "one\nnew\ntwo\nthree\n"}, g.head))
		}, "cip/apple-1-2", true, url + "1", 1},
		"a branch with another history": {func(g *rig) {
			g.up.Ref("refs/heads/cip/apple-1", g.up.Commit(2, map[string]string{list: "new\n"}))
			g.up.Ref("refs/heads/cip/apple-1-x", g.head)
			g.up.Ref("refs/heads/cip/apple-1-0", g.head)
			g.up.Ref("refs/heads/cip/apple-1-3", g.head)
		}, "cip/apple-1-2", true, url + "1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			tc.before(g)
			wanted := p
			if files, err := git.Open(g.up.Dir); err != nil {
				t.Fatal(err)
			} else if head, err := files.Resolve("main"); err != nil {
				t.Fatal(err)
			} else if head != g.head {
				wanted.Files = []git.FileChange{{Path: list, Before: []byte("one\ntwo\nthree\nfour\n"), After: []byte("one\nnew\ntwo\nthree\nfour\n")}}
			}
			branch, out := g.opened(wanted, "")
			if branch != tc.branch || out.Pushed != tc.pushed || out.URL != tc.url {
				t.Errorf("got branch %s, pushed %t, %s, want %s, %t, %s", branch, out.Pushed, out.URL, tc.branch, tc.pushed, tc.url)
			}
			if got := g.github.Pulls(); len(got) != tc.pulls {
				t.Errorf("got %+v, want %d pull requests", got, tc.pulls)
			}
		})
	}
}

// A dry run says what a real one does, for each plan and forge.
func TestPreview(t *testing.T) {
	t.Parallel()
	const opens, pushes = "--confirm pushes branch b and opens the pull request", "--confirm pushes branch b and opens no pull request"
	for name, tc := range map[string]struct {
		kind string
		plan propose.Plan
		want string
	}{
		"GitHub":                      {"github", propose.Plan{}, opens},
		"GitLab":                      {"gitlab", propose.Plan{}, opens},
		"no forge":                    {"none", propose.Plan{}, pushes},
		"an unknown host":             {"", propose.Plan{}, pushes},
		"a branch is there":           {"github", propose.Plan{Commit: "c"}, "--confirm opens the pull request of branch b, which has this change already"},
		"a branch is there, no forge": {"none", propose.Plan{Commit: "c"}, "branch b has this change already"},
		"a pull request is open":      {"github", propose.Plan{Commit: "c", URL: "u"}, "the pull request of branch b is open already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := git.Address{Fetch: "https://git.example/team/up.git"}
			forge, _, err := propose.NewForge(propose.Place{Kind: tc.kind, Base: at, Push: at, Getenv: func(string) string { return "" }})
			if err != nil {
				t.Fatal(err)
			}
			tc.plan.Branch = "b"
			if got := (&propose.Work{Forge: forge}).Preview(&tc.plan); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// A plan writes nothing.
func TestPlan(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	w := g.work("")
	plan, err := w.Plan(t.Context(), proposal("new"))
	if err != nil || plan.Branch != "cip/apple-1" || plan.Commit != "" || plan.URL != "" {
		t.Errorf("got %+v, %v, want a new branch", plan, err)
	}
	if got := g.up.Branches(); len(got) != 1 || len(g.github.Pulls()) != 0 {
		t.Errorf("got branches %v, want main alone, and no pull request", got)
	}
}

// A branch whose pull request could not be opened stays, and the next run opens it.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusBadGateway} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			g.github.Fail(http.MethodPost, status)
			branch, out, err := g.open(proposal("new"), "")
			if err == nil || branch != "cip/apple-1" || !out.Pushed || out.URL != "" {
				t.Fatalf("got %+v, %v, branch %q, want an error and the pushed branch cip/apple-1", out, err, branch)
			}
			if !strings.Contains(err.Error(), "branch cip/apple-1 is pushed") || !strings.Contains(err.Error(), http.StatusText(status)) && !strings.Contains(err.Error(), "status of the test") {
				t.Errorf("got %v, want the branch and the reason", err)
			}
			g.github.Fail(http.MethodPost, 0)
			if branch, out := g.opened(proposal("new"), ""); branch != "cip/apple-1" || out.Pushed || out.URL == "" || len(g.github.Pulls()) != 1 {
				t.Errorf("second run: got %s, %+v, want a pull request of the same branch", branch, out)
			}
		})
	}
}

// A failed list of pull requests is never an empty one.
func TestPlanFails(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.opened(proposal("new"), "")
	g.github.Fail(http.MethodGet, http.StatusBadGateway)
	if plan, err := g.work("").Plan(t.Context(), proposal("new")); err == nil || !strings.Contains(err.Error(), "listing the pull requests of team/up") || strings.Contains(err.Error(), token) {
		t.Errorf("got %+v, %v, want an error without the token", plan, err)
	}
}

func TestPushRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	gittest.Script(t, filepath.Join(g.up.Dir, "hooks/pre-receive"), "echo no branches today\nexit 1\n")
	_, out, err := g.open(proposal("new"), "")
	if !errors.Is(err, git.ErrRefused) || !strings.Contains(out.Said, "no branches today") || len(g.github.Pulls()) != 0 {
		t.Errorf("got %+v, %v, want ErrRefused and what the hook printed", out, err)
	}
	if err := os.Remove(filepath.Join(g.up.Dir, "hooks/pre-receive")); err != nil {
		t.Fatal(err)
	}
	if _, out := g.opened(proposal("new"), ""); out.URL == "" {
		t.Errorf("second run: got %+v, want a pull request", out)
	}
}
