package transfer

import (
	"io"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// traffic counts the bytes of blobs that are sent to one host.
type traffic struct{ done, total atomic.Int64 }

// Sent returns how many bytes of blobs a host has got, and how many it will have got
// when all copies that are known so far have ended. A blob that turns out to be there,
// and one that has failed, counts as sent.
func (b *Blobs) Sent(host string) (done, total int64) {
	t := b.traffic.Of(host)
	return t.done.Load(), t.total.Load()
}

// blob begins to count the bytes of a blob, which are in the total already.
func (t *traffic) blob(d v1.Descriptor) *sending { return &sending{traffic: t, size: d.Size} }

// sending counts the bytes of a blob being sent.
type sending struct {
	traffic *traffic
	size    int64

	mu   sync.Mutex
	body int   // the number of the body that is sent: bytes of earlier ones are not counted any more
	n    int64 // bytes of it that were read
}

// next begins to count the bytes of another body, after n bytes.
func (s *sending) next(n int64) (body int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body++
	s.traffic.done.Add(n - s.n)
	s.n = n
	return s.body
}

// end counts the bytes that were not sent, because nothing more will be.
func (s *sending) end() { s.next(s.size) }

// add counts bytes of a body.
func (s *sending) add(body, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if body == s.body {
		s.n += int64(n)
		s.traffic.done.Add(int64(n))
	}
}

// of returns a function that opens a body and counts what is read of it.
func (s *sending) of(open func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		body, err := open()
		if err != nil {
			return nil, err
		}
		return countedBody{body, s, s.next(0)}, nil
	}
}

type countedBody struct {
	io.ReadCloser
	sending *sending
	number  int
}

// Read reads and counts.
func (c countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sending.add(c.number, n)
	return n, err
}
