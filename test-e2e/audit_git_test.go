package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// post sends the auditor a notification and returns status and text.
func (a *auditor) post(t testing.TB, path, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(a.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// push notifies the auditor, as Pub/Sub does, of the push of a tag.
func (a *auditor) push(t testing.TB, repo, tag, digest string) (int, string) {
	t.Helper()
	change := fmt.Sprintf(`{"action":"INSERT","digest":"%[1]s@%[3]s","tag":"%[1]s:%[2]s"}`, repo, tag, digest)
	return a.post(t, "/", `{"message":{"data":"`+base64.StdEncoding.EncodeToString([]byte(change))+`"},"subscription":"s"}`)
}

// TestAuditGit has the auditor follow a branch: a push that no commit wants is
// rejected until one does. While git is gone the last good manifests stay, and what
// they do not explain waits.
func TestAuditGit(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"", "file://"} {
		t.Run(scheme+"path", func(t *testing.T) {
			t.Parallel()
			auditGit(t, scheme)
		})
	}
}

func auditGit(t *testing.T, scheme string) {
	reg := registrytest.New(t)
	apple, pear, plum := registrytest.Image(1, 1), registrytest.Image(2, 1), registrytest.Image(3, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	reg.Push(t, "prod/pear", pear, "2.0")
	reg.Push(t, "prod/plum", plum, "3.0")
	dir := filepath.Join(t.TempDir(), "manifests.git")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	repo := gittest.In(t, dir)
	commitOf := func(images string) string {
		return repo.Commit(len(images), map[string]string{
			"elsewhere/images/team/images.yaml":                "broken: [",
			"registries/manifests/team/promoter-manifest.yaml": "registries:\n- name: " + reg.Host + "/src\n  src: true\n- name: " + reg.Host + "/prod\n",
			"registries/images/team/images.yaml":               images,
		})
	}
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	head := ""
	// expect checks the answer to a push, and of 200 the verdict that is logged.
	expect := func(a *auditor, o registrytest.Object, name, tag string, status int, text string) {
		t.Helper()
		got, answer := a.push(t, reg.Host+"/prod/"+name, tag, o.Digest)
		if got != status || !strings.Contains(answer, text) {
			t.Errorf("push of %s:%s: %d %s; want %d %s", name, tag, got, answer, status, text)
		}
		if got != http.StatusOK {
			return
		}
		if v := a.next(t); !strings.Contains(v.Message, text) || v.Verdict == "VERIFIED" && v.Commit != head {
			t.Errorf("logged is %+v; want %s at %s", v, text, head)
		}
	}
	one := entry("apple", apple.Digest, "1.0")
	two := one + entry("pear", pear.Digest, "2.0")
	head = commitOf(one)
	repo.Branch("release", head)
	args := []string{"--url=" + scheme + dir, "--branch=release", "--path=registries", "--state=" + filepath.Join(t.TempDir(), "state")}
	a := startAuditor(t, args...)
	expect(a, apple, "apple", "1.0", 200, "TRANSACTION VERIFIED: ")
	expect(a, pear, "pear", "2.0", 200, "TRANSACTION REJECTED: ")
	head = commitOf(two)
	repo.Branch("release", head)
	expect(a, pear, "pear", "2.0", 200, "agrees with manifest registries/images/team/images.yaml:6:")

	last := commitOf(two + entry("plum", plum.Digest, "3.0"))
	move(dir, dir+".gone")
	expect(a, apple, "apple", "1.0", 200, "TRANSACTION VERIFIED: ")
	expect(a, plum, "plum", "3.0", 503, "cannot judge push of "+reg.Host+"/prod/plum:3.0")
	event := fmt.Sprintf(`{"events":[{"id":"1","action":"push","target":{"repository":"prod/plum","tag":"3.0","digest":%q},"request":{"host":%q}}]}`, plum.Digest, reg.Host)
	if status, text := a.post(t, "/events/distribution", event); status != http.StatusAccepted {
		t.Errorf("an event that has to wait: got %d %s, want 202", status, text)
	}
	if ready := a.get(t, "/readyz"); !strings.Contains(ready, `"pending": 1`) || !strings.Contains(ready, head) {
		t.Errorf("without git, but with manifests: got %s, want 1 pending and %s", ready, head)
	}
	a.stop(t)
	if len(a.verdicts) > 0 {
		t.Errorf("got verdict %+v without git, want none", <-a.verdicts)
	}

	a = startAuditor(t, args...)
	expect(a, apple, "apple", "1.0", 503, "there are no manifests")
	if resp, err := http.Get(a.url + "/readyz"); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without any manifests: got %v, %v, want 503", resp, err)
	} else {
		resp.Body.Close()
	}
	head = last
	if err := os.WriteFile(filepath.Join(dir+".gone", "refs", "heads", "release"), []byte(head+"\n"), 0o600); err != nil {
		t.Fatal(err) // it is the head from the first moment on
	}
	move(dir+".gone", dir)
	if v := a.next(t); v.Verdict != "VERIFIED" || v.Tag != "3.0" || v.Commit != head {
		t.Errorf("what waited for git: %+v, want VERIFIED at %s", v, head)
	}
	expect(a, apple, "apple", "1.0", 200, "TRANSACTION VERIFIED: ")
	a.stop(t)
}
