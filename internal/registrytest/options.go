package registrytest

import (
	"net/http"
	"time"
)

// Option configures a server.
type Option func(*config)

// view answers some requests itself and passes others to next.
type view func(st *store, next http.Handler) http.Handler

type config struct {
	tls, http2  bool
	latency     time.Duration
	permissive  bool
	noReferrers bool
	sparse      bool
	pageSize    int
	views       []view
	auth        func(next http.Handler) http.Handler
	tokens      *tokens
}

func newConfig(opts []Option) *config {
	c := &config{}
	for _, o := range opts {
		o(c)
	}
	return c
}

func (c *config) viewed(st *store) http.Handler {
	h := http.Handler(st)
	for i := len(c.views) - 1; i >= 0; i-- {
		h = c.views[i](st, h)
	}
	if c.pageSize > 0 {
		h = capPages(c.pageSize, h)
	}
	return h
}

// TLS serves HTTP/1.1 over TLS.
func TLS() Option {
	return func(c *config) { c.tls = true }
}

// HTTP2 serves HTTP/2 over TLS.
func HTTP2() Option {
	return func(c *config) { c.tls, c.http2 = true, true }
}

// Latency makes each request and each round trip of a connection's handshakes take d.
func Latency(d time.Duration) Option {
	return func(c *config) { c.latency = d }
}

// Permissive stores what it is given, like go-containerregistry's registry:
// no mounts, blobs common to all repositories, no check of digests or parts.
func Permissive() Option {
	return func(c *config) { c.permissive = true }
}

// Sparse accepts images without blobs and indexes without children.
func Sparse() Option {
	return func(c *config) { c.sparse = true }
}

// WithCatalog serves /v2/_catalog, in pages as n and last ask for.
func WithCatalog() Option {
	return func(c *config) { c.views = append(c.views, catalogView) }
}

// GoogleListing answers tag lists with Google's extended body.
func GoogleListing() Option {
	return func(c *config) { c.views = append(c.views, googleView) }
}

// NoReferrers answers 404 to the referrers API and confirms no subject.
func NoReferrers() Option {
	return func(c *config) {
		c.noReferrers = true
		c.views = append(c.views, noReferrersView)
	}
}

// StrictTagList404 answers 404 to the tag list of a repository that never had a tag.
func StrictTagList404() Option {
	return func(c *config) { c.views = append(c.views, strictTagsView) }
}

// NoMultiTag ignores the tag parameters of a manifest PUT.
func NoMultiTag() Option {
	return func(c *config) { c.views = append(c.views, noMultiTagView) }
}

// NoSinglePost opens an upload session also for a POST that has the blob, and ignores the blob.
func NoSinglePost() Option {
	return func(c *config) { c.views = append(c.views, noSinglePostView) }
}

// Distribution answers as the distribution registry does where olareg differs:
// no referrers, no tags in a PUT by digest, no blob in a POST, 404 for the list of a tagless repository, a catalog.
func Distribution() Option {
	return func(c *config) {
		for _, o := range []Option{NoReferrers(), NoMultiTag(), NoSinglePost(), StrictTagList404(), WithCatalog()} {
			o(c)
		}
	}
}

// PageSize sends at most n entries a page from tag lists and catalogs, whatever the client asks for.
func PageSize(n int) Option {
	return func(c *config) { c.pageSize = n }
}
