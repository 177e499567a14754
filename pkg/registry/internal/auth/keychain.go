package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// keychain is an authn.Keychain that takes a context and knows about expiry.
//
// A zero answer means that it has no credential: the next keychain is asked.
type keychain func(ctx context.Context, target authn.Resource) (answer, error)

var (
	_ authn.Keychain        = keychain(nil)
	_ authn.ContextKeychain = keychain(nil)
	_ authn.Resource        = Principal{}
)

// ResolveContext returns the answer as an authenticator, or authn.Anonymous.
func (k keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	a, err := k(ctx, target)
	if err != nil {
		return nil, err
	}
	if a == (answer{}) {
		return authn.Anonymous, nil
	}
	return a, nil
}

// Resolve implements authn.Keychain. The Store calls ResolveContext instead.
func (k keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target) //nolint:forbidigo // the interface has no context
}

// Authorization implements authn.Authenticator.
func (a answer) Authorization() (*authn.AuthConfig, error) {
	return &authn.AuthConfig{
		Username:      a.cred.Username,
		Password:      a.cred.Password,
		IdentityToken: a.cred.IdentityToken,
		RegistryToken: a.cred.RegistryToken,
	}, nil
}

// answerOf returns the credential of an authenticator as an answer.
//
// Only the authenticators of this package say when they expire; others are used for the whole run.
func answerOf(ctx context.Context, authenticator authn.Authenticator) (answer, error) {
	if a, ok := authenticator.(answer); ok {
		return a, nil
	}
	c, err := authn.Authorization(ctx, authenticator)
	if err != nil {
		return answer{}, err
	}
	return answer{cred: Credential{
		Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
	}}, nil
}

// String returns the key: the path in the Docker configuration, or the account.
func (p Principal) String() string { return p.Key }

// RegistryStr returns the host.
func (p Principal) RegistryStr() string { return p.Host }

// newKeychain returns all keychains in their order. The first that answers wins.
func (s *Store) newKeychain(noAmbient bool) authn.Keychain {
	all := []authn.Keychain{keychain(s.account), keychain(s.docker)}
	if !noAmbient {
		all = append(all, s.clouds()...)
	}
	return authn.NewMultiKeychain(all...)
}

// account returns a token of the Google account that the target names.
//
// One token serves the account on every host.
func (s *Store) account(ctx context.Context, target authn.Resource) (answer, error) {
	email, ok := strings.CutPrefix(target.String(), accountPrefix)
	if !ok {
		return answer{}, nil
	}
	a := s.accounts[email]
	if a == nil {
		return answer{}, fmt.Errorf("no key file holds the account %q", email)
	}
	got, err := s.cache.get(ctx, sharedPrefix+target.String(), func(ctx context.Context) (answer, error) {
		return s.accountToken(ctx, a)
	})
	got.cred = got.cred.from("service account", email)
	return got, err
}

// docker returns the credential in the Docker configuration.
//
// The path of the target is looked up first, then its host.
func (s *Store) docker(ctx context.Context, target authn.Resource) (answer, error) {
	a, err := s.configured(ctx, target.String())
	if err != nil || !a.cred.Anonymous() || target.String() == target.RegistryStr() {
		return a, err
	}
	return s.configured(ctx, target.RegistryStr())
}

// cloud returns the keychain of one cloud's identity.
//
// It is used only for the hosts of that cloud: no other host may see the token. An
// identity that is configured and fails is an error. One that this machine only seems
// to have is skipped with a warning.
func (s *Store) cloud(
	name string, serves func(host string) bool, ask func(ctx context.Context, host string) (answer, error),
) keychain {
	return func(ctx context.Context, target authn.Resource) (answer, error) {
		if !serves(target.RegistryStr()) {
			return answer{}, nil
		}
		a, err := ask(ctx, target.RegistryStr())
		if errors.Is(err, errAbsent) {
			return answer{}, nil
		}
		if _, implied := errors.AsType[impliedError](err); implied {
			s.warn("ambient "+name, fmt.Sprintf("passing over this machine's %s identity: %v", name, err))
			return answer{keep: failureKept}, nil
		}
		if err != nil {
			return answer{}, fmt.Errorf("using the %s identity: %w", name, err)
		}
		a.cred = a.cred.from(name+" identity", "")
		return a, nil
	}
}

// onlyFor restricts a keychain to the hosts that it serves. kind is that of its credentials.
func onlyFor(serves func(host string) bool, kind string, inner authn.Keychain) keychain {
	return func(ctx context.Context, target authn.Resource) (answer, error) {
		if !serves(target.RegistryStr()) {
			return answer{}, nil
		}
		authenticator, err := authn.Resolve(ctx, inner, target)
		if err != nil {
			return answer{}, err
		}
		a, err := answerOf(ctx, authenticator)
		a.cred = a.cred.from(kind, "")
		return a, err
	}
}
