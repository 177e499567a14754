package wire

import (
	"context"
	"net/http"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
)

// Sent describes a sent HTTP request, for a log.
//
// Requests that follow a redirect have their own. It holds no secret.
type Sent struct {
	Method     string
	URL        string        // without the query, unless this package has written it
	Status     int           // 0: there was no response
	Duration   time.Duration // until the header of the response
	Try        int           // of a request that is tried several times; from 1
	Credential string        // the kind of place that its credential is from, or "anonymous"
	Err        error
}

// attempt is one try of a request. Its HTTP requests have it in their context.
type attempt struct {
	number int
	cred   auth.Credential
}

type (
	attemptKey    struct{}
	credentialKey struct{} // the auth.Credential of a token request
	plainKey      struct{} // the query of the URL may be logged
)

// attemptOf returns the try that a request is part of.
func attemptOf(ctx context.Context) *attempt {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		return a
	}
	return &attempt{number: 1}
}

// log logs a request that was sent.
func (t *Transport) log(req *http.Request, resp *http.Response, err error, took time.Duration) {
	if t.options.Sent == nil {
		return
	}
	a := attemptOf(req.Context())
	s := Sent{Method: req.Method, Duration: took, Try: a.number, Credential: auth.Credential{}.Source()}
	if req.Header.Get("Authorization") != "" || req.Context().Value(realmKey{}) != nil {
		s.Credential = a.cred.Source()
	}
	u := *req.URL
	u.User = nil
	s.URL = u.String()
	if req.Context().Value(plainKey{}) == nil || req.Response != nil {
		s.URL = auth.HideQueries(s.URL)
	}
	s.URL = Printable(t.secrets.Redact(s.URL), 1000)
	if err != nil {
		s.Err = t.Clean(err)
	} else {
		s.Status = resp.StatusCode
	}
	t.options.Sent(s)
}
