// Package registry reads from and writes to registries. No other package does.
//
// A Client reads what repositories hold (Read, List, Resolve, Has, Snapshot), what
// refers to a digest (Referrers, Signatures), and content (Manifest, FetchBlob). It
// writes content with Mount, Upload, Put, PutTag and PutReferrer. It handles the differences
// between registries. It does not decide what to write or in which order: packages
// plan and promote do. Requests and retries are in internal/wire, credentials and
// tokens in internal/auth, request rates in internal/pace.
//
// Names, digests, descriptors and media types are those of go-containerregistry.
// Its package remote can do several of the operations here. The table lists what is
// used and why the rest is not. Numbers of requests are counted by
// TestRequestsComparedWithRemote, where package remote uses one Puller and one Pusher.
// The other reasons are from reading the source of go-containerregistry v0.22.1.
//
//	operation               from     reason
//	names, digests, types   ggcr     packages name, v1 and types
//	handshake               ours     remote pings and gets a token for each repository: 3 requests
//	                                 for the first GET in a further repository, 2 here
//	tokens                  ours     one token for up to 50 repositories: 4 requests for HEAD in two
//	                                 repositories, 6 with remote
//	HEAD of a manifest      ours     as many requests as remote in a known repository (1); ours also
//	                                 checks a 404 with GET where a tag list names the tag
//	GET of a manifest       ours     as many requests as remote in a known repository (1); remote
//	                                 reads up to 100 MiB, ours 8 MiB, and keeps the bytes
//	pages of tags           ours     remote does not read Google's extension in full, and does not
//	                                 limit the number of pages and tags
//	referrers               ours     remote asks the API or reads the fallback tag, never both
//	reading a blob          ours     remote does not continue a download that breaks
//	mounts                  ours     remote sends a HEAD first, and does not report a refusal
//	uploads                 ours     POST and PUT, or POST alone; remote also sends a PATCH for each blob:
//	                                 16 requests for an image of three blobs, 10 to 13 here
//	PUT of a manifest       ours     remote cannot read the tag again right before each try
//
// A transport that answers the ping of transport.NewWithContext itself would save
// remote's handshake. The other reasons would remain.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// Options configures a Client.
type Options struct {
	UserAgent        string
	Threads          int      // maximum requests in flight per host; 0: adapt, starting with 10
	QPS              float64  // maximum requests per second per host; 0: no limit
	PlainHTTP        []string // hosts without TLS, in addition to loopback hosts
	InsecureTLS      []string // hosts whose certificate is not verified
	RootCAs          [][]byte // PEM certificates trusted in addition to those of the system
	KeyFiles         []string // Google JSON keys for the accounts that manifests name
	NoServiceAccount bool     // ignore the accounts that manifests name
	NoAmbient        bool     // do not ask cloud environments for credentials
	Sites            Sites    // nil: no accounts, only 404 means absent
	Log              logrus.FieldLogger
	Backoff          time.Duration // delay before the first retry; 0: the default
	Limits           Limits        // time limits for hosts
	Files            int           // maximum open files and connections of the process; 0: no limit
}

// Limits are time limits for hosts. The zero value means the defaults.
type Limits = wire.Limits

// Sites has the settings of repositories.
type Sites interface {
	// Account returns the service account for a repository, or "".
	Account(name.Repository) string
	// AbsentStatus returns the HTTP statuses that mean absent in a repository, besides 404.
	AbsentStatus(name.Repository) []int
}

// Client reads and writes registries.
//
// It is safe for concurrent use.
type Client struct {
	files  int
	wire   *wire.Transport
	log    logrus.FieldLogger
	absent func(name.Repository) []int
	bytes  atomic.Int64
	hosts  memo.Values[string, host]
	repos  memo.Values[name.Repository, repository]
}

// ErrNotFound is the error for content that does not exist.
//
// The registry answered 404, or with a status that the manifest lists as absent-status.
var ErrNotFound = errors.New("not found")

// Error is an answer of a registry with an unexpected status.
type Error = wire.Error

