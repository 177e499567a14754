package registry

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// maxPosted is the size of the largest blob that is sent with the POST, in bytes. If
	// the host opens a session nevertheless, these bytes were sent in vain.
	maxPosted = 256 << 10
	// maxFirstPost is the same until a host has accepted one.
	maxFirstPost = 32 << 10

	// maxPostFailures is the number of POSTs with a blob that may fail without an answer
	// that decides, before a host is not sent any more.
	maxPostFailures = 2

	// firstPostTime bounds the time that other blobs wait for the answer to the first one.
	firstPostTime = 5 * time.Second
)

// posts holds whether one host stores a blob that is sent with the POST of an upload (OCI
// distribution-spec, "POST then PUT" and "Single POST").
type posts struct {
	mu       sync.Mutex
	asking   chan struct{} // closed when the first such POST is answered; nil: none is sent
	accepted bool
	refused  bool
	failed   int
}

// begin reports whether a blob may be sent with the POST. Until a host has accepted one,
// they are sent one at a time, and the other small blobs wait: they need one request less
// if it is accepted.
func (p *posts) begin(ctx context.Context, size int64) bool {
	timer := time.NewTimer(firstPostTime)
	defer timer.Stop()
	for {
		may, wait := p.next(size)
		if wait == nil {
			return may
		}
		select {
		case <-wait:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// next reports whether a blob may be sent with the POST, or returns a channel that is
// closed when this is known.
func (p *posts) next(size int64) (may bool, wait <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.refused || size > maxPosted || !p.accepted && size > maxFirstPost:
		return false, nil
	case p.accepted:
		return true, nil
	case p.asking != nil:
		return false, p.asking
	default:
		p.asking = make(chan struct{})
		return true, nil
	}
}

// end records the answer to a POST that begin allowed. status is 0 without an answer.
func (p *posts) end(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case status == http.StatusCreated:
		p.accepted = true
	case status == http.StatusAccepted:
		p.refused = true
	case !p.accepted:
		p.failed++
		p.refused = p.refused || p.failed == maxPostFailures
	}
	if p.asking != nil {
		close(p.asking)
		p.asking = nil
	}
}

// Send begins to send a blob. It sends a small one with the POST, unless the host is
// known to open a session nevertheless. If the registry has then stored the blob, Send
// returns no session. In all other cases the caller must put the blob into the session.
//
// After an error the registry may have stored the blob.
func (c *Client) Send(ctx context.Context, repo name.Repository, d v1.Descriptor, body func() (io.ReadCloser, error)) (*Session, error) {
	posts := &c.host(repo).posts
	if !posts.begin(ctx, d.Size) {
		return c.Upload(ctx, repo)
	}
	s, status, err := c.post(ctx, repo, d, body)
	posts.end(status)
	if status >= http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusTooManyRequests {
		return c.Upload(ctx, repo)
	}
	return s, err
}

// post sends a blob with the POST that opens an upload. status is that of the answer.
func (c *Client) post(ctx context.Context, repo name.Repository, d v1.Descriptor, body func() (io.ReadCloser, error)) (s *Session, status int, err error) {
	r := uploadRequest(repo)
	r.Query = url.Values{"digest": {d.Digest.String()}}
	r.Header = http.Header{"Content-Type": {"application/octet-stream"}}
	r.Body, r.Length, r.Blob, r.Once = body, d.Size, true, true
	resp, err := c.do(ctx, r, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return nil, statusOf(err), err
	}
	if resp.StatusCode == http.StatusAccepted {
		s, err = c.session(repo, resp)
		return s, resp.StatusCode, err
	}
	resp.Body.Close()
	if err := sameBlob(resp, d.Digest); err != nil {
		return nil, 0, err
	}
	c.bytes.Add(d.Size)
	return nil, resp.StatusCode, nil
}

// StopPosts makes all further blobs be sent in sessions to the host of a repository. It
// lacks a blob that it may have said to have stored.
func (c *Client) StopPosts(repo name.Repository) {
	posts := &c.host(repo).posts
	posts.mu.Lock()
	defer posts.mu.Unlock()
	posts.refused = true
}
