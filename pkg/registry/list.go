package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

const (
	maxPage  = 32 << 20 // bytes of one page of a listing
	maxPages = 20_000
	maxNames = 2_000_000 // tags in a repository, or repositories in a registry
)

// Listing is the tag list of a repository, with Google's extension if there is one.
type Listing struct {
	Tags     []string           // all tags; with Google's extension, those without a sha256 digest
	Digests  map[v1.Hash]Listed // Google's extension: every sha256 digest
	Children []string           // Google's extension: repositories directly below
	Extended bool               // the list has Google's extension
	Empty    bool               // the list has no tag and no digest, not even one that was left out

	loose map[string]struct{} // tags, while the listing is read
}

// Listed is a manifest in Google's extension of a tag list.
type Listed struct {
	MediaType types.MediaType `json:"mediaType"`
	Tags      []string        `json:"tag"`
	Uploaded  milliseconds    `json:"timeUploadedMs"`
}

// milliseconds is a time in milliseconds since 1970. Zero: unknown.
type milliseconds int64

// UnmarshalJSON implements json.Unmarshaler. A time that is not a number is unknown.
func (m *milliseconds) UnmarshalJSON(raw []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	if err == nil {
		*m = milliseconds(n)
	}
	return nil
}

// Time returns the time, zero if it is unknown.
func (m milliseconds) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// List reads all pages of a repository's tag list.
//
// It leaves out invalid tags and those for which keep returns false, so the caller
// limits the memory that the list needs. A nil keep keeps all tags.
func (c *Client) List(ctx context.Context, repo name.Repository, keep func(tag string) bool) (*Listing, error) {
	out := &Listing{Empty: true}
	size := 1000 // every registry should accept it; Quay once accepted only 100
	if image.Google(repo.RegistryStr()) {
		size = 10000
	}
	wanted := func(tag string) bool { return image.CheckTag(tag) == nil && (keep == nil || keep(tag)) }
	err := c.pages(ctx, listing{repo: repo, path: repo.RepositoryStr() + "/tags/list", size: size}, func(body io.Reader) (func() int, error) {
		p := &page{keep: wanted}
		if err := p.read(body); err != nil {
			return nil, fmt.Errorf("parsing the tag list: %w", err)
		}
		return func() int { return out.add(p) }, nil
	})
	if out.Extended { // keep tags of digests that are not sha256
		out.settle()
		out.Tags = slices.Sorted(maps.Keys(out.loose))
		out.loose = nil
	}
	return out, err
}

// settle removes the tags that digests have from those without a digest. A tag that two
// digests have contradicts itself: it is one without a digest.
func (l *Listing) settle() {
	again := false // a tag was not in the list of tags, or is removed already
	for _, m := range l.Digests {
		for _, t := range m.Tags {
			_, ok := l.loose[t]
			again = again || !ok
			delete(l.loose, t)
		}
	}
	if !again {
		return
	}
	digests := map[string]int{} // by tag
	for _, m := range l.Digests {
		for _, t := range m.Tags {
			digests[t]++
		}
	}
	for d, m := range l.Digests {
		m.Tags = slices.DeleteFunc(m.Tags, func(t string) bool {
			if digests[t] > 1 {
				l.loose[t] = struct{}{}
			}
			return digests[t] > 1
		})
		l.Digests[d] = m
	}
}

// ByTag returns the digest of each tag, or zero if the list does not have it.
func (l *Listing) ByTag() map[string]v1.Hash {
	tags := make(map[string]v1.Hash, len(l.Tags))
	for _, t := range l.Tags {
		tags[t] = v1.Hash{}
	}
	for d, m := range l.Digests {
		for _, t := range m.Tags {
			tags[t] = d
		}
	}
	return tags
}

func (l *Listing) add(p *page) int {
	l.Empty = l.Empty && p.names == len(p.children)
	if !p.extended {
		l.Tags = append(l.Tags, p.tags...)
		return p.names
	}
	l.Extended = true
	if l.Digests == nil {
		l.Digests, l.loose = make(map[v1.Hash]Listed, len(p.manifests)), map[string]struct{}{}
	}
	for _, t := range p.tags {
		l.loose[t] = struct{}{}
	}
	for d, m := range p.manifests {
		have := l.Digests[d]
		l.Digests[d] = Listed{MediaType: m.MediaType, Tags: append(have.Tags, m.Tags...), Uploaded: m.Uploaded}
	}
	l.Children = append(l.Children, p.children...)
	return p.names
}

// page is one page of a tag list.
type page struct {
	keep      func(string) bool
	names     int // entries, kept or not
	tags      []string
	children  []string
	manifests map[v1.Hash]Listed
	extended  bool
}

// read parses a page while it is read.
//
// It stores only what is kept, so a hostile page does not use more memory.
func (p *page) read(body io.Reader) error {
	known := false
	err := object(body, func(key string, dec *json.Decoder) error {
		switch key {
		case "tags":
			known = true
			return p.list(dec, func(tag string) {
				if p.keep(tag) {
					p.tags = append(p.tags, tag)
				}
			})
		case "child":
			known, p.extended = true, true
			return p.list(dec, func(child string) { p.children = append(p.children, child) })
		case "manifest":
			known, p.extended = true, true
			return p.manifest(dec)
		}
		return skip(dec)
	})
	if err == nil && !known {
		return errors.New("it has no field tags")
	}
	return err
}

func (p *page) list(dec *json.Decoder, take func(string)) error {
	return elements(dec, '[', func() error {
		var name *string
		if err := dec.Decode(&name); err != nil {
			return err
		}
		p.names++
		if name != nil {
			take(*name)
		}
		return nil
	})
}

