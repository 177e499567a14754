package registry_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// newClient returns a client that trusts the servers and retries at once.
func newClient(t *testing.T, o registry.Options, servers ...*registrytest.Server) *registry.Client {
	t.Helper()
	o.NoAmbient = true
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	for _, s := range servers {
		if strings.HasPrefix(s.URL, "https") {
			pem, err := os.ReadFile(s.CAFile(t))
			if err != nil {
				t.Fatal(err)
			}
			o.RootCAs = append(o.RootCAs, pem)
		}
	}
	c, err := registry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func repo(s *registrytest.Server, path string) name.Repository {
	return image.NewRepository(s.Host, path)
}

// dockerConfig sets a Docker configuration with an entry for a host.
func dockerConfig(t *testing.T, host, user, password string) {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("HOME", dir)
}

var protocols = map[string][]registrytest.Option{"HTTP/1.1": nil, "TLS": {registrytest.TLS()}, "HTTP/2": {registrytest.HTTP2()}}

// Faults are retried if that helps, and reported otherwise, over every protocol.
func TestFaultsOfReads(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 2)
	head := registrytest.Is(registrytest.ManifestHead)
	for name, tc := range map[string]struct {
		fault registrytest.Fault
		first int // how many are hit; 0: all
		want  inventory.State
		asked int // HEADs
	}{
		"no fault":              {nil, 0, inventory.Present, 1},
		"503 twice":             {registrytest.Status(503, nil, ""), 2, inventory.Present, 3},
		"500 for ever":          {registrytest.Status(500, nil, ""), 0, inventory.Unknown, 7},
		"403 is not absent":     {registrytest.Refuse(403, "DENIED", "no"), 0, inventory.Unknown, 1},
		"404 to HEAD alone":     {registrytest.Refuse(404, "MANIFEST_UNKNOWN", "no"), 0, inventory.Present, 1},
		"429 with no delay":     {registrytest.Status(429, registrytest.Header("Retry-After", "0"), ""), 3, inventory.Present, 4},
		"reset before":          {registrytest.ResetBefore(), 2, inventory.Present, 3},
		"reset after":           {registrytest.ResetAfter(), 2, inventory.Present, 3},
		"405 falls back to GET": {registrytest.Status(405, nil, ""), 0, inventory.Present, 1},
		"501 falls back to GET": {registrytest.Status(501, nil, ""), 0, inventory.Present, 1},
		"digest missing":        {registrytest.WrongDigest(""), 0, inventory.Present, 1},
	} {
		for protocol, o := range protocols {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				s := registrytest.New(t, o...)
				s.Push(t, "a", img, "1")
				if tc.fault != nil {
					match := []registrytest.Match{head}
					if tc.first > 0 {
						match = append(match, registrytest.First(tc.first))
					}
					s.Fault(tc.fault, match...)
				}
				d, state, err := newClient(t, registry.Options{}, s).Resolve(t.Context(), repo(s, "a"), "1")
				if state != tc.want || state == inventory.Present && d.String() != img.Digest || (err != nil) != (state == inventory.Unknown) {
					t.Errorf("got %s %s %v, want %s, with %s exactly if present", d, state, err, tc.want, img.Digest)
				}
				// A connection that dies on first use may be tried once more below us.
				if n := s.Count(registrytest.ManifestHead); n < tc.asked || n > tc.asked+2 {
					t.Errorf("asked %d times, want %d\n%s", n, tc.asked, s.Summary())
				}
			})
		}
	}
}

func TestOneTokenForFiftyRepositories(t *testing.T) {
	s := registrytest.New(t, registrytest.TokenAuth(map[string]string{"me": "secret"}))
	dockerConfig(t, s.Host, "me", "secret")
	c := newClient(t, registry.Options{})
	img := registrytest.Image(1, 1)
	var repos []name.Repository
	for i := range 120 {
		repos = append(repos, repo(s, fmt.Sprintf("r%d", i)))
		s.Push(t, repos[i].RepositoryStr(), img, "1")
	}
	c.ExpectReads(repos)
	var wg sync.WaitGroup
	for _, r := range repos {
		wg.Go(func() {
			if _, state, err := c.Resolve(t.Context(), r, "1"); state != inventory.Present {
				t.Errorf("%s: got %s, %v, want %s", r, state, err, inventory.Present)
			}
		})
	}
	wg.Wait()
	if n := s.Count(registrytest.Token); n != 3 {
		t.Errorf("%d tokens for 120 repositories, want 3\n%s", n, s.Summary())
	}
	if n := s.Count(registrytest.Ping); n != 1 {
		t.Errorf("%d pings, want 1", n)
	}
	s.ExpireTokens()
	for _, r := range repos {
		wg.Go(func() {
			if _, state, err := c.Resolve(t.Context(), r, "1"); state != inventory.Present {
				t.Errorf("after expiry: %s: got %s, %v, want %s", r, state, err, inventory.Present)
			}
		})
	}
	wg.Wait()
	if n := s.Count(registrytest.Token); n != 6 {
		t.Errorf("%d tokens after all expired, want 6", n)
	}
}

