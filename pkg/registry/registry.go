// Package registry is the only package that talks to registries.
//
// Its Client reads what repositories hold (Read, List, Resolve, Has, Snapshot),
// what belongs to digests (Referrers, Signatures), reads and writes content
// (Manifest, FetchBlob, Mount, Upload, Put, PutTag), and knows how
// registries differ: Google's listing, missing digests in answers, refused
// mounts, referrers without an API. It decides nothing about
// what should be where or in which order things are written; that is for
// packages plan and promote. Requests, tokens, pace and retries are below, in
// internal/wire, internal/auth and internal/pace.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// Options configure a Client.
type Options struct {
	UserAgent        string
	Threads          int      // most requests in flight to a host; 0: adapt, beginning with 10
	QPS              float64  // most requests a second to a host; 0: no bound
	PlainHTTP        []string // hosts without TLS; loopback hosts need not be named
	InsecureTLS      []string // hosts whose certificate is not verified
	RootCAs          [][]byte // PEM certificates trusted besides the system's
	KeyFiles         []string // Google JSON keys for the accounts that manifests name
	NoServiceAccount bool     // ignore the accounts that manifests name
	NoAmbient        bool     // do not ask cloud environments for credentials
	Sites            Sites    // nil: no accounts, only 404 means absent
	Log              logrus.FieldLogger
	Backoff          time.Duration // first wait after a failed try; 0: the default
	Limits           Limits        // how long a host may take
	Files            int           // files and connections that the process may have open; 0: no bound
}

// Limits bound how long a host may take. The zero value has the defaults.
type Limits = wire.Limits

// Sites says how repositories are to be spoken to; *plan.Sites is one.
type Sites interface {
	Account(name.Repository) string
	AbsentStatus(name.Repository) []int
}

// Client reads and writes registries. It is safe for concurrent use.
type Client struct {
	files  int
	wire   *wire.Transport
	log    logrus.FieldLogger
	absent func(name.Repository) []int
	bytes  atomic.Int64
	mounts mounts

	mu          sync.Mutex
	put         map[name.Repository]struct{} // repositories that a manifest was put into
	heads       map[string]heads
	listed      map[name.Repository]struct{} // repositories whose tag list Read has read
	referrers   map[string]struct{}          // hosts that have shown the referrers API
	noReferrers map[name.Repository]int      // digests that the referrers API of a repository was asked for in vain
}

// ErrNotFound is what a registry says does not exist: status 404, or one that the manifest calls absent.
var ErrNotFound = errors.New("not found")

// Error is an answer of a registry that is not what was asked for.
type Error = wire.Error

// UnansweredError is a request that was sent and interrupted: it may have been carried out.
type UnansweredError = wire.UnansweredError

// New returns a client. It reads the key files and sends nothing yet.
func New(o Options) (*Client, error) {
	c := &Client{
		files: o.Files, log: o.Log, absent: func(name.Repository) []int { return nil }, put: map[name.Repository]struct{}{}, referrers: map[string]struct{}{}, noReferrers: map[name.Repository]int{},
		heads: map[string]heads{}, listed: map[name.Repository]struct{}{},
	}
	if c.log == nil {
		quiet := logrus.New()
		quiet.SetLevel(logrus.PanicLevel)
		c.log = quiet
	}
	store, err := auth.NewStore(auth.Options{
		KeyFiles: o.KeyFiles, NoServiceAccount: o.NoServiceAccount, NoAmbient: o.NoAmbient,
		Warn: func(text string) { c.log.Warn(text) }, Debug: func(text string) { c.log.Debug(text) },
	})
	if err != nil {
		return nil, err
	}
	w := wire.Options{
		UserAgent: o.UserAgent, Pace: pace.Options{Threads: o.Threads, QPS: o.QPS},
		PlainHTTP: hostNames(o.PlainHTTP), InsecureTLS: hostNames(o.InsecureTLS), RootCAs: o.RootCAs,
		Credentials: store, Limits: o.Limits, Connections: share(o.Files, 2), Backoff: o.Backoff, Notice: c.log.Infof, Debug: c.log.Debugf,
	}
	if o.Sites != nil {
		c.absent, w.Account = o.Sites.AbsentStatus, o.Sites.Account
	}
	c.wire, err = wire.New(w)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func hostNames(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n
		if r, err := image.ParseRegistry(n); err == nil {
			out[i] = r.RegistryStr()
		}
	}
	return out
}

