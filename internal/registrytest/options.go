package registrytest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Option configures a server.
type Option func(*config)

// view makes a fault that may look into the registry.
type view func(st *store) Fault

type config struct {
	tls, http2  bool
	latency     time.Duration
	permissive  bool
	noReferrers bool
	sparse      bool
	views       []view
	auth        Fault
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
	for _, v := range slices.Backward(c.views) {
		h = v(st).around(h)
	}
	return h
}

// with adds views.
func with(views ...view) Option {
	return func(c *config) { c.views = append(c.views, views...) }
}

// first adds a view that a request passes before the others.
func first(v view) Option {
	return func(c *config) { c.views = slices.Insert(c.views, 0, v) }
}

// blind makes a view of a fault that does not look into the registry.
func blind(f Fault, when ...Match) view {
	return func(*store) Fault { return only(f, when...) }
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
func WithCatalog() Option { return with(catalogView) }

// GoogleListing answers tag lists with Google's extended body.
func GoogleListing() Option { return with(googleView) }

// NoReferrers answers 404 to the referrers API and confirms no subject.
func NoReferrers() Option {
	return func(c *config) {
		c.noReferrers = true
		with(
			blind(Status(http.StatusNotFound, nil, "404 page not found\n"), Is(Referrers)),
			blind(EditResponse(func(_ int, h http.Header) { h.Del("OCI-Subject") })),
		)(c)
	}
}

// StrictTagList404 answers 404 to the tag list of a repository that never had a tag.
func StrictTagList404() Option { return with(strictTagsView) }

// NoMultiTag ignores the tag parameters of a manifest PUT.
func NoMultiTag() Option {
	return with(
		blind(EditRequest(func(r *http.Request) { editQuery(r, func(q url.Values) { q.Del("tag") }) }), Is(ManifestPut)),
		// olareg confirms even the tag in the path, which registries without the feature do not.
		blind(EditResponse(func(_ int, h http.Header) { h.Del("OCI-Tag") }), Is(ManifestPut)),
	)
}

// NoSinglePost opens an upload session also for a POST that has the blob, and ignores the blob.
func NoSinglePost() Option {
	return with(blind(EditRequest(func(r *http.Request) {
		r.URL.RawQuery, r.Body, r.ContentLength = "", http.NoBody, 0
	}), Is(UploadPost)))
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
	return first(blind(EditRequest(func(r *http.Request) {
		editQuery(r, func(q url.Values) {
			if asked, err := strconv.Atoi(q.Get("n")); err != nil || asked > n {
				q.Set("n", strconv.Itoa(n))
			}
		})
	}), Is(Tags, Catalog)))
}
