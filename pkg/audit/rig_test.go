package audit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// rig is a running auditor and a registry with the source src and the destination prod.
type rig struct {
	t       testing.TB
	reg     *registrytest.Server
	file    string // the plain manifest
	url     string
	auditor *Auditor
	stop    func()

	mu       sync.Mutex
	records  []record
	warnings []string
	news     chan struct{}
}

// newRig starts an auditor. images is the images list of the manifest file.
func newRig(t testing.TB, reg *registrytest.Server, images string, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, reg: reg, file: filepath.Join(t.TempDir(), "promote.yaml"), news: make(chan struct{}, 1)}
	r.write(images)
	r.start(change...)
	return r
}

// write replaces the images of the manifest file.
func (r *rig) write(images string) {
	r.t.Helper()
	text := fmt.Sprintf("registries:\n- name: %[1]s/src\n  src: true\n- name: %[1]s/prod\nimages:\n%[2]s", r.reg.Host, images)
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start(change ...func(*Options)) {
	r.t.Helper()
	warn := func(text string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.warnings = append(r.warnings, text)
	}
	manifests := NewManifests(Directory{r.file}, warn)
	client, err := registry.New(registry.Options{Sites: manifests, NoAmbient: true, Backoff: time.Millisecond})
	if err != nil {
		r.t.Fatal(err)
	}
	o := Options{Manifests: manifests, Client: client, Warn: warn, Error: warn, Log: Log{Out: (*rigLog)(r)}}
	for _, f := range change {
		f(&o)
	}
	if r.auditor, err = New(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.url = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	auditor := r.auditor
	go func() { served <- auditor.Serve(ctx, listener) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-served; err != nil {
				r.t.Errorf("serving: %v", err)
			}
			if err := auditor.Close(); err != nil {
				r.t.Errorf("closing: %v", err)
			}
			client.Close()
		})
	}
	r.t.Cleanup(r.stop)
}

// rigLog collects the verdicts that the auditor of a rig logs.
type rigLog rig

// Write implements io.Writer. Each call is one line.
func (l *rigLog) Write(line []byte) (int, error) {
	var v record
	if err := json.Unmarshal(line, &v); err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.records = append(l.records, v)
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
	return len(line), nil
}

// post sends a body, and returns the status and the text of the response.
func (r *rig) post(path, body string, header ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return r.do(req)
}

func (r *rig) get(path string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.do(req)
}

func (r *rig) do(req *http.Request) (int, string) {
	r.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// await waits for n records.
func (r *rig) await(n int) []record {
	r.t.Helper()
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for {
		r.mu.Lock()
		records := r.records
		r.mu.Unlock()
		if len(records) >= n {
			return records
		}
		select {
		case <-r.news:
		case <-limit.C:
			r.t.Fatalf("%d verdicts, want %d: %+v\nwarnings: %q", len(records), n, records, r.warnings)
		}
	}
}

// push sends a Pub/Sub push about a repository of the registry.
func (r *rig) push(id, action, repo, tag, digest string) (int, string) {
	r.t.Helper()
	return r.post("/", pubsubBody(id, action, r.reg.Host+"/"+repo, tag, digest))
}

// pubsubBody returns the body of a Pub/Sub push.
func pubsubBody(id, action, repo, tag, digest string) string {
	change := map[string]string{"action": action}
	if tag != "" {
		change["tag"] = repo + ":" + tag
	}
	if digest != "" {
		change["digest"] = repo + "@" + digest
	}
	raw, err := json.Marshal(change)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"message":{"data":%q,"messageId":%q},"subscription":"s"}`, base64.StdEncoding.EncodeToString(raw), id)
}

// distributionBody returns a notification of distribution with one event.
func distributionBody(id, action, host, repo, tag, digest string) string {
	return fmt.Sprintf(`{"events":[{"id":%q,"action":%q,"target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"repository":%q,"tag":%q},"request":{"host":%q}}]}`,
		id, action, digest, repo, tag, host)
}

// entry returns an images entry with one digest.
func entry(name string, digest any, tags ...string) string {
	return fmt.Sprintf("- name: %s\n  dmap:\n    %q: [%s]\n", name, digest, strings.Join(tags, ", "))
}

var (
	digestA = image.Hash("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	digestB = image.Hash("sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
)
