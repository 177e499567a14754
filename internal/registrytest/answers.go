package registrytest

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Response is an answer made up by a fault.
type Response struct {
	Status int // 200 if zero
	Header http.Header
	Body   string
}

func (a *Response) send(w http.ResponseWriter) {
	setHeader(w, a.Header)
	w.WriteHeader(cmp.Or(a.Status, http.StatusOK))
	_, _ = io.WriteString(w, a.Body) // the client may be gone
}

func setHeader(w http.ResponseWriter, header http.Header) {
	for name, values := range header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
}

// Answer sends what f returns; nil passes the request on.
func Answer(f func(r *http.Request) *Response) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if a := f(r); a != nil {
			a.send(w)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// Status answers with a status, header (or nil) and body.
func Status(code int, header http.Header, body string) Fault {
	return Answer(func(*http.Request) *Response { return &Response{code, header, body} })
}

// Refuse answers with an error document of the distribution specification.
func Refuse(status int, code, message string) Fault {
	return Status(status, http.Header{"Content-Type": {"application/json"}}, errorBody(code, message))
}

// Header makes a header of one field, for Status.
func Header(name, value string) http.Header {
	return http.Header{http.CanonicalHeaderKey(name): {value}}
}

// ServerErrors answers 500, 502, 503 or 504, drawn from a random sequence that seed fixes.
func ServerErrors(seed uint64) Fault {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, seed))
	return Answer(func(*http.Request) *Response {
		mu.Lock()
		defer mu.Unlock()
		codes := []int{500, 502, 503, 504}
		return &Response{Status: codes[rnd.IntN(len(codes))], Body: "registrytest: a random error\n"}
	})
}

// ResetBefore breaks the connection, or the stream in HTTP/2, before the registry sees the request.
func ResetBefore() Fault {
	return func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
}

// ResetAfter lets the registry act, drops its answer and breaks the connection or stream.
func ResetAfter() Fault {
	return func(_ http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(newDiscard(), r)
		panic(http.ErrAbortHandler)
	}
}

// GoAway answers and asks the client to use another connection: GOAWAY in HTTP/2,
// Connection: close in HTTP/1.1.
func GoAway() Fault {
	return EditResponse(func(_ int, h http.Header) { h.Set("Connection", "close") })
}

// Hang never answers. It ends when the client goes away or the server closes.
func Hang() Fault { return Hold(nil) }

// Hold keeps the request until release is closed, then passes it on; a slow header without a clock.
// It ends also when the client goes away or the server closes. The body is read first, into memory.
func Hold(release <-chan struct{}) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-release: // a request that comes after the release is not slow
			next.ServeHTTP(w, r)
			return
		default:
		}
		// net/http notices that an HTTP/1.1 client has gone only once the body is read.
		_, r = reread(r)
		select {
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		case <-release:
			next.ServeHTTP(w, r)
		}
	}
}

// Delay passes the request on after d, to make round trips cost time.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Body != http.NoBody { // see Hold
			_, r = reread(r)
		}
		await(r, d)
		next.ServeHTTP(w, r)
	}
}

// Before runs f, then passes the request on. f may use a server's unrecorded methods.
func Before(f func(r *http.Request)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		f(r)
		next.ServeHTTP(w, r)
	}
}

// EditRequest passes on a copy that f has changed.
func EditRequest(f func(r *http.Request)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r = clone(r)
		f(r)
		next.ServeHTTP(w, r)
	}
}

// EditResponse lets f change the header of the registry's answer.
func EditResponse(f func(status int, h http.Header)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		tw := &tap{ResponseWriter: w, header: func(status int) { f(status, w.Header()) }}
		tw.serve(next, r)
	}
}

// WrongDigest replaces Docker-Content-Digest in answers, or leaves it out if digest is empty.
func WrongDigest(digest string) Fault {
	return EditResponse(func(_ int, h http.Header) {
		h.Del("Docker-Content-Digest")
		if digest != "" {
			h.Set("Docker-Content-Digest", digest)
		}
	})
}

// Redirect sends the client with the same path and query to base, a URL without them.
func Redirect(base string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Location", base+r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// LinkLoop makes every page of a list name itself as the next one.
func LinkLoop() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		link := fmt.Sprintf(`<%s>; rel="next"`, r.URL.RequestURI())
		EditResponse(func(_ int, h http.Header) { h.Set("Link", link) })(w, r, next)
	}
}
