package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// writes are the operations that write to a repository, by the kind of their request.
var writes = map[registrytest.Kind]func(ctx context.Context, c *registry.Client, r name.Repository, img registrytest.Object) error{
	registrytest.ManifestPut: func(ctx context.Context, c *registry.Client, r name.Repository, img registrytest.Object) error {
		_, err := c.Put(ctx, r, image.Hash(img.Digest), &registry.Manifest{Digest: image.Hash(img.Digest), MediaType: types.MediaType(img.MediaType), Raw: img.Raw})
		return err
	},
	registrytest.UploadPost: func(ctx context.Context, c *registry.Client, r name.Repository, _ registrytest.Object) error {
		_, err := c.Upload(ctx, r)
		return err
	},
	registrytest.Mount: func(ctx context.Context, c *registry.Client, r name.Repository, img registrytest.Object) error {
		_, err := c.Mount(ctx, r, image.NewRepository(r.RegistryStr(), "b"), image.Hash(img.Blobs[0].Digest), true)
		return err
	},
	registrytest.Token: reads[registrytest.ManifestHead],
	registrytest.Ping:  reads[registrytest.ManifestHead],
}

// witness records the credentials of all requests, in all spellings that a host may repeat.
type witness struct {
	mu   sync.Mutex
	seen []string
}

func (w *witness) see(r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, registrytest.Spellings(r)...)
}

// leaks returns the credentials that are in a text.
func (w *witness) leaks(text string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.seen), func(s string) bool { return !strings.Contains(text, s) })
}

// Errors and logs have no credentials, even if a host repeats them in its answer.
func TestRepeatedSecrets(t *testing.T) {
	const password = "pl4nted/pass+word:1?"
	for auth, option := range map[string]registrytest.Option{
		"basic":  registrytest.BasicAuth("robot", password),
		"bearer": registrytest.TokenAuth(map[string]string{"robot": password}),
	} {
		for _, requests := range []map[registrytest.Kind]func(context.Context, *registry.Client, name.Repository, registrytest.Object) error{reads, writes} {
			for kind, request := range requests {
				for _, status := range []int{400, 401, 403, 404, 500} {
					for _, asText := range []bool{false, true} {
						t.Run(fmt.Sprintf("%s, %s, %d, text %t", auth, kind, status, asText), func(t *testing.T) {
							s := registrytest.New(t, option)
							dockerConfig(t, s.Host, "robot", password)
							img := registrytest.Image(1, 1)
							s.Push(t, "a", img, "1")
							var w witness
							s.Fault(registrytest.Before(w.see))
							s.Fault(registrytest.Echo(status, asText), registrytest.Is(kind), func(r *http.Request) bool { return r.Header.Get("Authorization") != "" })
							log := logrus.New()
							var said bytes.Buffer
							log.SetOutput(&said)
							log.SetLevel(logrus.TraceLevel)
							err := request(t.Context(), newClient(t, registry.Options{Log: log}), repo(s, "a"), img)
							var answer *registry.Error
							if errors.As(err, &answer) {
								raw, _ := json.Marshal(answer)
								said.Write(raw)
							}
							if leaks := w.leaks(fmt.Sprintln(err, said.String())); len(leaks) > 0 {
								t.Errorf("repeated: got %q in %v\n%s", leaks, err, said.String())
							}
						})
					}
				}
			}
		}
	}
}

// A registry may also repeat a secret where an answer that looks fine has something wrong.
func TestSecretsInAnswers(t *testing.T) {
	const password = "pl4nted/pass+word:1?"
	quoted, escaped := strings.ReplaceAll(password, "/", `\/`), url.PathEscape(password)
	for name, tc := range map[string]struct {
		kind   registrytest.Kind
		status int
		header http.Header
		body   string
	}{
		"a repeated key":    {registrytest.Tags, 200, nil, `{"name":"a","tags":[],"` + quoted + `":1,"` + quoted + `":2}`},
		"a wrong type":      {registrytest.Tags, 200, nil, `{"name":"a","tags":"` + quoted + `"}`},
		"a media type":      {registrytest.ManifestGet, 200, nil, `{"schemaVersion":2,"mediaType":"` + quoted + `"}`},
		"an upload address": {registrytest.UploadPost, 202, registrytest.Header("Location", "/v2/a/manifests/"+escaped), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, registrytest.BasicAuth("robot", password))
			dockerConfig(t, s.Host, "robot", password)
			img := registrytest.Image(1, 1)
			s.Push(t, "a", img, "1")
			s.Fault(registrytest.Status(tc.status, tc.header, tc.body), registrytest.Is(tc.kind))
			c := newClient(t, registry.Options{})
			var err error
			switch tc.kind {
			case registrytest.ManifestGet:
				_, err = c.Manifest(t.Context(), repo(s, "a"), "1") // by digest, other bytes would be the error
			case registrytest.UploadPost:
				err = writes[tc.kind](t.Context(), c, repo(s, "a"), img)
			default:
				err = reads[tc.kind](t.Context(), c, repo(s, "a"), img)
			}
			if err == nil || !strings.Contains(err.Error(), "[redacted]") || strings.Contains(err.Error(), "pl4nted") {
				t.Errorf("error: got %v, want one with the secret redacted", err)
			}
		})
	}
}
