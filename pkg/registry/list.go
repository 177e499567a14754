package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"cip/pkg/image"
	"cip/pkg/registry/internal/wire"
)

const (
	maxPage  = 64 << 20 // bytes of one page of a listing
	maxPages = 20_000
	maxNames = 5_000_000 // tags of a repository, or repositories of a registry
)

// Listing is what a registry says a repository holds.
type Listing struct {
	Tags     []string                // without Google's extension
	Digests  map[image.Digest]Listed // with Google's extension: everything there is
	Children []string                // with Google's extension: repositories directly below
	Extended bool                    // the registry speaks Google's extension
}

// Listed is one manifest in a Google listing.
type Listed struct {
	MediaType string   `json:"mediaType"`
	Tags      []string `json:"tag"`
}

// page is one page of a tag list, with Google's extension.
type page struct {
	Tags     []string          `json:"tags"`
	Child    []string          `json:"child"`
	Manifest map[string]Listed `json:"manifest"`
}

// List reads the tag list of a repository, all pages. Names that cannot be tags are left out.
func (c *Client) List(ctx context.Context, repo image.Repository) (*Listing, error) {
	out := &Listing{}
	size := 1000 // what every registry should bear; Quay once bore 100 only
	if googleHost(repo.Host) {
		size = 10000
	}
	err := c.pages(ctx, repo, wire.Pull, repo.Path+"/tags/list", size, func(body io.Reader) (int, error) {
		var p page
		raw := json.NewDecoder(body)
		if err := raw.Decode(&p); err != nil {
			return 0, fmt.Errorf("parsing the tag list: %w", err)
		}
		out.add(&p)
		return len(p.Tags) + len(p.Manifest), nil
	})
	return out, err
}

func (l *Listing) add(p *page) {
	if p.Manifest == nil && p.Child == nil {
		for _, t := range p.Tags {
			if image.CheckTag(t) == nil {
				l.Tags = append(l.Tags, t)
			}
		}
		return
	}
	l.Extended = true
	if l.Digests == nil {
		l.Digests = make(map[image.Digest]Listed, len(p.Manifest))
	}
	for name, m := range p.Manifest {
		d, err := image.ParseDigest(name)
		if err != nil {
			continue
		}
		tags := m.Tags[:0]
		for _, t := range m.Tags {
			if image.CheckTag(t) == nil {
				tags = append(tags, t)
			}
		}
		have := l.Digests[d]
		l.Digests[d] = Listed{MediaType: m.MediaType, Tags: append(have.Tags, tags...)}
	}
	l.Children = append(l.Children, p.Child...)
}

// googleHost reports whether a host is known to speak Google's listing.
func googleHost(host string) bool {
	return host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, "-docker.pkg.dev")
}

// pages reads a paged listing and hands each page to take, which returns how many
// names it held. Pages that repeat, come empty for ever or hold too much end in an error.
func (c *Client) pages(ctx context.Context, repo image.Repository, access wire.Access, path string, size int, take func(io.Reader) (int, error)) error {
	var next *url.URL
	seen := map[string]struct{}{}
	for n, names, empty := 0, 0, 0; ; n++ {
		if n == maxPages {
			return fmt.Errorf("reading a listing: more than %d pages", maxPages)
		}
		resp, err := c.page(ctx, repo, access, path, size, next)
		if err != nil {
			return err
		}
		got, err := take(io.LimitReader(resp.Body, maxPage))
		resp.Body.Close()
		if err != nil {
			return err
		}
		if names += got; names > maxNames {
			return fmt.Errorf("reading a listing: more than %d names", maxNames)
		}
		if empty++; got > 0 {
			empty = 0
		}
		link := nextLink(resp.Header.Values("Link"))
		if link == "" {
			return nil
		}
		if next, err = wire.Resolve(resp.Request.URL, link); err != nil {
			return err
		}
		if next.Host != resp.Request.URL.Host {
			return fmt.Errorf("reading a listing: its next page is on another host")
		}
		if _, again := seen[next.RequestURI()]; again || empty == 3 {
			return errors.New("reading a listing: its pages have no end")
		}
		seen[next.RequestURI()] = struct{}{}
	}
}

// page asks for one page: the first with a page size, unless the registry refuses that size.
func (c *Client) page(ctx context.Context, repo image.Repository, access wire.Access, path string, size int, next *url.URL) (*http.Response, error) {
	r := &wire.Request{Method: http.MethodGet, Repo: repo, Path: path, URL: next, Access: access}
	if next != nil {
		return c.do(ctx, r, http.StatusOK)
	}
	for _, n := range []int{size, 100, 0} {
		r.Query = nil
		if n > 0 {
			r.Query = url.Values{"n": {strconv.Itoa(n)}}
		}
		resp, err := c.do(ctx, r, http.StatusOK)
		var e *Error
		if n > 0 && errors.As(err, &e) && (e.Status == http.StatusBadRequest || e.Status == http.StatusRequestEntityTooLarge) {
			continue
		}
		return resp, err
	}
	return nil, errors.New("unreachable")
}

// nextLink returns the target of the Link with rel="next" (RFC 8288), or "".
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