func TestRegistryThatReadsOneScope(t *testing.T) {
	s := registrytest.New(t, registrytest.TokenAuth(map[string]string{"me": "secret"}, registrytest.FirstScopeOnly()))
	dockerConfig(t, s.Host, "me", "secret")
	c := newClient(t, registry.Options{})
	var repos []name.Repository
	for i := range 5 {
		repos = append(repos, repo(s, fmt.Sprintf("r%d", i)))
		s.Push(t, repos[i].RepositoryStr(), registrytest.Image(1, 1), "1")
	}
	c.ExpectReads(repos)
	for range 3 {
		for _, r := range repos {
			if _, state, err := c.Resolve(t.Context(), r, "1"); state != inventory.Present {
				t.Errorf("%s: got %s, %v, want %s", r, state, err, inventory.Present)
			}
		}
	}
	if n := s.Count(registrytest.Token); n > 8 {
		t.Errorf("got %d tokens for 5 repositories, want 8 at most\n%s", n, s.Summary())
	}
}

func TestRefusedCredentialIsTriedOnce(t *testing.T) {
	s := registrytest.New(t, registrytest.TokenAuth(map[string]string{"me": "secret"}))
	dockerConfig(t, s.Host, "me", "wrong-planted-secret")
	c := newClient(t, registry.Options{})
	for i := range 20 {
		_, state, err := c.Resolve(t.Context(), repo(s, fmt.Sprintf("r%d", i)), "1")
		if state != inventory.Unknown || err == nil || strings.Contains(err.Error(), "planted") {
			t.Fatalf("got %s, %v, want %s, and an error without the secret", state, err, inventory.Unknown)
		}
	}
	if n := s.Count(registrytest.Token); n != 1 {
		t.Errorf("asked for a token %d times, want 1", n)
	}
}

func TestTokenExpiresUnderABody(t *testing.T) {
	for protocol, o := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s := registrytest.New(t, append(o, registrytest.TokenAuth(map[string]string{"me": "secret"}))...)
			dockerConfig(t, s.Host, "me", "secret")
			c := newClient(t, registry.Options{}, s)
			blob := registrytest.NewBlob("application/octet-stream", bytes.Repeat([]byte("x"), 300<<10))
			session, err := c.Upload(t.Context(), repo(s, "a"))
			if err != nil {
				t.Fatal(err)
			}
			s.ExpireTokens()
			d := v1.Descriptor{Digest: image.Hash(blob.Digest), Size: int64(len(blob.Raw))}
			if err := session.Put(t.Context(), d, registry.BytesBody(blob.Raw)); err != nil {
				t.Fatal(err)
			}
			if !s.HasBlob(t, "a", blob.Digest) {
				t.Errorf("got no blob %s in a, want it there", blob.Digest)
			}
		})
	}
}

func TestRedirectCarriesNoCredentials(t *testing.T) {
	s := registrytest.New(t, registrytest.BasicAuth("me", "secret"))
	dockerConfig(t, s.Host, "me", "secret")
	img := registrytest.Image(1, 1)
	s.Push(t, "a", img, "1")
	other := s.Storage(t)
	s.Fault(registrytest.Redirect(other.URL), registrytest.Is(registrytest.BlobGet))
	c := newClient(t, registry.Options{})
	var got bytes.Buffer
	b := img.Blobs[1]
	if err := c.FetchBlob(t.Context(), repo(s, "a"), v1.Descriptor{Digest: image.Hash(b.Digest), Size: int64(len(b.Raw))}, &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), b.Raw) {
		t.Errorf("got %d other bytes, want the %d of the blob", got.Len(), len(b.Raw))
	}
	for _, r := range other.Requests() {
		if r.Auth != "" {
			t.Errorf("got credentials sent to the other host, want none: %s", r)
		}
	}
	if n := other.Count(registrytest.BlobGet); n != 1 {
		t.Errorf("got %d requests to the other host, want 1", n)
	}
}

