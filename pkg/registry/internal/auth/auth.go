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
// the usual ones do not do what the tests of this package demand:
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
)

const (
	accountPrefix = "account:" // a principal's key for a Google account; no host or path begins so

	helperKept    = 30 * time.Minute // a helper does not say how long its answer lasts; the shortest clouds give is an hour
	failureKept   = time.Minute      // so that what fails is asked once a minute, not once per repository
	resolveWithin = time.Minute      // helpers may start an interpreter and sign in, but none may hold up a run

	webTimeout  = 20 * time.Second // one request to an identity service on the internet
	linkTimeout = 5 * time.Second  // one request to an identity service on this machine's link
)

// Options says where credentials come from.
type Options struct {
	KeyFiles         []string         // Google JSON key files, for registry entries that name a service account
	NoServiceAccount bool             // ignore the accounts that registry entries name
	NoAmbient        bool             // do not ask the cloud this process runs in
	HTTPClient       *http.Client     // for identity services; nil: clients with timeouts
	Now              func() time.Time // nil: time.Now
	Warn             func(string)     // told once per oddity that was passed over; nil: ignored
	Debug            func(string)     // told once per thing that is as it may be; nil: ignored
}

// Store resolves and caches credentials. It is safe for concurrent use.
type Store struct {
	accounts  map[string]*account // by client_email
	files     []*configFile
	keychain  authn.Keychain
	cache     *cache
	web, link *http.Client // the link has no proxy: identity services on it are this machine's own
	ownClient bool         // web and link come from Options
	now       func() time.Time
	warn      func(key, text string)
	debug     func(key, text string)
	ignore    bool   // the accounts that registry entries name
	firmware  string // firmwareDir but in tests
}

// NewStore reads the key files and the Docker configuration.
// A broken key file is an error here; a broken configuration is one when a host needs it.
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
	s := &Store{
		accounts:  accounts,
		files:     loadConfigs(warn),
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

// Format writes the type's name whatever the verb, so that no flag prints the fields.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("auth.Store")) }

// Principal names the credential that requests for a repository are made with.
// Repositories of one host with equal principals may share tokens. It holds no secret.
type Principal struct {
	Host string // the registry, in its one spelling
	Key  string // the host, the longest configured path that holds the repository, or a Google account
}

// Principal returns who requests for host/path are made as. The account is what
// the registry entry names; it counts only if a key file holds it, and only at
// Google's registries and on this machine: a manifest that names another host must
// not get to see a token that Google's whole cloud accepts.
func (s *Store) Principal(host, path, account string) Principal {
	host = image.CanonicalHost(host)
	switch {
	case account == "" || s.ignore:
	case s.accounts[account] == nil:
		s.debug("key "+account+" "+host, fmt.Sprintf("no key file holds service account %q: %s is spoken to without it", account, host))
	default:
		if image.Google(host) || image.Loopback(host) {
			return Principal{Host: host, Key: accountPrefix + account}
		}
		s.warn("account "+host, fmt.Sprintf("service account %q is not presented to %s: it is not a Google registry", account, host))
	}
	return Principal{Host: host, Key: s.configuredPlace(host, path)}
}

// Credential returns what the principal presents, from memory if it still lasts.
// Callers of one principal share one look-up, which outlives the caller that began it.
func (s *Store) Credential(ctx context.Context, p Principal) (Credential, error) {
	if p.Key == "" {
		p.Key = p.Host
	}
	a, err := s.cache.get(ctx, principalKey(p), func(ctx context.Context) (answer, error) {
		a, err := s.resolve(ctx, p)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			// Not wrapped: a source's time limit must not look like the end of a caller's own context.
			err = errors.New(err.Error())
		}
		return a, err
	})
	if err != nil {
		return Credential{}, fmt.Errorf("finding credentials for %s: %w", p.Host, err)
	}
	return a.cred, nil
}

// Forget drops c, which a registry or token server refused, so that the next
// Credential is resolved anew. What has been renewed since then stays.
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

// principalKey returns the cache's key for p; no host holds a space.
func principalKey(p Principal) string {
	return p.Host + " " + p.Key
}

// once returns a function that tells each key's text at most once, and one at a time.
func once(tell func(string)) func(key, text string) {
	var mu sync.Mutex
	told := map[string]struct{}{}
	return func(key, text string) {
		mu.Lock()
		defer mu.Unlock()
		if _, again := told[key]; !again && tell != nil {
			told[key] = struct{}{}
			tell(text)
		}
	}
}

// client returns base, or a new client, with a time limit and without redirects:
// what is sent to an identity service is a secret that must not travel on.
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
