package registrytest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
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

// AbsentStatus answers reads of a repository that never held a manifest with this
// status, as registries do that do not say what exists. It comes before what other
// options answer.
func AbsentStatus(status int) Option {
	absent := func(st *store, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, repo, _ := classify(r)
			reads := r.Method == http.MethodGet || r.Method == http.MethodHead
			if reads && repo != "" && !slices.Contains(st.repositories(), repo) {
				writeError(w, status, "DENIED", "requested access to the resource is denied")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	return func(c *config) { c.views = slices.Insert(c.views, 0, absent) }
}

// HideTags leaves tags out of tag lists, as a list does that was made before they were
// written. The tags themselves are there.
func HideTags(tags ...string) Fault {
	return editList(func(list map[string]any) {
		names, _ := list["tags"].([]any)
		list["tags"] = slices.DeleteFunc(names, func(name any) bool {
			tag, ok := name.(string)
			return ok && slices.Contains(tags, tag)
		})
	})
}

// editList passes tag lists on after f has changed them. Other requests pass.
func editList(f func(list map[string]any)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if kind, _, _ := classify(r); kind != Tags {
			next.ServeHTTP(w, r)
			return
		}
		var body bytes.Buffer
		status := 0
		tw := &tap{ResponseWriter: bodiless{w}, header: func(code int) { status = code }, write: body.Write}
		next.ServeHTTP(tw, r)
		tw.finish()
		var list map[string]any
		if status == http.StatusOK && json.Unmarshal(body.Bytes(), &list) == nil {
			f(list)
			body.Reset()
			_ = json.NewEncoder(&body).Encode(list) // what was read can be written
		}
		w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
		w.WriteHeader(status)
		_, _ = w.Write(body.Bytes()) // the client may be gone
	}
}

// bodiless keeps the header of an answer and holds back its status, which its body may yet change.
type bodiless struct{ http.ResponseWriter }

func (bodiless) WriteHeader(int) {}

// EmptyCatalog answers catalogs with no repository, as for an account that sees only what it is given.
// Other requests pass.
func EmptyCatalog() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if kind, _, _ := classify(r); kind == Catalog {
			writeJSON(w, map[string][]string{"repositories": {}})
			return
		}
		next.ServeHTTP(w, r)
	}
}

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
		next.ServeHTTP(tw, r)
		tw.finish()
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
