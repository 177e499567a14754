package registrytest

import (
	"bytes"
	"net/http"
)

// Truncate sends the first k bytes of a longer body and then breaks the connection
// or stream. Content-Length stays what it was.
func Truncate(k int64) Fault {
	return cut(k, func(*http.Request) {})
}

// Stall sends the first k bytes of a longer body and then nothing more until the
// client goes away or the server closes.
func Stall(k int64) Fault {
	return cut(k, func(r *http.Request) { <-r.Context().Done() })
}

// cut sends k bytes of a body, calls atEnd if there were more, and aborts.
func cut(k int64, atEnd func(r *http.Request)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		left, more := k, false
		tw := &tap{ResponseWriter: w}
		tw.write = func(p []byte) (int, error) {
			send := p
			if int64(len(p)) > left {
				send, more = p[:left], true
			}
			left -= int64(len(send))
			if len(send) > 0 {
				if _, err := w.Write(send); err != nil {
					return 0, err
				}
			}
			// The rest is swallowed rather than refused: a handler must not see that it is cut.
			return len(p), nil
		}
		tw.serve(next, r)
		if more && r.Method != http.MethodHead {
			tw.Flush()
			atEnd(r)
			panic(http.ErrAbortHandler)
		}
	}
}

// Corrupt flips one bit of the body byte at offset. The header, its digest included, stays right.
func Corrupt(offset int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		at := int64(0)
		tw := &tap{ResponseWriter: w}
		tw.write = func(p []byte) (int, error) {
			if i := offset - at; i >= 0 && i < int64(len(p)) {
				p = bytes.Clone(p) // the registry may own these bytes
				p[i] ^= 1
			}
			n, err := w.Write(p)
			at += int64(n)
			return n, err
		}
		tw.serve(next, r)
	}
}
