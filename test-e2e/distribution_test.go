package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// registryVariable names the variable that holds the path of a distribution registry.
const registryVariable = "CIP_TEST_REGISTRY"

// startLimit bounds how long the registry may take to serve.
const startLimit = 30 * time.Second

// registryBinary is the path of that registry; empty: there is none to test with.
func registryBinary() string { return os.Getenv(registryVariable) }

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// distribution starts a distribution registry on a port that it chooses, and returns
// its URL. more is added to its configuration.
func distribution(t testing.TB, more ...string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http: {addr: "127.0.0.1:0"}
%s`, filepath.Join(dir, "data"), strings.Join(more, ""))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(registryBinary(), "serve", config)
	cmd.Env = append(environment(dir), "OTEL_TRACES_EXPORTER=none")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the registry: %v", err)
	}
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(log); lines.Scan(); { // to the end: a full pipe would stop it
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait() // it was killed
	})
	select {
	case a := <-address:
		ready(t, "http://"+a)
		return "http://" + a
	case <-read:
		t.Fatal("the registry ended")
	case <-time.After(startLimit):
		t.Fatal("the registry does not listen")
	}
	return ""
}

// ready returns once a registry answers.
func ready(t testing.TB, url string) {
	t.Helper()
	for end := time.Now().Add(startLimit); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(url + "/v2/")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("the registry at %s does not answer: %v", url, err)
		}
	}
}

// spread is promoted by every test on a real registry: images that share layers, an index, Docker's types.
type spread struct {
	apple, pear, list registrytest.Object
}

func newSpread() spread {
	return spread{
		apple: registrytest.Image(1, 2, registrytest.Base(1)),
		pear:  registrytest.MultiArch(2, 3, 2),
		list:  registrytest.MultiArch(3, 2, 1, registrytest.Docker()),
	}
}

func (s spread) push(t testing.TB, to *registrytest.Server, prefix string) {
	t.Helper()
	to.Push(t, prefix+"/apple", s.apple, "build")
	to.Push(t, prefix+"/pear", s.pear, "build")
	to.Push(t, prefix+"/list", s.list, "build")
}

func (s spread) images() string {
	return entry("apple", s.apple.Digest, "1.0") + entry("pear", s.pear.Digest, "1.0", "latest") + entry("list", s.list.Digest)
}

// check fails unless all of it is below prefix, byte for byte.
func (s spread) check(t testing.TB, at *registrytest.Server, prefix string) {
	t.Helper()
	problems := wrong(t, at, prefix+"/apple", s.apple, "1.0")
	problems = append(problems, wrong(t, at, prefix+"/pear", s.pear, "1.0", "latest")...)
	problems = append(problems, wrong(t, at, prefix+"/list", s.list)...)
	for _, p := range problems {
		t.Error(p)
	}
}

// blobs returns how many distinct blobs it has, manifests how many manifests.
func (s spread) blobs() int {
	return len(s.apple.BlobDigests()) + len(s.pear.BlobDigests()) + len(s.list.BlobDigests())
}

func (s spread) manifests() int {
	return len(s.apple.ManifestDigests()) + len(s.pear.ManifestDigests()) + len(s.list.ManifestDigests())
}

// atMost fails if a registry was asked more often than that, or for anything else.
func atMost(t testing.TB, s *registrytest.Server, want map[registrytest.Kind]int) {
	t.Helper()
	got := map[registrytest.Kind]int{}
	for _, r := range s.Requests() {
		got[r.Kind]++
	}
	over := false
	for kind, n := range got {
		if n > want[kind] {
			over = true
			t.Errorf("%s: %d requests, at most %d are allowed", kind, n, want[kind])
		}
	}
	if over {
		t.Log(s.Summary())
	}
}

// exactly fails unless a registry was asked so often for these kinds.
func exactly(t testing.TB, s *registrytest.Server, want map[registrytest.Kind]int) {
	t.Helper()
	for kind, n := range want {
		if got := s.Count(kind); got != n {
			t.Errorf("%s: %d requests, want %d\n%s", kind, got, n, s.Summary())
		}
	}
}
