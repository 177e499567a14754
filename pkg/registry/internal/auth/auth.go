// Package auth finds credentials for registries and exchanges them for bearer tokens.
//
// Credentials come from authn.Keychain values, which authn.NewMultiKeychain puts in
// order: the accounts of key files, the Docker configuration, the identity of a cloud.
// A Store caches their answers and renews them before they expire. The caller is the
// transport, which sends the credentials.
//
// The package never calls a registry's own API, never retries, never logs and never
// writes a file. Secrets leave it only in the exported fields of Credential and Token:
// printing or encoding those, or an error, reveals nothing.
//
// GitHub's keychain is the one of go-containerregistry. These are written here, because
// the usual ones do not pass the tests of this package:
//
//   - authn.DefaultKeychain runs credential helpers without a context, so a helper that
//     hangs cannot be ended. It looks up the repository and the host, but no path between
//     them, reads one file only, and fails for all hosts if one entry is broken.
//   - google.Keychain looks for an identity once: if the metadata server fails then, the
//     whole run is anonymous, without an error. It hides when a token expires, and has no
//     short time limit for machines without a metadata server.
//   - The helper for ECR (awslabs/amazon-ecr-credential-helper) has no context, returns
//     "not found" for every failure, and logs to and caches in files of its own.
//   - The helper for ACR (chrismellard/docker-credential-acr-env) has no context, does not
//     say when a token expires, and needs the retired go-autorest.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

const (
	accountPrefix = "account:" // of a principal's key for a Google account; no host or path has this prefix

	helperKept    = 30 * time.Minute // helpers do not say when a credential expires; clouds give at least an hour
	failureKept   = time.Minute      // how long a failure is cached, so that it is not repeated for each repository
	resolveWithin = time.Minute      // for one look-up: a helper may be slow to start, but must not block a run

	webTimeout  = 20 * time.Second // one request to an identity service on the internet
	linkTimeout = 5 * time.Second  // one request to an identity service on this machine's link
)

// Options configure a Store.
type Options struct {
	KeyFiles         []string         // Google JSON key files, for registry entries that name a service account
	NoServiceAccount bool             // ignore the accounts that registry entries name
	NoAmbient        bool             // do not use the identity of the cloud this process runs in
	HTTPClient       *http.Client     // for identity services; nil: clients with timeouts
	Now              func() time.Time // nil: time.Now
	Warn             func(string)     // logs a problem that was skipped, once each; nil: no log
	Debug            func(string)     // logs a decision that may surprise, once each; nil: no log
}

// Store finds and caches credentials. It is safe for concurrent use.
type Store struct {
	accounts  map[string]*account // by client_email
	files     []*configFile
	places    []string // where files were looked for
	keychain  authn.Keychain
	cache     *cache
	web, link *http.Client // link is for metadata services of this machine, and uses no proxy
	ownClient bool         // web and link come from Options
	now       func() time.Time
	warn      func(key, text string)
	debug     func(key, text string)
	ignore    bool   // the accounts that registry entries name
	firmware  string // firmwareDir, except in tests
}

