// Package secret removes secrets from text that others wrote.
//
// A Set holds the secrets that were sent to a server. Redact replaces them in a message
// of that server: as they are, in base64, and with any of their characters escaped as
// URLs, JSON or HTML escape them, also twice. The package is not a store of credentials:
// nothing can be read from a Set. Both pkg/registry and pkg/git need it, because
// registries and git servers may repeat the credentials that they receive.
package secret

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
)

const (
	mark       = "[redacted]"
	keyBytes   = 8 // spellings with this number of bytes or more are found inside of words, too
	maxEscapes = 2 // times that escapes are removed
	longName   = 8 // user names with this number of bytes or more may be tokens
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
//
// Secrets are looked for in the text, in the text without its escapes, and in that
// without its escapes again. So it does not matter which characters a server escapes.
func (s *Set) Redact(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.known) == 0 {
		return text
	}
	v := view{text: text, at: make([]int, len(text)+1)}
	for i := range v.at {
		v.at[i] = i
	}
	var hidden []span
	for range maxEscapes + 1 {
		hidden = append(hidden, s.find(v)...)
		next, changed := v.unescape()
		if !changed {
			break
		}
		v = next
	}
	return replace(text, hidden)
}

// span is a part of a text, from its first byte to the byte after its last one.
type span struct{ from, to int }

// find returns the parts of the original text that are secrets in a view of it.
func (s *Set) find(v view) []span {
	var found []span
	for i := 0; i < len(v.text); {
		n := s.at(v.text, i)
		if n > 0 {
			found = append(found, span{v.at[i], v.at[i+n]})
		}
		i += max(1, n)
	}
	return found
}

// replace replaces parts of a text by a mark. Parts that overlap become one.
func replace(text string, parts []span) string {
	slices.SortFunc(parts, func(a, b span) int { return cmp.Or(a.from-b.from, b.to-a.to) })
	var b strings.Builder
	done := 0
	for _, p := range parts {
		if p.from >= done {
			b.WriteString(text[done:p.from])
			b.WriteString(mark)
		}
		done = max(done, p.to)
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

// spellings returns the forms of a secret that are looked for: plain text, base64, and a
// part of a longer text in base64.
func spellings(secret string) []string {
	all := []string{secret, strings.ReplaceAll(secret, " ", "+")} // a query writes "+" for a space
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		all = append(all, e.EncodeToString([]byte(secret)), e.WithPadding(base64.NoPadding).EncodeToString([]byte(secret)))
		if len(secret) >= keyBytes {
			all = append(all, embedded(e, secret)...)
		}
	}
	return all
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