// New returns a Client. It reads the key files, but sends no request.
func New(o Options) (*Client, error) {
	c := &Client{files: o.Files, log: o.Log, absent: func(name.Repository) []int { return nil }}
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
		Credentials: store, Limits: o.Limits, Connections: share(o.Files, 2), Backoff: o.Backoff,
		Warn: c.log.Warnf, Notice: c.log.Infof, Debug: c.log.Debugf,
	}
	if debugs(c.log) {
		w.Sent = c.logSent
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

// debugs reports whether a log has lines of level debug.
func debugs(log logrus.FieldLogger) bool {
	switch l := log.(type) {
	case *logrus.Logger:
		return l.IsLevelEnabled(logrus.DebugLevel)
	case *logrus.Entry:
		return l.Logger.IsLevelEnabled(logrus.DebugLevel)
	}
	return false
}

// logSent logs an HTTP request.
func (c *Client) logSent(s wire.Sent) {
	line := c.log.WithFields(logrus.Fields{
		"method": s.Method, "url": s.URL, "status": s.Status, "duration": s.Duration.Round(10 * time.Microsecond).String(), "try": s.Try, "credential": s.Credential,
	})
	if s.Err != nil {
		line = line.WithField("error", s.Err.Error())
	}
	line.Debug("HTTP request")
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

// keptFiles is the number of open files that are neither connections nor TempFiles.
const keptFiles = 24

// share returns the given number of fifths of the open files; 0 if there is no limit.
//
// Connections in use get two fifths and temporary files one. The rest is for
// connections that are idle or that are being opened.
func share(files, fifths int) int {
	if files == 0 {
		return 0
	}
	return max(1, (files-keptFiles)*fifths/5)
}

// TempFiles returns the maximum number of open temporary files; 0 if there is no limit.
func (c *Client) TempFiles() int { return share(c.files, 1) }

// Close closes idle connections.
func (c *Client) Close() { c.wire.Close() }

// Pause waits before several requests are tried again.
//
// The delay grows with the number of tries. The error is ctx's, if ctx ends first.
func (c *Client) Pause(ctx context.Context, tried int) error { return c.wire.Pause(ctx, tried) }

// Requests returns the number of requests sent to each host, retries included.
func (c *Client) Requests() map[string]int { return c.wire.Requests() }

// BytesCopied returns the number of blob bytes sent to registries.
func (c *Client) BytesCopied() int64 { return c.bytes.Load() }

// ExpectReads announces repositories to read, so that they share tokens.
//
// One token is for up to 50 repositories.
func (c *Client) ExpectReads(repos []name.Repository) {
	grants := make([]wire.Grant, len(repos))
	for i, r := range repos {
		grants[i] = wire.Grant{Repo: r, Access: wire.Pull}
	}
	c.wire.Expect(grants)
}

// ExpectWrites announces repositories to write, so that they share tokens.
//
// from maps each repository to the one on the same host that blobs are mounted from,
// or to the zero value.
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

// do sends a request and returns the answer if its status is in ok.
//
// The error is ErrNotFound for a status that means absent, and an *Error for others.
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

// orAbsent adds ErrNotFound to errors that mean absent.
//
// A status in absent-status means that the repository does not exist. It has no such
// meaning after a manifest was put into the repository.
func (c *Client) orAbsent(ctx context.Context, r *wire.Request, err error) error {
	var e *wire.Error
	if !errors.As(err, &e) {
		return err
	}
	listed := r.Access == wire.Pull && !isStrict(ctx) && !c.repos.Of(r.Repo).put.Load() && c.isAbsentStatus(r.Repo, e.Status)
	if e.Status == http.StatusNotFound || listed {
		return fmt.Errorf("%w (%w)", ErrNotFound, e)
	}
	return err
}

// isAbsentStatus reports whether the manifest's absent-status has a status.
func (c *Client) isAbsentStatus(repo name.Repository, status int) bool {
	return slices.Contains(c.absent(repo), status)
}

// clean removes what a registry may have repeated of a secret from an error that quotes
// its answer.
func (c *Client) clean(err *error) {
	if *err != nil {
		*err = c.wire.Clean(*err)
	}
}

// state returns the state that the error of a read means.
func state(err error) (inventory.State, error) {
	switch {
	case err == nil:
		return inventory.Present, nil
	case errors.Is(err, ErrNotFound):
		return inventory.Absent, nil
	}
	return inventory.Unknown, err
}
