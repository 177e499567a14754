package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// comments is a fake of the part of GitHub's API that hack/action.sh uses.
type comments struct {
	mu       sync.Mutex
	bodies   []string // the comments of the pull request; the index is the id
	writes   []string // method and path of each request that writes
	readOnly bool     // as for the tokens of pull requests from forks
}

func (c *comments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer api-token" || c.readOnly && r.Method != http.MethodGet {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.Method == http.MethodGet {
		c.list(w, r)
		return
	}
	var sent struct{ Body string }
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.writes = append(c.writes, r.Method+" "+r.URL.Path)
	var id int
	if _, err := fmt.Sscanf(r.URL.Path, "/repos/team/manifests/issues/comments/%d", &id); err == nil && id < len(c.bodies) {
		c.bodies[id] = sent.Body
	} else {
		c.bodies = append(c.bodies, sent.Body)
	}
}

// list answers with a page of 100 comments.
func (c *comments) list(w http.ResponseWriter, r *http.Request) {
	type comment struct {
		ID   int    `json:"id"`
		Body string `json:"body"`
	}
	var page int
	_, _ = fmt.Sscan(r.URL.Query().Get("page"), &page)
	answer := []comment{}
	for id := (page - 1) * 100; id < min(page*100, len(c.bodies)); id++ {
		answer = append(answer, comment{id, c.bodies[id]})
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// TestAction runs the script of the GitHub Action on a pull request.
func TestAction(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	s := rt.New(t)
	apple := rt.Image(1, 1)
	s.Push(t, "staging/apple", apple, "1.0")
	for name, c := range map[string]struct {
		digest   string // what the pull request promotes
		earlier  int    // comments of others on the pull request
		readOnly bool
		runs     int
		code     int
		writes   []string
		want     string // in the comment, or in the output if there is none
	}{
		"first run":       {apple.Digest, 0, false, 1, 0, []string{"POST /repos/team/manifests/issues/7/comments"}, "apple"},
		"updates":         {apple.Digest, 150, false, 2, 0, []string{"POST /repos/team/manifests/issues/7/comments", "PATCH /repos/team/manifests/issues/comments/150"}, "apple"},
		"missing image":   {rt.Image(2, 1).Digest, 0, false, 1, 1, []string{"POST /repos/team/manifests/issues/7/comments"}, "neither source nor destination"},
		"token of a fork": {apple.Digest, 0, true, 1, 0, nil, "::warning::the comment was not written"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &comments{readOnly: c.readOnly}
			for i := range c.earlier {
				api.bodies = append(api.bodies, fmt.Sprintf("comment %d", i))
			}
			server := httptest.NewServer(api)
			t.Cleanup(server.Close)
			p := newPullRequest(t, s.Host, c.digest, server.URL)
			var out string
			for range c.runs {
				out = p.run(t, c.code)
			}
			if diff := cmp.Diff(c.writes, api.writes); diff != "" {
				t.Errorf("requests that write (-want +got):\n%s\n%s", diff, out)
			}
			text := out
			if len(api.bodies) > c.earlier {
				text = api.bodies[c.earlier]
			}
			if !strings.Contains(text, c.want) {
				t.Errorf("the comment, or else the output, is %q, want it to contain %q", text, c.want)
			}
			if strings.Contains(out, "api-token") {
				t.Errorf("got the token api-token, want it nowhere in the output: %s", out)
			}
		})
	}
}

// pullRequest is a clone in which a pull request adds an image, with the environment of
// a workflow.
type pullRequest struct {
	dir  string
	vars []string
}

func newPullRequest(t *testing.T, registry, digest, api string) *pullRequest {
	t.Helper()
	p := &pullRequest{dir: t.TempDir()}
	write := func(name, text string) {
		path := filepath.Join(p.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("prod/manifests/fruit/promoter-manifest.yaml", fmt.Sprintf("registries:\n- {name: %s/staging, src: true}\n- {name: %s/prod}\n", registry, registry))
	write("prod/images/fruit/images.yaml", "[]\n")
	base := gittest.CommitAll(t, p.dir)
	write("prod/images/fruit/images.yaml", fmt.Sprintf("- name: apple\n  dmap:\n    %q: [\"1.0\"]\n", digest))
	temp := t.TempDir()
	event := filepath.Join(temp, "event.json")
	if err := os.WriteFile(event, fmt.Appendf(nil, `{"pull_request": {"number": 7, "base": {"sha": %q}}}`, base), 0o600); err != nil {
		t.Fatal(err)
	}
	p.vars = append(environment(temp),
		"CIP="+binary, "THIN_MANIFEST_DIR=prod", "MANIFEST=", "CHECK_FLAGS=--skip size", "BASE=", "COMMENT=true",
		"RUNNER_TEMP="+temp, "GITHUB_EVENT_PATH="+event, "GITHUB_API_URL="+api, "GITHUB_REPOSITORY=team/manifests", "GITHUB_TOKEN=api-token",
		"GITHUB_STEP_SUMMARY="+filepath.Join(temp, "summary"), "GITHUB_OUTPUT="+filepath.Join(temp, "output"))
	return p
}

// run runs the script of the action and returns its output.
func (p *pullRequest) run(t *testing.T, code int) string {
	t.Helper()
	script, err := filepath.Abs("../hack/action.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", script)
	cmd.Dir, cmd.Env = p.dir, p.vars
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("exit code %d (%v), want %d\n%s", got, err, code, out)
	}
	return string(out)
}
