package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// verdict is a line of cip audit, as its readers see it.
type verdict struct {
	Severity   string `json:"severity"`
	Message    string `json:"message"`
	Verdict    string `json:"verdict"`
	Source     string `json:"source"`
	Action     string `json:"action"`
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
	Reason     string `json:"reason"`
	AllowedBy  string `json:"allowedBy"`
	Commit     string `json:"commit"`
}

// auditor is a running cip audit.
type auditor struct {
	*exec.Cmd
	url      string
	verdicts chan verdict
	ended    chan struct{} // when stdout has ended
	log      *strings.Builder
}

var serving = regexp.MustCompile(`listening on (https?://127\.0\.0\.1:[0-9]+)`)

// startAuditor starts cip audit on a port that it chooses.
func startAuditor(t testing.TB, args ...string) *auditor {
	t.Helper()
	a := &auditor{Cmd: exec.Command(binary, append([]string{"audit", "--listen=127.0.0.1:0"}, args...)...)}
	a.Env = environment(t.TempDir())
	a.verdicts, a.ended, a.log = make(chan verdict, 10_000), make(chan struct{}), &strings.Builder{}
	stdout, err := a.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := a.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(a.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var v verdict
			if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
				t.Errorf("stdout holds %q: %v", lines.Text(), err)
			}
			a.verdicts <- v
		}
	}()
	address, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := serving.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
			a.log.WriteString(lines.Text() + "\n")
		}
	}()
	t.Cleanup(func() { _ = a.Process.Kill(); <-read; <-a.ended; _ = a.Wait() })
	select {
	case a.url = <-address:
	case <-read:
		t.Fatalf("cip audit ended: %s", a.log)
	case <-time.After(startLimit):
		t.Fatal("cip audit does not listen")
	}
	return a
}

// stop ends the auditor as a service manager does.
func (a *auditor) stop(t testing.TB) {
	t.Helper()
	if err := a.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-a.ended
	if err := a.Wait(); err != nil {
		t.Errorf("cip audit: %v\n%s", err, a.log)
	}
}

// next returns the next verdict on a push or a deletion.
func (a *auditor) next(t testing.TB) verdict {
	t.Helper()
	limit := time.NewTimer(runLimit)
	defer limit.Stop()
	for {
		select {
		case v := <-a.verdicts:
			if v.Action == "push" || v.Action == "delete" {
				return v
			}
		case <-limit.C:
			t.Fatalf("got no verdict, want one\n%s", a.log)
		}
	}
}

// get reads a page of the auditor.
func (a *auditor) get(t testing.TB, path string) string {
	t.Helper()
	resp, err := http.Get(a.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %s, %v, want 200\n%s", path, resp.Status, err, raw)
	}
	return string(raw)
}

// request sends a request to a registry.
func request(t testing.TB, method, url, contentType string, body []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode > 299 {
		t.Fatalf("%s %s: got %s, want 299 at most", method, url, resp.Status)
	}
}

