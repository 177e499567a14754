package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// prToken is what no output, argument or file may show.
const prToken = "pl4nted-github-token-0123456789"

// prRig is a GitHub with a repository of manifests, a clone of it with changes that are
// not committed, and the registries that the manifests name.
type prRig struct {
	t          *testing.T
	up, fork   *gittest.Repository
	github     *gittest.GitHub
	clone      string
	staging    *rt.Server
	apple      rt.Object
	list, head string
	git        string // directory of a git program that writes down its arguments
	env        []string
}

func newPRRig(t *testing.T) *prRig {
	t.Helper()
	dir := t.TempDir()
	g := &prRig{t: t, staging: rt.New(t), clone: filepath.Join(dir, "clone"), git: filepath.Join(dir, "bin")}
	prod := rt.New(t)
	g.apple = rt.Image(1, 1)
	g.staging.Push(t, "staging/apple", g.apple, "1.0", "1.1")
	g.up, g.fork = gittest.In(t, filepath.Join(dir, "team/up.git")), gittest.In(t, filepath.Join(dir, "me/up.git"))
	for _, r := range []*gittest.Repository{g.up, g.fork} {
		r.Set("http", "", "receivepack", "true")
	}
	g.list = "# Ours.\n- name: apple # a fruit\n  dmap:\n    \"" + g.apple.Digest + "\": [\"1.0\"]\n\n- name:   pear\n  dmap: {}\n"
	g.head = g.up.Commit(1, map[string]string{
		"top/images/fruit/images.yaml":               g.list,
		"top/manifests/fruit/promoter-manifest.yaml": "registries:\n- {name: " + g.staging.Host + "/staging, src: true}\n- {name: " + prod.Host + "/prod}\n",
	})
	g.up.Branch("main", g.head)
	g.github = gittest.NewGitHub(t, prToken, map[string]*gittest.Repository{"team/up": g.up, "me/up": g.fork})
	url := gittest.Serve(t, dir, prToken)
	g.env = slices.DeleteFunc(gittest.Env(t, "robot"), func(entry string) bool { return strings.HasPrefix(entry, "PATH=") || strings.HasPrefix(entry, "HOME=") })
	g.run("clone", "--quiet", g.up.Dir, g.clone)
	g.run("-C", g.clone, "remote", "set-url", "origin", url+"/team/up.git")
	g.write("top/images/fruit/images.yaml", "- name: mine\n  dmap: {}\n")
	g.write("staged", "x")
	g.run("-C", g.clone, "add", "staged")
	program, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	gittest.Script(t, filepath.Join(g.git, "git"), "printf '%s\\n' \"$*\" >>"+filepath.Join(g.git, "args")+"\nexec "+program+" \"$@\"\n")
	return g
}

func (g *prRig) run(args ...string) string {
	g.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), g.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (g *prRig) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.clone, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// pr runs cip pr. It checks that the clone stays as it is and that the token stays secret.
func (g *prRig) pr(code int, args ...string) outcome {
	g.t.Helper()
	before := g.state()
	p := prepare(g.t, append([]string{"pr", "--thin-manifest-dir=" + filepath.Join(g.clone, "top"), "--log-level=trace"}, args...)...)
	p.Env = append(p.Env, g.env...)
	p.Env = append(p.Env, "PATH="+g.git+":"+os.Getenv("PATH"), "GITHUB_TOKEN="+prToken, "GITHUB_API_URL="+g.github.URL)
	p.begin(g.t)
	out := p.wait(g.t, runLimit)
	if out.code != code {
		g.t.Fatalf("cip pr %v: got exit code %d, want %d\n%s", args, out.code, code, out)
	}
	if diff := cmp.Diff(before, g.state()); diff != "" {
		g.t.Errorf("the clone (-before +after):\n%s", diff)
	}
	arguments, err := os.ReadFile(filepath.Join(g.git, "args"))
	if err != nil {
		g.t.Fatal(err)
	}
	if strings.Contains(out.stdout+out.stderr+string(arguments), prToken) {
		g.t.Errorf("got the token in an output or argument, want it nowhere\n%s%s", out, arguments)
	}
	return out
}