func TestBlobIsResumedAndVerified(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	blob := registrytest.NewBlob("application/octet-stream", raw)
	d := v1.Descriptor{Digest: image.Hash(blob.Digest), Size: int64(len(raw))}
	get := registrytest.Is(registrytest.BlobGet)
	for name, tc := range map[string]struct {
		fault registrytest.Fault
		first int // how many are hit; 0: all
		err   string
		gets  int
	}{
		"cut off three times": {registrytest.Truncate(300 << 10), 3, "", 4},
		"corrupted twice":     {registrytest.Corrupt(5000), 2, "", 3},
		"corrupted":           {registrytest.Corrupt(5000), 0, "other bytes", 4},
	} {
		for protocol, o := range protocols {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				s := registrytest.New(t, o...)
				s.PushBlob(t, "a", blob)
				match := []registrytest.Match{get}
				if tc.first > 0 {
					match = append(match, registrytest.First(tc.first))
				}
				s.Fault(tc.fault, match...)
				var got bytes.Buffer
				err := newClient(t, registry.Options{}, s).FetchBlob(t.Context(), repo(s, "a"), d, &got)
				switch {
				case tc.err == "" && (err != nil || !bytes.Equal(got.Bytes(), raw)):
					t.Errorf("got %d bytes, %v, want the %d of the blob", got.Len(), err, len(raw))
				case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
					t.Errorf("got error %v, want %q", err, tc.err)
				case tc.err != "" && got.Len() == len(raw):
					t.Errorf("got all %d bytes of a wrong blob, want fewer", got.Len())
				}
				if n := s.Count(registrytest.BlobGet); n != tc.gets {
					t.Errorf("%d reads, want %d\n%s", n, tc.gets, s.Summary())
				}
			})
		}
	}
}

func TestListingsThatNeverEnd(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]registrytest.Fault{
		"a page that links to itself": registrytest.LinkLoop(),
		"empty pages":                 registrytest.EndlessPages(0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Push(t, "a", registrytest.Image(1, 1), "1")
			s.Fault(fault, registrytest.Is(registrytest.Tags))
			_, err := newClient(t, registry.Options{}).List(t.Context(), repo(s, "a"), nil)
			if err == nil || !strings.Contains(err.Error(), "never end") {
				t.Errorf("got error %v, want one that the pages never end", err)
			}
			if n := s.Count(registrytest.Tags); n > 5 {
				t.Errorf("got %d requests, want 5 at most", n)
			}
		})
	}
}

func TestHostileManifests(t *testing.T) {
	t.Parallel()
	many := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` + strings.TrimSuffix(strings.Repeat(
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:`+strings.Repeat("0", 64)+`","size":1},`, 5000), ",") + `]}`
	for name, tc := range map[string]struct{ body, want string }{
		"not JSON":        {"<html>", "parsing the manifest"},
		"10 MiB":          {`{"x":"` + strings.Repeat("y", 10<<20) + `"}`, "refused"},
		"5,000 children":  {many, "the limit is 4096"},
		"a bad digest":    {`{"schemaVersion":2,"layers":[{"digest":"../../etc/passwd","size":1}]}`, "cannot parse hash"},
		"a negative size": {`{"schemaVersion":2,"layers":[{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":-1}]}`, "size -1"},
		"two sizes":       {`{"layers":[{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":1},{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":2}]}`, "two sizes"},
		"schema 1":        {`{"schemaVersion":1,"fsLayers":[]}`, "schema 1"},
		"nested 1e5 deep": {strings.Repeat("[", 100000), "parsing the manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Fault(registrytest.Status(200, registrytest.Header("Content-Type", "application/vnd.oci.image.index.v1+json"), tc.body), registrytest.Is(registrytest.ManifestGet))
			m, err := newClient(t, registry.Options{}).Manifest(t.Context(), repo(s, "a"), "tag")
			if err == nil {
				_, err = m.Parse()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || len(err.Error()) > 500 {
				t.Errorf("got error %.600v, want %q in 500 bytes at most", err, tc.want)
			}
		})
	}
}

func TestErrorTextIsPrintable(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	s.Fault(registrytest.Refuse(403, "DEN\x1b[31mIED", "no \x1b]0;title\x07 see https://store.example/x?X-Amz-Signature=planted\u202e"), registrytest.Is(registrytest.ManifestHead))
	_, _, err := newClient(t, registry.Options{}).Resolve(t.Context(), repo(s, "a"), "1")
	var e *registry.Error
	if !errors.As(err, &e) || e.Status != http.StatusForbidden {
		t.Fatalf("got error %v, want status 403", err)
	}
	if text := err.Error(); strings.ContainsAny(text, "\x1b\x07\u202e") || strings.Contains(text, "planted") {
		t.Errorf("got %q, want it escaped and without the secret", text)
	}
}
