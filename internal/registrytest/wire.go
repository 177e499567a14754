package registrytest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// SignInAt answers 401 with a bearer challenge whose realm is at base, a URL without a path.
func SignInAt(base string) Fault {
	return Status(http.StatusUnauthorized, Header("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=\"other\"", base+"/token")), "")
}

// Drip sends the head of an answer with this status and header, and then a space at
// each interval: 100,000 bytes that never come. It ends when the client goes away or
// the server closes.
func Drip(status int, header http.Header, interval time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = reread(r.Body) // else net/http does not notice that the client has gone
		for name, values := range header {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
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
