package registrytest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing/iotest"
)

// tap lets header see a response before it leaves, and write replace the writing of its body.
type tap struct {
	http.ResponseWriter
	header  func(status int) // may change Header(); called once
	write   func(p []byte) (int, error)
	started bool
}

func (t *tap) WriteHeader(status int) {
	if !t.started && status >= 200 {
		t.started = true
		if t.header != nil {
			t.header(status)
		}
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *tap) Write(p []byte) (int, error) {
	if !t.started {
		t.WriteHeader(http.StatusOK)
	}
	if t.write != nil {
		return t.write(p)
	}
	return t.ResponseWriter.Write(p)
}

// serve lets h answer r. It gives header its call also when h writes nothing at all.
func (t *tap) serve(h http.Handler, r *http.Request) {
	h.ServeHTTP(t, r)
	if !t.started {
		t.WriteHeader(http.StatusOK)
	}
}

// Flush implements http.Flusher, which the reverse proxy asks for.
func (t *tap) Flush() {
	if !t.started {
		t.WriteHeader(http.StatusOK)
	}
	// A writer that cannot flush loses nothing but promptness.
	_ = http.NewResponseController(t.ResponseWriter).Flush()
}

// discard is a response nobody will read.
type discard struct{ header http.Header }

func newDiscard() discard { return discard{header: http.Header{}} }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

// errorBody is the error document of the distribution specification.
func errorBody(code, message string) string {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]entry{"errors": {{code, message}}})
	if err != nil {
		panic(err) // two strings always marshal
	}
	return string(body)
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(errorBody(code, message))) // the client may be gone
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// reread reads the body of r, and returns a copy of r whose body reads the same, its error included.
func reread(r *http.Request) (body []byte, again *http.Request) {
	raw, err := io.ReadAll(r.Body)
	again = clone(r)
	again.Body = io.NopCloser(bytes.NewReader(raw))
	if err != nil {
		again.Body = io.NopCloser(io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(err)))
	}
	return raw, again
}

// clone copies r so that a layer may change it without the outer layers noticing.
func clone(r *http.Request) *http.Request { return r.Clone(r.Context()) }
