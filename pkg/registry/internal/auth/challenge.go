package auth

import (
	"net/http"
	"strings"
)

const (
	maxChallengeText = 16 << 10 // bytes in one header value; usual ones have less than 1 KiB
	maxChallenges    = 16       // in one response; usual ones have one or two
	maxParams        = 32       // in one challenge; four have a meaning
)

// Challenge is one challenge of a WWW-Authenticate header.
type Challenge struct {
	Scheme   string            // lower case: "bearer", "basic"
	Params   map[string]string // keys lower case: realm, service, scope, error
	Insecure bool              // set by the caller: the registry does not use TLS
}

// ParseChallenges returns the challenges of all WWW-Authenticate headers, in order.
//
// The syntax is that of RFC 9110, section 11.6.1. After a syntax error the rest of the
// header is ignored. A token68 is ignored too.
func ParseChallenges(h http.Header) []Challenge {
	var all []Challenge
	for _, value := range h.Values("WWW-Authenticate") {
		if len(value) > maxChallengeText {
			continue
		}
		p := parser{rest: value}
		for len(all) < maxChallenges {
			c, ok := p.challenge()
			if !ok {
				break
			}
			all = append(all, c)
		}
	}
	return all
}

// parser reads one header value from left to right.
type parser struct{ rest string }

// challenge reads a scheme and the parameters up to the next scheme.
func (p *parser) challenge() (Challenge, bool) {
	p.skip(" \t,")
	scheme := p.token()
	if scheme == "" {
		return Challenge{}, false
	}
	c := Challenge{Scheme: strings.ToLower(scheme), Params: map[string]string{}}
	if p.rest != "" && !strings.ContainsRune(" \t,", rune(p.rest[0])) {
		p.rest = "" // a syntax error
		return Challenge{}, false
	}
	p.skip(" \t")
	if p.token68() {
		return c, true
	}
	for len(c.Params) < maxParams {
		p.skip(" \t,")
		name, value, ok := p.param()
		if !ok {
			return c, true
		}
		if _, twice := c.Params[name]; !twice {
			c.Params[name] = value
		}
	}
	p.rest = ""
	return c, true
}

// token68 skips a token68 that is followed by a comma or the end.
func (p *parser) token68() bool {
	n := span(p.rest, func(b byte) bool { return isAlphanumeric(b) || strings.IndexByte("-._~+/", b) >= 0 })
	end := n + span(p.rest[n:], func(b byte) bool { return b == '=' })
	tail := strings.TrimLeft(p.rest[end:], " \t")
	if n == 0 || (tail != "" && tail[0] != ',') {
		return false
	}
	p.rest = tail
	return true
}

// param reads name=value. It reads nothing if a scheme comes next.
func (p *parser) param() (name, value string, ok bool) {
	before := p.rest
	name = p.token()
	p.skip(" \t")
	if name == "" || !strings.HasPrefix(p.rest, "=") {
		p.rest = before
		return "", "", false
	}
	p.rest = p.rest[1:]
	p.skip(" \t")
	if strings.HasPrefix(p.rest, `"`) {
		if value, ok = p.quoted(); !ok {
			p.rest = ""
			return "", "", false
		}
		return strings.ToLower(name), value, true
	}
	// Some servers omit the quotes around values that need them, such as URLs.
	n := span(p.rest, func(b byte) bool { return b > ' ' && b != ',' && b != '"' })
	value, p.rest = p.rest[:n], p.rest[n:]
	return strings.ToLower(name), value, true
}

// quoted reads a quoted string.
func (p *parser) quoted() (string, bool) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case '\\':
			if i++; i < len(p.rest) {
				b.WriteByte(p.rest[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// token reads a token. It may be empty.
func (p *parser) token() string {
	n := span(p.rest, func(b byte) bool { return isAlphanumeric(b) || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0 })
	t := p.rest[:n]
	p.rest = p.rest[n:]
	return t
}

// skip drops leading characters that are in the set.
func (p *parser) skip(set string) {
	p.rest = strings.TrimLeft(p.rest, set)
}

// span counts the leading bytes of s for which is returns true.
func span(s string, is func(byte) bool) int {
	for i := range len(s) {
		if !is(s[i]) {
			return i
		}
	}
	return len(s)
}

// isAlphanumeric reports whether b is an ASCII letter or digit.
func isAlphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}