// state returns the names and contents of all files of the clone.
func (g *prRig) state() map[string]string {
	g.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(g.clone, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return files
}

// file returns the list of images at a branch.
func (g *prRig) file(branch string) string {
	return g.run("--git-dir="+g.up.Dir, "show", branch+":top/images/fruit/images.yaml")
}

// A pull request has one line more than its base, whatever the work tree has.
func TestPR(t *testing.T) {
	t.Parallel()
	g := newPRRig(t)
	dry := g.pr(0, "apple:1.1")
	for _, want := range []string{"branch: cip/apple-1.1 (new)\nfrom: main of origin, at " + g.head + "\ntitle: Promote apple 1.1\n", "+    \"" + g.apple.Digest + "\": [\"1.0\", \"1.1\"]\n", "### cip check: no findings; 1 tag to promote (`top`"} {
		if !strings.Contains(dry.stdout, want) {
			t.Errorf("dry run: got no %q, want it in\n%s", want, dry)
		}
	}
	if len(g.up.Branches()) != 1 {
		t.Errorf("dry run: got branches %v, want main alone", g.up.Branches())
	}
	const url = "https://github.example/team/up/pull/1\n"
	if out := g.pr(0, "apple:1.1", "--confirm", "--sign-off", "--draft", "--body=See #7."); out.stdout != url {
		t.Errorf("got %s, want %s", out, url)
	}
	pulls := g.github.Pulls()
	if len(pulls) != 1 || !pulls[0].Draft || pulls[0].Title != "Promote apple 1.1" ||
		!strings.HasPrefix(pulls[0].Body, "See #7.\n\n- `apple`: `1.1`, `"+g.apple.Digest+"`\n\n### cip check: no findings; 1 tag to promote") || strings.Contains(pulls[0].Body, g.clone) {
		t.Errorf("got %+v, want a draft with the plan", pulls)
	}
	if got, want := g.file("cip/apple-1.1"), strings.Replace(g.list, `["1.0"]`, `["1.0", "1.1"]`, 1); got != want {
		t.Errorf("got list %q, want %q", got, want)
	}
	if got := g.up.Read(g.up.Branches()["cip/apple-1.1"]).Message; !strings.HasSuffix(got, "\n\nSigned-off-by: robot <robot@example.com>\n") {
		t.Errorf("got message %q, want a sign-off", got)
	}
	if out := g.pr(0, "apple:1.1", "--confirm"); out.stdout != url || !strings.Contains(out.stderr, "is open already") || len(g.github.Pulls()) != 1 {
		t.Errorf("second run: got %s, want the same pull request", out)
	}
	g.up.Branch("main", g.up.Branches()["cip/apple-1.1"])
	if out := g.pr(0, "apple:1.1", "--confirm"); out.stdout != "" || !strings.Contains(out.stderr, "nothing to propose") || len(g.github.Pulls()) != 1 {
		t.Errorf("after the merge: got %s, want nothing", out)
	}
}

// A run goes on where another one failed.
func TestPRFails(t *testing.T) {
	t.Parallel()
	g := newPRRig(t)
	g.github.Fail(http.MethodPost, http.StatusForbidden)
	if out := g.pr(1, "apple:1.1", "--confirm"); !strings.Contains(out.stderr, "branch cip/apple-1.1 is pushed, but its pull request is not open") || out.stdout != "" {
		t.Errorf("got %s, want an error about the pull request", out)
	}
	g.github.Fail(http.MethodPost, 0)
	if out := g.pr(0, "apple:1.1", "--confirm"); out.stdout != "https://github.example/team/up/pull/1\n" || len(g.up.Branches()) != 2 {
		t.Errorf("got %s, branches %v, want a pull request of the same branch", out, g.up.Branches())
	}
	g.env = append(g.env, "GIT_CONFIG_GLOBAL="+os.DevNull)
	if out := g.pr(1, "apple:1.1", "--branch=other"); !strings.Contains(out.stderr, "git has no name and address for the commit") {
		t.Errorf("got %s, want an error about the name", out)
	}
	for _, args := range [][]string{
		{"apple:9.9"}, {"apple:1.1", "--remote=none"}, {"apple:1.1", "--base-branch=none"}, {"apple:1.1", "--resolve"}, {"apple:1.1", "--only=x"}, {"apple:1.1", "--forge=x"},
		{"apple:1.1", "--title= "}, {"apple:1.1", "--title=one\ntwo"}, {"apple:1.1", "--branch=HEAD"}, {"apple:1.1", "--fork=.."},
	} {
		g.pr(1, args...)
	}
	g.staging.Fault(rt.Status(http.StatusInternalServerError, nil, ""))
	g.pr(1, "apple:1.1", "--confirm", "--branch=another")
	if len(g.up.Branches()) != 2 {
		t.Errorf("got branches %v, want no other", g.up.Branches())
	}
}

// A fork gets the branch, and selectors make the change.
func TestPRFromForkByResolve(t *testing.T) {
	t.Parallel()
	g := newPRRig(t)
	g.head = g.up.Commit(2, map[string]string{
		"top/images/fruit/images.yaml":               g.list,
		"top/images/fruit/sources.yaml":              "- name: apple\n  select: {tag: \"1.1\"}\n",
		"top/manifests/fruit/promoter-manifest.yaml": g.run("--git-dir="+g.up.Dir, "show", "main:top/manifests/fruit/promoter-manifest.yaml"),
	}, g.head)
	g.up.Branch("main", g.head)
	for range 2 {
		if out := g.pr(0, "--resolve", "--fork=me", "--confirm", "--title=Newer apples", "--branch=apples"); out.stdout != "https://github.example/team/up/pull/1\n" {
			t.Errorf("got %s, want the pull request", out)
		}
	}
	pulls := g.github.Pulls()
	if len(pulls) != 1 || pulls[0].From != "me/up" || pulls[0].Branch != "apples" || pulls[0].Title != "Newer apples" || !strings.Contains(pulls[0].Body, "- `apple`: `1.1`, ") {
		t.Errorf("got %+v, want one pull request from the fork", pulls)
	}
	if len(g.up.Branches()) != 1 || g.fork.Branches()["apples"] == "" {
		t.Errorf("got branches %v and %v of the fork, want the branch in the fork", g.up.Branches(), g.fork.Branches())
	}
}

// A base branch without the manifests of the clone is an error that names both, and a dry
// run says that nothing would be opened where no service has pull requests.
func TestPRBaseAndForge(t *testing.T) {
	t.Parallel()
	g := newPRRig(t)
	if out := g.pr(0, "apple:1.1", "--forge=none", "--remote="+g.up.Dir); !strings.Contains(out.stderr, "dry run: nothing was pushed; --confirm pushes branch cip/apple-1.1 and opens no pull request") {
		t.Errorf("without a forge: got %s, want a branch and no pull request", out)
	}
	if out := g.pr(0, "apple:1.1"); !strings.Contains(out.stderr, "--confirm pushes branch cip/apple-1.1 and opens the pull request") {
		t.Errorf("GitHub: got %s, want a branch and a pull request", out)
	}
	g.up.Branch("bare", g.up.Commit(2, map[string]string{"README": "text\n", "half/images/fruit/images.yaml": g.list}))
	for dir, lacks := range map[string]string{"": "manifests", "half": "half/manifests", "top": "top"} {
		for _, mode := range []string{"apple:1.1", "--resolve"} {
			if err := os.MkdirAll(filepath.Join(g.clone, dir), 0o700); err != nil {
				t.Fatal(err)
			}
			want := "branch bare of " + g.up.Dir + " has no " + lacks + ": "
			out := g.pr(1, mode, "--base-branch=bare", "--remote="+g.up.Dir, "--forge=none", "--thin-manifest-dir="+filepath.Join(g.clone, dir))
			if !strings.Contains(out.stderr, want) || out.stdout != "" {
				t.Errorf("manifests in %q, %s: got %s, want %q", dir, mode, out, want)
			}
		}
	}
}

// A plain manifest at the root of the repository, named from there.
func TestPRPlain(t *testing.T) {
	t.Parallel()
	g := newPRRig(t)
	prod := rt.New(t)
	prod.Fault(rt.Status(http.StatusForbidden, nil, ""))
	plain := "registries:\n- {name: " + g.staging.Host + "/staging, src: true}\n- {name: " + prod.Host + "/prod}\nimages:\n- name: apple\n  dmap: {}\n"
	g.up.Branch("main", g.up.Commit(2, map[string]string{"promote.yaml": plain}, g.head))
	g.write("promote.yaml", "# Not committed.\n")
	p := prepare(t, "pr", "apple:1.0", "--manifest=promote.yaml", "--confirm", "--forge=none", "--remote="+g.up.Dir)
	p.Dir, p.Env = g.clone, append(p.Env, g.env...)
	p.begin(t)
	out := p.wait(t, runLimit)
	if out.code != 0 || out.stdout != "" || !strings.Contains(out.stderr, "has the change: open a pull request there") || !strings.Contains(out.stderr, "the check of the change has findings") {
		t.Fatalf("got %s, want a branch, and a warning about a registry that cannot be read", out)
	}
	got := g.run("--git-dir="+g.up.Dir, "show", "cip/apple-1.0:promote.yaml")
	if want := strings.Replace(plain, "dmap: {}", "dmap:\n    \""+g.apple.Digest+"\": [\"1.0\"]", 1); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
