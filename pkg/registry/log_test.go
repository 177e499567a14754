package registry_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// requestLog collects the log lines about requests.
type requestLog struct {
	mu    sync.Mutex
	lines []logrus.Fields
	text  strings.Builder
}

// Levels returns all levels.
func (*requestLog) Levels() []logrus.Level { return logrus.AllLevels }

// Fire adds a line.
func (l *requestLog) Fire(e *logrus.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(&l.text, e.Message, e.Data)
	if e.Data["method"] != nil {
		l.lines = append(l.lines, e.Data)
	}
	return nil
}

// With level debug, each HTTP request is a log line, without secrets.
func TestEachRequestIsLogged(t *testing.T) {
	s := registrytest.New(t, registrytest.TokenAuth(map[string]string{"me": "planted-secret"}))
	dockerConfig(t, s.Host, "me", "planted-secret")
	img := registrytest.Image(1, 1)
	s.Push(t, "a", img, "1")
	storage := s.Storage(t)
	s.Fault(registrytest.Redirect(storage.URL+"/signed?signature=planted"), registrytest.Is(registrytest.BlobGet))
	s.Fault(registrytest.Status(503, nil, ""), registrytest.Is(registrytest.ManifestHead), registrytest.First(2))
	collected := &requestLog{}
	log := logrus.New()
	log.SetOutput(discard{})
	log.SetLevel(logrus.DebugLevel)
	log.AddHook(collected)
	c := newClient(t, registry.Options{Log: log})
	if _, _, err := c.Resolve(t.Context(), repo(s, "a"), "1"); err != nil {
		t.Fatal(err)
	}
	b := img.Blobs[1]
	_ = c.FetchBlob(t.Context(), repo(s, "a"), v1.Descriptor{Digest: image.Hash(b.Digest), Size: int64(len(b.Raw))}, &bytes.Buffer{}) // the storage has it under another path
	want := map[string]string{
		"GET http://HOST/v2/ 401 1":                         "anonymous",
		"HEAD http://HOST/v2/a/manifests/1 503 1":           "docker config",
		"HEAD http://HOST/v2/a/manifests/1 503 2":           "docker config",
		"HEAD http://HOST/v2/a/manifests/1 200 3":           "docker config",
		"GET http://HOST/token?… 200 1":                     "docker config",
		"GET http://HOST/v2/a/blobs/" + b.Digest + " 307 1": "docker config",
	}
	elsewhere := 0
	for _, f := range collected.lines {
		if f["duration"] == nil {
			t.Errorf("%v: got no duration, want one", f)
		}
		line := fmt.Sprintf("%v %v %v %v", f["method"], f["url"], f["status"], f["try"])
		credential, ok := want[strings.ReplaceAll(line, s.Host, "HOST")]
		if strings.Contains(line, storage.Host) {
			elsewhere++
			credential, ok = "anonymous", true
		}
		if !ok {
			t.Errorf("got a line %q, want none", line)
		} else if f["credential"] != credential {
			t.Errorf("%s: got credential %v, want %s", line, f["credential"], credential)
		}
		delete(want, strings.ReplaceAll(line, s.Host, "HOST"))
	}
	if len(want) > 0 || elsewhere == 0 {
		t.Errorf("got no lines for %v, and %d for the other host; want all", want, elsewhere)
	}
	if n := s.Count() + storage.Count(); n != len(collected.lines) {
		t.Errorf("got %d lines, want %d, one for each request\n%s", len(collected.lines), n, s.Summary())
	}
	if strings.Contains(collected.text.String(), "planted") {
		t.Errorf("got a secret, want none in\n%s", collected.text.String())
	}
}

// A refusal says which credential was used, or where one was looked for.
func TestRefusalNamesTheCredential(t *testing.T) {
	users := map[string]string{"me": "secret"}
	for name, tc := range map[string]struct {
		option registrytest.Option
		user   string // empty: no credential
		fault  registrytest.Fault
		want   []string
	}{
		"no credential":                  {registrytest.BasicAuth("me", "secret"), "", nil, []string{"401 Unauthorized (no credentials for HOST in ~/.docker/config.json", "; try docker login HOST)"}},
		"no credential, a token server":  {registrytest.TokenAuth(users), "", nil, []string{"401", "(no credentials for HOST in "}},
		"a wrong password":               {registrytest.BasicAuth("me", "secret"), "me", nil, []string{"the password was refused and is not sent again", `(user "me" of docker config ~/config.json)`}},
		"a wrong password, token server": {registrytest.TokenAuth(users), "me", nil, []string{"credential refused: 401", `(user "me" of docker config ~/config.json)`}},
		"denied":                         {registrytest.BasicAuth("me", "secret"), "", registrytest.Refuse(403, "DENIED", "no"), []string{"403 Forbidden (no credentials for HOST in "}},
		"denied, without a challenge":    {registrytest.PageSize(10), "me", registrytest.Refuse(403, "DENIED", "no"), []string{"403 Forbidden (sent without credentials: HOST asks neither for a password nor for a token)"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, tc.option)
			t.Setenv("HOME", t.TempDir())
			t.Setenv("DOCKER_CONFIG", "")
			if tc.user != "" {
				dockerConfig(t, s.Host, tc.user, "wrong")
			}
			if tc.fault != nil {
				s.Fault(tc.fault, registrytest.Is(registrytest.ManifestHead, registrytest.ManifestGet))
			}
			_, _, err := newClient(t, registry.Options{}).Resolve(t.Context(), repo(s, "a"), "1")
			for _, want := range tc.want {
				if got := strings.ReplaceAll(fmt.Sprint(err), s.Host, "HOST"); !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
		})
	}
}