func (p *page) manifest(dec *json.Decoder) error {
	p.manifests = map[v1.Hash]Listed{}
	return elements(dec, '{', func() error {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var m Listed
		if err := dec.Decode(&m); err != nil {
			return err
		}
		p.names++
		name, _ := key.(string)
		if d, err := image.ParseDigest(name); err == nil {
			if _, twice := p.manifests[d]; twice {
				return fmt.Errorf("it names %s twice", d)
			}
			m.Tags = slices.DeleteFunc(m.Tags, func(t string) bool { return !p.keep(t) })
			p.manifests[d] = m
		}
		return nil
	})
}

// listing is a request for a paged list.
type listing struct {
	repo   name.Repository // whose token is used
	access wire.Access
	path   string // below /v2/
	size   int    // requested entries per page; 0: the registry decides
	accept string // media type of the pages; empty: any
	home   bool   // after a redirect to another host, only status 200 is accepted
}

// errLongList is the error if all pages take too long.
var errLongList = inventory.Retryable(errors.New("reading a listing: its pages take too long"))

// errOtherType is the error for an answer that does not have the media type of the list.
var errOtherType = errors.New("reading a listing: the answer has another media type")

// pages reads all pages of a list.
//
// decode parses a page. The function that it returns adds the page to the result and
// returns the number of its names. A page that breaks off is read again. It is an
// error if pages repeat, if three in a row are empty, or if there are too many names.
func (c *Client) pages(ctx context.Context, l listing, decode func(io.Reader) (func() int, error)) (err error) {
	defer c.clean(&err)
	ctx, cancel := context.WithTimeoutCause(ctx, c.wire.Limits().List, errLongList)
	defer cancel()
	var next *url.URL
	seen := map[string]struct{}{}
	for n, names, empty := 0, 0, 0; ; n++ {
		if n == maxPages {
			return fmt.Errorf("reading a listing: more than %d pages", maxPages)
		}
		got, after, err := c.onePage(ctx, l, next, decode)
		if err != nil && errors.Is(context.Cause(ctx), errLongList) {
			return errLongList
		}
		if err != nil && n > 0 {
			return inventory.RetryableAs(fmt.Errorf("reading a listing, page %d: %s", n+1, err.Error()), err) // the error text only: the list exists, because its first page did
		}
		if err != nil {
			return err
		}
		if names += got; names > maxNames {
			return fmt.Errorf("reading a listing: more than %d names", maxNames)
		}
		if empty++; got > 0 {
			empty = 0
		}
		if after == nil {
			return nil
		}
		if _, again := seen[after.RequestURI()]; again || empty == 3 {
			return errors.New("reading a listing: its pages never end")
		}
		seen[after.RequestURI()] = struct{}{}
		next = after
	}
}

// onePage reads one page. It returns the number of names and the URL of the next page.
//
// A page that breaks off is read again.
func (c *Client) onePage(ctx context.Context, l listing, at *url.URL, decode func(io.Reader) (func() int, error)) (names int, next *url.URL, err error) {
	for try := 1; ; try++ {
		resp, err := c.page(ctx, l, at)
		if err != nil {
			return 0, nil, err
		}
		if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); l.accept != "" && t != l.accept {
			resp.Body.Close()
			return 0, nil, errOtherType
		}
		body := &trackedBody{Reader: io.LimitReader(resp.Body, maxPage)}
		take, err := decode(body)
		resp.Body.Close()
		if body.broken != nil && !lastTry(try, body.broken) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if link := nextLink(resp.Header.Values("Link")); link != "" {
			if next, err = wire.Resolve(resp.Request.URL, link); err != nil {
				return 0, nil, c.wire.Clean(err)
			}
			if next.Host != resp.Request.URL.Host {
				return 0, nil, errors.New("reading a listing: its next page is on another host")
			}
		}
		return take(), next, nil
	}
}

// trackedBody is a body that records a failed read.
type trackedBody struct {
	io.Reader
	broken error
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken = err
	}
	return n, err
}

// page requests one page, first with a page size.
//
// If the registry rejects the size, it tries 100, then none.
func (c *Client) page(ctx context.Context, l listing, next *url.URL) (*http.Response, error) {
	r := &wire.Request{Method: http.MethodGet, Repo: l.repo, Path: l.path, URL: next, Access: l.access, Home: l.home}
	if l.accept != "" {
		r.Header = http.Header{"Accept": {l.accept}}
	}
	if next == nil && l.size > 0 {
		for _, n := range []int{l.size, 100} {
			r.Query = url.Values{"n": {strconv.Itoa(n)}}
			resp, err := c.do(ctx, r, http.StatusOK)
			if status := statusOf(err); status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
				return resp, err
			}
		}
		r.Query = nil
	}
	return c.do(ctx, r, http.StatusOK)
}

// nextLink returns the target of the link with rel="next" (RFC 8288), or "".
func nextLink(headers []string) string {
	for _, h := range headers {
		for h != "" {
			_, rest, ok := strings.Cut(h, "<")
			if !ok {
				break
			}
			target, params, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			own := params
			if i := strings.IndexByte(params, '<'); i >= 0 {
				own, h = params[:i], params[i:]
			} else {
				h = ""
			}
			for _, p := range strings.FieldsFunc(own, func(r rune) bool { return r == ';' || r == ',' }) {
				k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
				if strings.EqualFold(strings.TrimSpace(k), "rel") && strings.Contains(" "+strings.ToLower(strings.Trim(v, `" `))+" ", " next ") {
					return target
				}
			}
		}
	}
	return ""
}
