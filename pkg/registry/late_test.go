package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// impatient are limits that a test reaches quickly.
var impatient = registry.Limits{
	Head: 200 * time.Millisecond, Answer: time.Second, Window: 100 * time.Millisecond, BlobWindow: 100 * time.Millisecond,
	Commit: 200 * time.Millisecond, Refusal: 50 * time.Millisecond, Grace: 50 * time.Millisecond, Patience: time.Minute,
}

const dripping = 5 * time.Millisecond // far below the slowest rate, and far from silence

// If a host sends its answer one byte at a time, every request fails soon. A refusal is
// reported as such.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	asked := maps.Clone(reads)
	delete(asked, registrytest.ManifestHead) // it has no body
	asked[registrytest.Token] = reads[registrytest.ManifestHead]
	asked[registrytest.Catalog] = func(ctx context.Context, c *registry.Client, r name.Repository, _ registrytest.Object) error {
		_, err := c.Snapshot(ctx, image.NewRegistry(r.RegistryStr(), ""), registry.SnapshotOptions{}, func(string) {})
		return err
	}
	for kind, read := range asked {
		for status, want := range map[int]string{200: "too slow", 410: "410", 500: "500"} {
			t.Run(fmt.Sprintf("%s, %d", kind, status), func(t *testing.T) {
				t.Parallel()
				s := registrytest.New(t, registrytest.WithCatalog(), registrytest.TokenAuth(nil, registrytest.AnonymousPull()))
				img := registrytest.Image(1, 1)
				s.Push(t, "a", img, "1")
				header := http.Header{"Content-Type": {string(types.OCIImageIndex)}}
				s.Fault(registrytest.Drip(status, header, dripping), registrytest.Is(kind))
				err := read(t.Context(), newClient(t, registry.Options{Limits: impatient}), repo(s, "a"), img)
				busy := status == 200 && strings.Contains(fmt.Sprint(err), "no progress") // the test's own server got no CPU
				if err == nil || !strings.Contains(err.Error(), want) && !busy {
					t.Errorf("error: got %v, want one with %q", err, want)
				}
				if n := s.Count(kind); status == 200 && n > 2 {
					t.Errorf("requests: got %d, want at most 2", n)
				}
			})
		}
	}
}

// A ping that is answered one byte at a time does not block other requests.
func TestSlowPing(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	s.Push(t, "a", registrytest.Image(1, 1), "1")
	s.Fault(registrytest.Drip(200, nil, dripping), registrytest.Is(registrytest.Ping))
	_, state, err := newClient(t, registry.Options{}).Resolve(t.Context(), repo(s, "a"), "1")
	if state != inventory.Present {
		t.Errorf("got %s %v, want present", state, err)
	}
}

// An upload fails if the host reads it too slowly.
func TestSlowUpload(t *testing.T) {
	t.Parallel()
	for protocol, o := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, o...)
			s.Fault(registrytest.Sip(dripping), registrytest.Is(registrytest.UploadPut))
			c := newClient(t, registry.Options{Limits: impatient}, s)
			session, err := c.Upload(t.Context(), repo(s, "a"))
			if err != nil {
				t.Fatal(err)
			}
			blob := registrytest.NewBlob("application/octet-stream", bytes.Repeat([]byte("x"), 32<<20)) // more than the system takes from us
			err = session.Put(t.Context(), v1.Descriptor{Digest: image.Hash(blob.Digest), Size: int64(len(blob.Raw))}, registry.BytesBody(blob.Raw))
			if !registry.IsLastUpload(2, err) { // it is not for other errors
				t.Errorf("got %v, want an error that says that the host is too slow", err)
			}
		})
	}
}

// After an interrupt, a request that was sent is waited for, because it may be carried
// out. The wait is short.
func TestInterruptOfSlowRefusal(t *testing.T) {
	t.Parallel()
	for kind, write := range writes {
		if kind == registrytest.Token || kind == registrytest.Ping {
			continue
		}
		for name, fault := range map[string]registrytest.Fault{
			"the refusal drips":   registrytest.Drip(400, nil, dripping),
			"throttled, drips":    registrytest.Drip(429, nil, dripping),
			"failing, drips":      registrytest.Drip(500, nil, dripping),
			"success drips":       registrytest.Drip(201, nil, dripping),
			"nothing is answered": registrytest.Hang(),
		} {
			t.Run(fmt.Sprintf("%s, %s", kind, name), func(t *testing.T) {
				t.Parallel()
				s := registrytest.New(t)
				s.Fault(fault, registrytest.Is(kind))
				limits := impatient
				limits.Head, limits.Refusal, limits.Window, limits.Answer = time.Hour, time.Hour, time.Hour, time.Hour // none but the interrupt's
				c := newClient(t, registry.Options{Limits: limits})
				ctx, interrupt := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					_ = write(ctx, c, repo(s, "a"), registrytest.Image(1, 1)) // whatever it is, it ends
				}()
				s.Await(t, 1, kind)
				interrupt()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					t.Error("the request did not end within 10 s of the interrupt, want at once")
				}
			})
		}
	}
}