// NewStore reads the key files and the Docker configuration.
//
// A broken key file is an error. A broken configuration file is an error later, for the
// hosts that need it.
func NewStore(o Options) (*Store, error) {
	accounts, err := readKeyFiles(o.KeyFiles)
	if err != nil {
		return nil, err
	}
	if o.NoServiceAccount {
		accounts = nil
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	warn := once(o.Warn)
	files, places := loadConfigs(warn)
	s := &Store{
		files:     files,
		places:    places,
		accounts:  accounts,
		cache:     &cache{now: o.Now, warn: warn, entries: map[string]*entry{}},
		web:       client(o.HTTPClient, webTimeout, http.ProxyFromEnvironment),
		link:      client(o.HTTPClient, linkTimeout, nil),
		ownClient: o.HTTPClient != nil,
		now:       o.Now,
		warn:      warn,
		debug:     once(o.Debug),
		ignore:    o.NoServiceAccount,
		firmware:  firmwareDir,
	}
	s.keychain = s.newKeychain(o.NoAmbient)
	return s, nil
}

// Format writes the name of the type, so that no verb prints a secret.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("auth.Store")) }

// Principal names the credential for a repository. It holds no secret.
//
// Repositories on one host with equal principals may share bearer tokens.
type Principal struct {
	Host string // the registry, in canonical spelling
	Key  string // the longest configured path that contains the repository, the host, or a Google account
}

// Principal returns the principal for the repository host/path.
//
// account is the one that the registry entry names, or "". It is used only if a key file
// holds it, and only for Google's registries and this machine: the token is valid in all
// of Google's cloud, so a manifest must not be able to send it to another host.
func (s *Store) Principal(host, path, account string) Principal {
	host = image.CanonicalHost(host)
	switch {
	case account == "" || s.ignore:
	case s.accounts[account] == nil:
		s.debug("key "+account+" "+host, fmt.Sprintf("no key file holds service account %q: %s is used without it", account, host))
	default:
		if image.Google(host) || image.Loopback(host) {
			return Principal{Host: host, Key: accountPrefix + account}
		}
		s.warn("account "+host, fmt.Sprintf("service account %q is not presented to %s: it is not a Google registry", account, host))
	}
	return Principal{Host: host, Key: s.configuredPath(host, path)}
}

// Credential returns the credential of a principal.
//
// It comes from the cache if it is still valid. Concurrent callers share one look-up. It
// continues if the caller that started it ends.
func (s *Store) Credential(ctx context.Context, p Principal) (Credential, error) {
	if p.Key == "" {
		p.Key = p.Host
	}
	a, err := s.cache.get(ctx, principalKey(p), func(ctx context.Context) (answer, error) {
		a, err := s.resolve(ctx, p)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			// Not wrapped: the time limit of a look-up must not look like the end of the caller's context.
			err = inventory.Retryable(errors.New(err.Error()))
		}
		return a, err
	})
	if err != nil {
		return Credential{}, fmt.Errorf("finding credentials for %s: %w", p.Host, err)
	}
	return a.cred, nil
}

// Forget drops a credential refused by registry or token server.
//
// The next call of Credential looks it up again. A credential that was renewed in the
// meantime stays.
func (s *Store) Forget(p Principal, c Credential) {
	s.cache.forget(principalKey(p), c)
}

// resolve asks the keychains.
func (s *Store) resolve(ctx context.Context, p Principal) (answer, error) {
	authenticator, err := authn.Resolve(ctx, s.keychain, p)
	if err != nil {
		return answer{}, err
	}
	return answerOf(ctx, authenticator)
}

// principalKey returns the cache key of p. A host contains no space.
func principalKey(p Principal) string {
	return p.Host + " " + p.Key
}

// once returns a function that logs each key only once.
func once(log func(string)) func(key, text string) {
	var mu sync.Mutex
	logged := map[string]struct{}{}
	return func(key, text string) {
		mu.Lock()
		defer mu.Unlock()
		if _, again := logged[key]; !again && log != nil {
			logged[key] = struct{}{}
			log(text)
		}
	}
}

// client returns base or a new client, with a timeout.
//
// It follows no redirects. A request to an identity service holds a secret, which must
// not go to another host.
func client(base *http.Client, limit time.Duration, proxy func(*http.Request) (*url.URL, error)) *http.Client {
	c := http.Client{}
	if base != nil {
		c = *base
	} else {
		c.Transport = &http.Transport{
			Proxy:               proxy,
			DialContext:         (&net.Dialer{Timeout: limit / 2}).DialContext,
			TLSHandshakeTimeout: limit / 2,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
		}
	}
	if c.Timeout == 0 {
		c.Timeout = limit
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}
