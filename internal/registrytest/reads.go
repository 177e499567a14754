package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ByTag matches requests for a manifest by tag; a PUT by digest that names tags is not one.
func ByTag() Match {
	return func(r *http.Request) bool {
		kind, _, ref := classify(r)
		return slices.Contains([]Kind{ManifestGet, ManifestHead, ManifestPut}, kind) && !isDigest(ref)
	}
}

// ContentType replaces the content type of answers that are not errors, or leaves it out if it is empty.
func ContentType(value string) Fault {
	return EditResponse(func(status int, h http.Header) {
		switch {
		case status/100 != 2:
		case value == "":
			h["Content-Type"] = nil // else net/http guesses one
		default:
			h.Set("Content-Type", value)
		}
	})
}

// LoginPage answers 200 with a page for people, as proxies do that want a session.
func LoginPage() Fault {
	return Status(http.StatusOK, Header("Content-Type", "text/html; charset=utf-8"),
		"<!doctype html><html><head><title>Sign in</title></head><body><form action=/login></form></body></html>\n")
}

// HeadNotFound answers 404 to every HEAD of a manifest, as some proxies and registries do.
// GET and lists are answered as ever.
func (s *Server) HeadNotFound() *Injection {
	return s.Fault(Refuse(404, "MANIFEST_UNKNOWN", "manifest unknown"), Is(ManifestHead))
}

// SignedSchema1 returns the answer to a GET of a signed image manifest of Docker's schema 1,
// and the digest that registries know it by: that of the payload without signatures.
func SignedSchema1(name, tag string) (digest string, answer Response) {
	payload := fmt.Appendf(nil, `{"schemaVersion":1,"name":%q,"tag":%q,"architecture":"amd64","fsLayers":[{"blobSum":"sha256:%s"}],"history":[{"v1Compatibility":"{}"}]}`,
		name, tag, strings.Repeat("a", 64))
	digest = digestOf(payload, false)
	signed := append(bytes.TrimSuffix(payload, []byte("}")), `,"signatures":[{"header":{"alg":"ES256"},"signature":"x","protected":"y"}]}`...)
	header := Header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
	header.Set("Docker-Content-Digest", digest)
	return digest, Response{Header: header, Body: string(signed)}
}

// AbsentStatus answers reads of a repository that never held a manifest with this
// status, as registries do that do not say what exists. It comes before what other
// options answer.
func AbsentStatus(status int) Option {
	return first(func(st *store) Fault {
		return only(Refuse(status, "DENIED", "requested access to the resource is denied"), func(r *http.Request) bool {
			_, repo, _ := classify(r)
			reads := r.Method == http.MethodGet || r.Method == http.MethodHead
			return reads && repo != "" && !slices.Contains(st.repositories(), repo)
		})
	})
}

// HideTags leaves tags out of tag lists, as a list does that was made before they were
// written. The tags themselves are there.
func HideTags(tags ...string) Fault {
	return only(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		var body bytes.Buffer
		status := 0
		tw := &tap{ResponseWriter: bodiless{w}, header: func(code int) { status = code }, write: body.Write}
		tw.serve(next, r)
		var list map[string]any
		if status == http.StatusOK && json.Unmarshal(body.Bytes(), &list) == nil {
			names, _ := list["tags"].([]any)
			list["tags"] = slices.DeleteFunc(names, func(name any) bool {
				tag, ok := name.(string)
				return ok && slices.Contains(tags, tag)
			})
			body.Reset()
			_ = json.NewEncoder(&body).Encode(list) // what was read can be written
		}
		w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
		w.WriteHeader(status)
		_, _ = w.Write(body.Bytes()) // the client may be gone
	}, Is(Tags))
}

// bodiless keeps the header of an answer and holds back its status, which its body may yet change.
type bodiless struct{ http.ResponseWriter }

func (bodiless) WriteHeader(int) {}

// Trickle sends bodies n bytes at a time, with a pause before each but the first.
// It ends when the client goes away or the server closes.
func Trickle(n int, pause time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		tw := &tap{ResponseWriter: w}
		sent := false
		tw.write = func(p []byte) (int, error) {
			for part := range slices.Chunk(p, n) {
				if sent {
					await(r, pause)
				}
				sent = true
				if _, err := w.Write(part); err != nil {
					return 0, err
				}
				tw.Flush()
			}
			return len(p), nil
		}
		tw.serve(next, r)
	}
}

// await returns after d, and aborts the answer if the client goes away before.
func await(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}