// A request that begins after an interrupt is not sent.
func TestNothingIsSentAfterAnInterrupt(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	c := newClient(t, registry.Options{})
	r := repo(s, "a")
	if _, err := c.Upload(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s.Reset()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for kind, write := range writes {
		if err := write(ctx, c, r, registrytest.Image(1, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want %v", kind, err, context.Canceled)
		}
	}
	if n := s.Count(); n != 0 {
		t.Errorf("requests: got %d, want 0\n%s", n, s.Summary())
	}
}

// A host that answers every request with 429 is given up. Waiting requests end, later
// ones fail at once, and the error has the number of tries and the answer.
func TestHostThatGrantsNothing(t *testing.T) {
	t.Parallel()
	throttled := func(delay string) registrytest.Fault {
		return registrytest.Status(429, http.Header{"Retry-After": {delay}, "Content-Type": {"application/json"}},
			`{"errors":[{"code":"TOOMANYREQUESTS","message":"come back later"}]}`)
	}
	for name, tc := range map[string]struct {
		fault registrytest.Fault
		match registrytest.Match
		want  []string
	}{
		"always 429":            {throttled("0"), registrytest.Is(registrytest.ManifestGet), []string{"granted nothing for", "tries: ", "429 TOOMANYREQUESTS: come back later"}},
		"429 to a ping, too":    {throttled("0"), registrytest.Is(registrytest.ManifestGet, registrytest.Ping), []string{"granted nothing for", "429"}},
		"a pause without end":   {throttled("0.4"), registrytest.Is(registrytest.ManifestGet), []string{"granted nothing for", "429"}},
		"503 with a pause":      {registrytest.Status(503, registrytest.Header("Retry-After", "0.4"), ""), registrytest.Is(registrytest.ManifestGet), []string{"granted nothing for", "503"}},
		"tokens are granted":    {throttled("0"), registrytest.Is(registrytest.ManifestGet), []string{"granted nothing for", "429"}},
		"no token is granted":   {throttled("0"), registrytest.Is(registrytest.Token), []string{"granted nothing for", "429"}},
		"it asks for an hour":   {throttled("3600"), registrytest.Is(registrytest.ManifestGet), []string{"429 TOOMANYREQUESTS: come back later", "1h0m0s"}},
		"nothing ever answered": {registrytest.Hang(), registrytest.Is(registrytest.ManifestGet), []string{"no progress"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, registrytest.TokenAuth(nil, registrytest.AnonymousPull()))
			s.Fault(tc.fault, tc.match)
			limits := impatient
			limits.Patience = 500 * time.Millisecond
			c := newClient(t, registry.Options{Limits: limits, Backoff: 20 * time.Millisecond})
			var wg sync.WaitGroup
			var all sync.Map // of error texts
			for i := range 40 {
				wg.Go(func() {
					_, err := c.Manifest(t.Context(), repo(s, fmt.Sprintf("r%d", i)), "1")
					all.Store(strings.ReplaceAll(fmt.Sprint(err), s.Host, "HOST"), true)
				})
			}
			wg.Wait()
			all.Range(func(text, _ any) bool {
				for _, word := range tc.want {
					if !strings.Contains(text.(string), word) {
						t.Errorf("error: got %q, want one with %q", text, word)
					}
				}
				return true
			})
			if !strings.Contains(strings.Join(tc.want, " "), "granted nothing") {
				return
			}
			before := s.Count()
			if _, err := c.Manifest(t.Context(), repo(s, "later"), "1"); err == nil || !strings.Contains(err.Error(), "granted nothing") {
				t.Errorf("a later request: got %v, want the same error", err)
			}
			if name != "no token is granted" && s.Count() != before {
				t.Errorf("a later request: got %d requests, want 0", s.Count()-before)
			}
		})
	}
}

// A Retry-After longer than the limit ends this request at its first try, and no other.
func TestQuotaThatIsUsedUp(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	s.Push(t, "a", registrytest.Image(1, 1), "1")
	s.Fault(registrytest.Status(429, registrytest.Header("Retry-After", "21600"), ""), registrytest.Repo("pulled"))
	c := newClient(t, registry.Options{})
	_, _, err := c.Resolve(t.Context(), repo(s, "pulled"), "1")
	if err == nil || !strings.Contains(err.Error(), "6h0m0s") {
		t.Errorf("got %v, want an error that says 6h0m0s", err)
	}
	if n := s.Count(registrytest.ManifestHead); n != 1 {
		t.Errorf("tries: got %d, want 1", n)
	}
	if _, state, err := c.Resolve(t.Context(), repo(s, "a"), "1"); state != inventory.Present {
		t.Errorf("another repository: got %s %v, want present", state, err)
	}
}

// An answer that never ends is an error.
func TestEndlessAnswers(t *testing.T) {
	t.Parallel()
	raw := func(write func(w io.Writer) error) registrytest.Fault {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			for err == nil {
				err = write(conn)
			}
		}
	}
	for name, tc := range map[string]struct {
		kind    registrytest.Kind
		fault   func(s *registrytest.Server) registrytest.Fault
		options []registrytest.Option
	}{
		"redirects in a circle": {kind: registrytest.ManifestGet, fault: func(s *registrytest.Server) registrytest.Fault { return registrytest.Redirect(s.URL) }},
		"answers before the answer": {kind: registrytest.ManifestGet, fault: func(*registrytest.Server) registrytest.Fault {
			return raw(func(w io.Writer) error {
				_, err := io.WriteString(w, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
				return err
			})
		}},
		"a header without an end": {kind: registrytest.ManifestGet, fault: func(*registrytest.Server) registrytest.Fault {
			begun := false
			return raw(func(w io.Writer) error {
				if !begun {
					begun = true
					_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\n")
					return err
				}
				_, err := io.WriteString(w, "X-More: and more\r\n")
				return err
			})
		}},
		"silence over HTTP/2":       {registrytest.ManifestGet, func(*registrytest.Server) registrytest.Fault { return registrytest.Hang() }, []registrytest.Option{registrytest.HTTP2()}},
		"a body without an end":     {kind: registrytest.ManifestGet, fault: endless},
		"a token without an end":    {registrytest.Token, endless, []registrytest.Option{registrytest.TokenAuth(nil, registrytest.AnonymousPull())}},
		"a token server is silent":  {registrytest.Token, func(*registrytest.Server) registrytest.Fault { return registrytest.Hang() }, []registrytest.Option{registrytest.TokenAuth(nil, registrytest.AnonymousPull())}},
		"a refusal without an end":  {kind: registrytest.ManifestGet, fault: func(*registrytest.Server) registrytest.Fault { return pour(http.StatusForbidden) }},
		"a tag list without an end": {kind: registrytest.Tags, fault: endless},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, tc.options...)
			s.Fault(tc.fault(s), registrytest.Is(tc.kind))
			read := reads[tc.kind]
			if read == nil {
				read = reads[registrytest.ManifestGet]
			}
			ended := make(chan error, 1)
			go func() {
				ended <- read(t.Context(), newClient(t, registry.Options{Limits: impatient}, s), repo(s, "a"), registrytest.Image(1, 1))
			}()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("got no error, want one")
				}
			case <-time.After(30 * time.Second):
				t.Error("got no end of the read within 30 s, want one")
			}
		})
	}
}

func endless(*registrytest.Server) registrytest.Fault { return pour(http.StatusOK) }

// pour answers with a status and a body that never ends.
func pour(status int) registrytest.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(status)
		for piece := bytes.Repeat([]byte(" "), 32<<10); ; {
			if _, err := w.Write(piece); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}
}

// It is an error if a list has too many pages, even if each arrives in time.
func TestLongListing(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	page := 0
	s.Fault(registrytest.Answer(func(*http.Request) *registrytest.Response {
		page++
		return &registrytest.Response{Header: registrytest.Header("Link", fmt.Sprintf(`</v2/a/tags/list?last=%d>; rel="next"`, page)), Body: fmt.Sprintf(`{"tags":["v%d"]}`, page)}
	}), registrytest.Is(registrytest.Tags))
	limits := impatient
	limits.List = 200 * time.Millisecond
	_, err := newClient(t, registry.Options{Limits: limits}).List(t.Context(), repo(s, "a"), nil)
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v, want an error that says that it takes too long", err)
	}
}
