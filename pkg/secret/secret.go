// Package secret removes secrets from text that others wrote.
//
// A Set holds the secrets that were sent to a server. Redact replaces them in a message
// of that server, in every usual spelling. The package is not a store of credentials:
// nothing can be read from a Set. Both pkg/registry and pkg/git need it, because
// registries and git servers may repeat the credentials that they receive.
package secret

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

const (
	mark     = "[redacted]"
	keyBytes = 8 // spellings with this number of bytes or more are found inside of words, too
	longName = 8 // user names with this number of bytes or more may be tokens
)

// Set is a set of secrets.
//
// The zero value is empty. It is safe for concurrent use.
type Set struct {
	mu    sync.RWMutex
	known map[string]struct{} // secrets that were added
	long  map[string][]string // spellings by their first keyBytes bytes, longest first
	short []string            // spellings with less than keyBytes bytes, longest first
}

// Add adds secrets. Empty strings are ignored.
func (s *Set) Add(secrets ...string) {
	for _, secret := range secrets {
		if secret != "" && !s.knows(secret) {
			s.add(secret, spellings(secret))
		}
	}
}

// AddPair adds a user name and password.
//
// It adds the password alone and the value of the Basic Authorization header. The name
// alone is added only if it may be a token: some servers accept a token in place of the
// user name.
func (s *Set) AddPair(name, password string) {
	s.Add(password)
	if password == "" || len(name) >= longName {
		s.Add(name)
	}
	if name != "" || password != "" {
		pair := name + ":" + password
		s.Add(pair, base64.StdEncoding.EncodeToString([]byte(pair)))
	}
}

func (s *Set) knows(secret string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.known[secret]
	return ok
}

func (s *Set) add(secret string, spelled []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known, s.long = map[string]struct{}{}, map[string][]string{}
	}
	s.known[secret] = struct{}{}
	for _, text := range spelled {
		if len(text) < keyBytes {
			s.short = insert(s.short, text)
			continue
		}
		key := text[:keyBytes]
		s.long[key] = insert(s.long[key], text)
	}
}

// insert adds text to a copy of a list, longest first.
func insert(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	list = append(slices.Clone(list), text)
	slices.SortStableFunc(list, func(a, b string) int { return len(b) - len(a) })
	return list
}

// Redact returns text with every secret replaced.
func (s *Set) Redact(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.known) == 0 {
		return text
	}
	var b strings.Builder
	done := 0
	for i := 0; i < len(text); {
		n := s.at(text, i)
		if n == 0 {
			i++
			continue
		}
		b.WriteString(text[done:i])
		b.WriteString(mark)
		i += n
		done = i
	}
	if done == 0 {
		return text
	}
	b.WriteString(text[done:])
	return b.String()
}

// at returns the length of the secret that begins at text[i], or 0.
//
// Short secrets are found only as whole words, because other words may contain them. The
// caller holds mu.
func (s *Set) at(text string, i int) int {
	rest := text[i:]
	if len(rest) >= keyBytes {
		for _, spelled := range s.long[rest[:keyBytes]] {
			if strings.HasPrefix(rest, spelled) {
				return len(spelled)
			}
		}
	}
	for _, spelled := range s.short {
		end := i + len(spelled)
		if strings.HasPrefix(rest, spelled) && (i == 0 || !word(text[i-1])) && (end == len(text) || !word(text[end])) {
			return len(spelled)
		}
	}
	return 0
}

func word(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// spellings returns all forms in which a server may repeat a secret.
//
// These are plain text, base64, and a part of a longer text in base64, each also with the
// escapes of URLs, JSON and HTML.
func spellings(secret string) []string {
	plain := []string{secret}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		plain = append(plain, e.EncodeToString([]byte(secret)), e.WithPadding(base64.NoPadding).EncodeToString([]byte(secret)))
		if len(secret) >= keyBytes {
			plain = append(plain, embedded(e, secret)...)
		}
	}
	all := map[string]struct{}{}
	for _, text := range plain {
		for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text), quoted(text)} {
			all[form], all[lowerHex(form)] = struct{}{}, struct{}{}
		}
	}
	return slices.Collect(maps.Keys(all))
}

// embedded returns the base64 of a secret inside of a longer text.
//
// Base64 encodes groups of three bytes, so there is one form for each position in a
// group. Characters that depend on the bytes around the secret are left out.
func embedded(e *base64.Encoding, secret string) []string {
	out := make([]string, 0, 3)
	for before := range 3 {
		text := e.EncodeToString(append(make([]byte, before), secret...))
		out = append(out, text[(before*8+5)/6:(before+len(secret))*8/6])
	}
	return out
}

// quoted returns text with the escapes of JSON.
func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(raw[1 : len(raw)-1])
}

// lowerHex returns text with its percent escapes in lower case.
func lowerHex(escaped string) string {
	b := []byte(escaped)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], strings.ToLower(escaped[i+1:i+3]))
		}
	}
	return string(b)
}