// TestAudit has a real registry, configured as documented, notify the auditor while a
// promotion is under way, then of a rogue push and of deletions. Reads, such as those of
// the sweep, do not come back as events.
func TestAudit(t *testing.T) {
	t.Parallel()
	if registryBinary() == "" {
		t.Skip("no registry to test with")
	}
	// The registry has to know the auditor's address, and the manifest the registry's: one is started over a manifest that is completed later.
	manifest := writeManifest(t, "  []\n", "127.0.0.1:1/staging", "127.0.0.1:1/prod")
	state := filepath.Join(t.TempDir(), "audit.db")
	a := startAuditor(t, "--manifest="+manifest, "--state="+state, "--sweep-interval=1h")
	documented, err := os.ReadFile("../docs/examples/auditor/distribution.yaml")
	if err != nil {
		t.Fatal(err)
	}
	notifications := strings.NewReplacer("https://audit.example.com", a.url, "?host=registry.example.com", "", "backoff: 1s", "backoff: 100ms").Replace(string(documented))
	backend := distribution(t, notifications)
	host := strings.TrimPrefix(backend, "http://")
	reg := registrytest.Proxy(t, backend)
	s := newSpread()
	s.push(t, reg, "staging")
	rewrite(t, manifest, s.images(), host+"/staging", host+"/prod")
	out := run(t, 0, "--manifest="+manifest, "--confirm")
	seen := map[string]int{}
	tags := 0
	for tags < 3 { // apple:1.0, pear:1.0 and pear:latest come last of each
		v := a.next(t)
		if v.Verdict == "IGNORED" && strings.Contains(v.Repository, "/staging/") {
			continue
		}
		seen[v.Verdict]++
		if v.Verdict != "VERIFIED" || v.AllowedBy == "" || !strings.HasPrefix(v.AllowedBy, manifest) {
			t.Errorf("while cip promotes: got %+v, want VERIFIED, allowed by %s\n%s", v, manifest, out)
		}
		if v.Tag != "" {
			tags++
		}
	}
	evil := registrytest.Image(99, 1)
	for _, b := range evil.Blobs {
		reg.PushBlob(t, "prod/apple", b)
	}
	request(t, http.MethodPut, backend+"/v2/prod/apple/manifests/evil", evil.MediaType, evil.Raw)
	request(t, http.MethodDelete, backend+"/v2/prod/pear/manifests/latest", "", nil)
	request(t, http.MethodDelete, backend+"/v2/prod/apple/manifests/"+evil.Digest, "", nil) // and with it the tag; there is a notification for it too
	rejected := map[string]bool{}
	for len(rejected) < 4 {
		v := a.next(t)
		switch {
		case v.Verdict == "REJECTED" && v.Severity == "ALERT" && strings.Contains(v.Message, "TRANSACTION REJECTED: "):
			rejected[v.Action+" "+v.Tag+v.Digest] = true
		case v.Verdict != "VERIFIED" && !strings.Contains(v.Repository, "/staging/"):
			t.Errorf("got %+v, want REJECTED with an alert, or VERIFIED", v)
		}
	}
	for _, want := range []string{"push evil" + evil.Digest, "delete latest", "delete evil", "delete " + evil.Digest} {
		if !rejected[want] {
			t.Errorf("no verdict on %q: %v", want, rejected)
		}
	}
	if metrics := a.get(t, "/metrics"); strings.Contains(metrics, `kind="pull"`) || strings.Contains(metrics, `kind="mount"`) || !strings.Contains(metrics, `cip_audit_events_total{source="distribution"}`) {
		t.Errorf("got pulls or mounts as events, want none:\n%s", metrics)
	}
	before := a.get(t, "/api/verdicts?verdict=REJECTED,VERIFIED&limit=1000")
	a.stop(t)
	a = startAuditor(t, "--manifest="+manifest, "--state="+state)
	if after := a.get(t, "/api/verdicts?verdict=REJECTED,VERIFIED&limit=1000"); after != before {
		t.Errorf("verdicts after a restart: got\n%s\nwant\n%s", after, before)
	}
	a.stop(t)
}

// TestAuditKill has events wait for a registry that does not answer, kills the
// auditor, and starts another: none is lost, and none is judged twice.
func TestAuditKill(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	down := reg.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"))
	manifest := writeManifest(t, entry("apple", apple.Digest, "1.0"), reg.Host+"/src", reg.Host+"/prod")
	args := []string{"--manifest=" + manifest, "--state=" + filepath.Join(t.TempDir(), "state")}
	a := startAuditor(t, args...)
	const n = 100
	for i := range n {
		body := fmt.Sprintf(`{"id":"%d","action":"push","target":{"repository":"prod/apple","tag":"1.0","digest":%q},"request":{"host":%q}}`, i, apple.Digest, reg.Host)
		for range 2 {
			request(t, http.MethodPost, a.url+"/events/acr", "application/json", []byte(body))
		}
	}
	reg.Await(t, 1)
	if status := a.get(t, "/readyz"); !strings.Contains(status, `"pending": 100`) {
		t.Errorf("got %s, want 100 events pending", status)
	}
	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-a.ended
	if len(a.verdicts) > 0 {
		t.Errorf("got %d verdicts without a registry, want 0", len(a.verdicts))
	}
	down.Remove()
	a = startAuditor(t, args...)
	for range n {
		if v := a.next(t); v.Verdict != "VERIFIED" {
			t.Errorf("got %+v, want VERIFIED", v)
		}
	}
	a.stop(t)
	if len(a.verdicts) > 0 {
		t.Errorf("got %d more verdicts, want 0", len(a.verdicts))
	}
}
