// Package secret keeps secrets out of messages: a Set knows what was sent as a
// secret, and takes it out of text that others wrote, in every usual spelling.
//
// It holds no credentials for use, only what must not be printed. It is a package
// because registries and git servers both repeat what they were sent.
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
	keyBytes = 8 // spellings from this length on are found inside of words, too
	longName = 8 // bytes from which a user name may be a token
)

// Set is a set of secrets. The zero value is empty. It is safe for concurrent use.
type Set struct {
	mu    sync.RWMutex
	known map[string]struct{} // secrets that were added
	long  map[string][]string // spellings by their first bytes, the longest first
	short []string            // spellings of less than keyBytes, the longest first
}

// Add adds secrets. Empty ones are ignored.
func (s *Set) Add(secrets ...string) {
	for _, secret := range secrets {
		if secret != "" && !s.knows(secret) {
			s.add(secret, spellings(secret))
		}
	}
}

// AddPair adds a user name and password as they are sent together, in the value of an
// Authorization header, and the password by itself. The name is added by itself only if it may be a token: some servers
// take a token in place of the name.
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

// insert adds text to a list that has the longest first. Readers of the old list keep it.
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

// at returns the length of the secret that begins at text[i], or 0. Short ones
// count only as whole words: they may be parts of any word. The caller holds mu.
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

// spellings returns the forms in which a secret may be repeated: as it is, in
// base64, as a part of something longer in base64, and each of these as addresses,
// JSON and HTML write them.
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

// embedded returns what the base64 of every longer text that holds the secret has in
// common, for each of the three places that the secret may begin at.
func embedded(e *base64.Encoding, secret string) []string {
	out := make([]string, 0, 3)
	for before := range 3 {
		text := e.EncodeToString(append(make([]byte, before), secret...))
		out = append(out, text[(before*8+5)/6:(before+len(secret))*8/6])
	}
	return out
}

// quoted returns text as it is between the quotes of JSON.
func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(raw[1 : len(raw)-1])
}

// lowerHex returns an escaped text with its escapes in lower case.
func lowerHex(escaped string) string {
	b := []byte(escaped)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], strings.ToLower(escaped[i+1:i+3]))
		}
	}
	return string(b)
}
