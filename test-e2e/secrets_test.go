package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// planted are what no output may show: parts of signed addresses and upload states.
var planted = []string{secret, "pl4nted-signature", "pl4nted-sig", "pl4nted-token", "pl4nted-state", "pl4nted-bearer"}

const signed = "?X-Amz-Signature=pl4nted-signature&sig=pl4nted-sig&token=pl4nted-token"

// spelled is what no output may show: what is planted, and what requests carried.
type spelled struct {
	mu    sync.Mutex
	words []string
}

func (s *spelled) see(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(slices.Clip(s.words), rt.Spellings(r)...)
}

func (s *spelled) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.words
}

// TestSecretsStayInside looks for credentials and signed addresses in all that cip
// prints, at every level, while servers repeat them wherever they can.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	users := map[string]string{"alice": secret}
	echo := func(status int) rt.Fault { // a server that repeats what it was sent
		return rt.Answer(func(r *http.Request) *rt.Response {
			user, pass, _ := r.BasicAuth()
			return &rt.Response{Status: status, Header: rt.Header("Content-Type", "text/plain"), Body: fmt.Sprintf(
				"%s %s:%s may not, with %s, at https://store.example/x%s", r.Header.Get("Authorization"), user, pass, r.URL, signed)}
		})
	}
	away := func(to string) rt.Fault { // a signed redirect
		return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, to+r.URL.Path+signed, http.StatusTemporaryRedirect)
		}
	}
	for name, inject := range map[string]func(t *testing.T, src, dst *rt.Server){
		"all is well":                 func(*testing.T, *rt.Server, *rt.Server) {},
		"tokens refused, echoing":     func(_ *testing.T, src, _ *rt.Server) { src.Fault(echo(401), rt.Is(rt.Token)) },
		"tokens forbidden, echoing":   func(_ *testing.T, _, dst *rt.Server) { dst.Fault(echo(403), rt.Is(rt.Token)) },
		"tokens failing, echoing":     func(_ *testing.T, src, _ *rt.Server) { src.Fault(echo(400), rt.Is(rt.Token)) },
		"requests refused, echoing":   func(_ *testing.T, src, _ *rt.Server) { src.Fault(echo(403), rt.Is(rt.ManifestGet, rt.BlobGet)) },
		"uploads refused, echoing":    func(_ *testing.T, _, dst *rt.Server) { dst.Fault(echo(400), rt.Is(rt.UploadPost, rt.UploadPut)) },
		"manifests refused, echoing":  func(_ *testing.T, _, dst *rt.Server) { dst.Fault(echo(400), rt.Is(rt.ManifestPut)) },
		"reads refused, spelling":     func(_ *testing.T, src, _ *rt.Server) { src.Fault(rt.Echo(403, false), rt.Is(rt.ManifestGet)) },
		"blobs refused, spelling":     func(_ *testing.T, src, _ *rt.Server) { src.Fault(rt.Echo(401, true), rt.Is(rt.BlobGet)) },
		"manifests refused, spelling": func(_ *testing.T, _, dst *rt.Server) { dst.Fault(rt.Echo(400, true), rt.Is(rt.ManifestPut)) },
		"tokens refused, spelling":    func(_ *testing.T, src, _ *rt.Server) { src.Fault(rt.Echo(401, false), rt.Is(rt.Token)) },
		"signed redirects that fail": func(t *testing.T, src, _ *rt.Server) {
			store := src.Storage(t)
			store.Fault(echo(403))
			src.Fault(away(store.URL), rt.Is(rt.BlobGet))
		},
		"signed redirects that break": func(t *testing.T, src, _ *rt.Server) {
			store := src.Storage(t)
			store.Fault(rt.ResetBefore())
			src.Fault(away(store.URL), rt.Is(rt.BlobGet))
		},
		"signed redirects to nowhere": func(t *testing.T, src, _ *rt.Server) {
			store := src.Storage(t)
			store.Close()
			src.Fault(away(store.URL), rt.Is(rt.BlobGet))
		},
		"signed redirects to no host": func(_ *testing.T, src, _ *rt.Server) { src.Fault(away("http://[bad"), rt.Is(rt.BlobGet)) },
		"signed redirects to a file":  func(_ *testing.T, src, _ *rt.Server) { src.Fault(away("file://"), rt.Is(rt.BlobGet)) },
		"tokens that are no header": func(_ *testing.T, src, _ *rt.Server) {
			src.Fault(rt.Status(200, nil, `{"token":"pl4nted-bearer\n"}`), rt.Is(rt.Token))
		},
		"tokens in broken JSON": func(_ *testing.T, src, _ *rt.Server) {
			src.Fault(rt.Status(200, nil, `{"token":"pl4nted-bearer", "expires_in": {`), rt.Is(rt.Token))
		},
		"upload locations that are none": func(_ *testing.T, _, dst *rt.Server) {
			dst.Fault(rt.Status(202, rt.Header("Location", "http://[bad/v2/x?_state=pl4nted-state"), ""), rt.Is(rt.UploadPost))
		},
		"upload locations with a user": func(_ *testing.T, _, dst *rt.Server) {
			dst.Fault(rt.Status(202, rt.Header("Location", "http://u:pl4nted-state@127.0.0.1:1/v2/x"), ""), rt.Is(rt.UploadPost))
		},
	} {
		levels := []string{"trace", "debug", "info", "warn", "error"}
		if strings.HasPrefix(name, "upload") || strings.HasPrefix(name, "signed redirects to") {
			levels = levels[:2] // the others print less
		}
		for i, level := range levels {
			format := []string{"text", "json"}[i%2]
			t.Run(name+", "+level+", "+format, func(t *testing.T) {
				t.Parallel()
				src, dst := rt.New(t, rt.TokenAuth(users)), rt.New(t, rt.TokenAuth(users))
				words := &spelled{words: planted}
				src.Fault(rt.Before(words.see))
				dst.Fault(rt.Before(words.see))
				img := rt.Image(1, 1)
				src.Push(t, "staging/apple", img, "build")
				inject(t, src, dst)
				manifest := writeManifest(t, entry("apple", img.Digest, "1.0"), src.Host+"/staging", dst.Host+"/prod")
				p := prepare(t, "run", "--confirm", "--manifest="+manifest, "--log-level="+level, "--log-format="+format, "--output=json")
				p.login(t, "alice", secret, src, dst)
				p.begin(t)
				out := p.wait(t, runLimit)
				if want := name != "all is well"; out.report == nil || (out.code == 1) != want {
					t.Fatalf("got exit code %d, report %t, want failure %t, and a report\n%s", out.code, out.report != nil, want, out)
				}
				said := out.stdout + out.stderr + fmt.Sprint(*out.report)
				for _, word := range words.all() {
					if strings.Contains(said, word) {
						t.Errorf("got %q printed, want it nowhere\n%s", word, out)
					}
				}
			})
		}
	}
}
