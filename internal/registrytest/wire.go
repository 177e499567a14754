package registrytest

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Drip sends the head of an answer with this status and header, and then a space at
// each interval: 100,000 bytes that never come. It ends when the client goes away or
// the server closes.
func Drip(status int, header http.Header, interval time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) // else net/http does not notice that the client has gone
		setHeader(w, header)
		w.Header().Set("Content-Length", strconv.Itoa(100_000))
		w.WriteHeader(status)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			if _, err := w.Write([]byte(" ")); err != nil {
				panic(http.ErrAbortHandler)
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			case <-tick.C:
			}
		}
	}
}

// Echo answers with this status and repeats what was sent as a secret, in every
// usual spelling: as a document of the distribution specification or as text, and in
// header fields.
func Echo(status int, asText bool) Fault {
	return Answer(func(r *http.Request) *Response {
		said := Spellings(r)
		text := strings.Join(said, " ")
		a := &Response{Status: status, Header: http.Header{"Docker-Content-Digest": {text}, "Content-Range": {text}}, Body: text}
		if !asText {
			detail := map[string]any{"code": "DENIED " + text, "message": text, "detail": said}
			body, err := json.Marshal(map[string]any{"errors": []any{detail}})
			if err != nil {
				panic(err)
			}
			a.Body = string(body)
		}
		return a
	})
}

// Spellings returns the credentials of a request in the spellings that Echo repeats.
func Spellings(r *http.Request) []string {
	_, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secrets := []string{value}
	if user, password, ok := r.BasicAuth(); ok {
		secrets = append(secrets, user+":"+password, password)
	}
	var all []string
	for _, s := range secrets {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			all = append(all, e.EncodeToString([]byte(s)), url.QueryEscape(e.EncodeToString([]byte(s))))
		}
		all = append(all, s, url.QueryEscape(s), url.PathEscape(s))
	}
	return slices.Compact(slices.DeleteFunc(all, func(s string) bool { return s == "" }))
}

// Sip reads a byte of the request's body at each interval, and never answers. It ends
// when the client goes away or the server closes.
func Sip(interval time.Duration) Fault {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			if _, err := r.Body.Read(make([]byte, 1)); err != nil {
				panic(http.ErrAbortHandler)
			}
			select {
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			case <-tick.C:
			}
		}
	}
}