// keptFiles is how many open files are left to everything but connections and TempFiles.
const keptFiles = 24

// share returns so many fifths of the files that may be open; 0 if there is no bound.
// The rest is for connections that are idle, or are being made.
func share(files, fifths int) int {
	if files == 0 {
		return 0
	}
	return max(1, (files-keptFiles)*fifths/5)
}

// TempFiles returns how many temporary files may be open at once; 0 if there is no bound.
func (c *Client) TempFiles() int { return share(c.files, 1) }

// Close closes idle connections.
func (c *Client) Close() { c.wire.Close() }

// Pause waits before another try of what takes several requests: after the first try
// the shortest time, then ever longer. It returns ctx's error if that ends first.
func (c *Client) Pause(ctx context.Context, tried int) error { return c.wire.Pause(ctx, tried) }

// Requests returns how many requests each host was sent, all kinds and tries included.
func (c *Client) Requests() map[string]int { return c.wire.Requests() }

// BytesCopied returns how many bytes of blobs were sent to registries.
func (c *Client) BytesCopied() int64 { return c.bytes.Load() }

// ExpectReads prepares tokens for reading repositories, up to 50 of them a token.
func (c *Client) ExpectReads(repos []name.Repository) {
	grants := make([]wire.Grant, len(repos))
	for i, r := range repos {
		grants[i] = wire.Grant{Repo: r, Access: wire.Pull}
	}
	c.wire.Expect(grants)
}

// ExpectWrites prepares tokens for writing to repositories; from maps each to the
// repository on the same host that blobs are mounted from, or to the zero value.
func (c *Client) ExpectWrites(repos []name.Repository, from map[name.Repository]name.Repository) {
	var grants []wire.Grant
	for _, r := range repos {
		grants = append(grants, wire.Grant{Repo: r, Access: wire.Push})
		if src := from[r]; src != (name.Repository{}) {
			grants = append(grants, wire.Grant{Repo: r, Access: wire.Push, From: src})
		}
	}
	c.wire.Expect(grants)
}

// do sends a request about a repository and returns the answer if its status is
// one of ok. Statuses that mean absent become ErrNotFound, all others an *Error.
func (c *Client) do(ctx context.Context, r *wire.Request, ok ...int) (*http.Response, error) {
	resp, err := c.wire.Do(ctx, r)
	if err != nil {
		return nil, c.orAbsent(ctx, r, err)
	}
	if slices.Contains(ok, resp.StatusCode) {
		return resp, nil
	}
	return nil, c.orAbsent(ctx, r, wire.ReadError(resp))
}

// orAbsent wraps errors that mean absent. A status of absent-status says that the
// repository does not exist, which is not so once a manifest was put into it.
func (c *Client) orAbsent(ctx context.Context, r *wire.Request, err error) error {
	var e *wire.Error
	if !errors.As(err, &e) {
		return err
	}
	listed := r.Access == wire.Pull && !isStrict(ctx) && !c.wrote(r.Repo) && c.isAbsentStatus(r.Repo, e.Status)
	if e.Status == http.StatusNotFound || listed {
		return fmt.Errorf("%w (%w)", ErrNotFound, e)
	}
	return err
}

// Late reports whether an error says that a host was too slow: another try may take as long again.
func Late(err error) bool { return wire.Late(err) }

// isAbsentStatus reports whether the manifest names a status as one that means absent.
func (c *Client) isAbsentStatus(repo name.Repository, status int) bool {
	return slices.Contains(c.absent(repo), status)
}

// state turns the error of a read into what is known.
func state(err error) (inventory.State, error) {
	switch {
	case err == nil:
		return inventory.Present, nil
	case errors.Is(err, ErrNotFound):
		return inventory.Absent, nil
	}
	return inventory.Unknown, err
}
