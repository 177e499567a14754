package provenance

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// The kinds of patterns.
const (
	Exact  = "exact"
	Prefix = "prefix"
	Glob   = "glob"  // path.Match: * stops at a slash
	Regex  = "regex" // of the whole value, unlike the flag --certificate-identity-regexp
)

// Pattern matches a part of an identity: exactly, by prefix, as a glob or as a regular
// expression of the whole value.
//
// NewPattern returns one. A Pattern without it matches nothing.
type Pattern struct {
	Kind  string // exact, prefix, glob or regex
	Fold  bool   // upper and lower case of ASCII letters are the same
	Value string

	folded string         // Value, in lower case if Fold is set
	re     *regexp.Regexp // of kind regex
}

// NewPattern returns the pattern of a value that must not be blank.
func NewPattern(kind string, fold bool, value string) (Pattern, error) {
	p := Pattern{Kind: kind, Fold: fold, Value: value, folded: value}
	if strings.TrimSpace(value) == "" {
		return Pattern{}, errors.New("it is empty")
	}
	if fold {
		p.folded = lower(value)
	}
	switch kind {
	case Exact, Prefix:
	case Glob:
		if !isGlob(p.folded) {
			return Pattern{}, malformed(value)
		}
	case Regex:
		if fold {
			value = "(?i)" + value
		}
		re, err := regexp.Compile(value)
		if err != nil {
			return Pattern{}, fmt.Errorf("%w: %w", malformed(p.Value), err)
		}
		re.Longest()
		p.re = re
	default:
		return Pattern{}, fmt.Errorf("unknown kind of match %q: want exact, prefix, glob or regex", yamlread.Clip(kind))
	}
	return p, nil
}

// Matches reports whether the pattern matches the whole value.
func (p Pattern) Matches(value string) bool {
	if p.folded == "" || p.Fold && slices.ContainsFunc([]rune(value), foldsToASCII) {
		return false
	}
	if p.Kind == Regex {
		// The leftmost longest match is the whole value if any match is. Text around
		// the expression, such as ^(?:…)$, could be given another meaning by the expression.
		at := p.re.FindStringIndex(value)
		return at != nil && at[0] == 0 && at[1] == len(value)
	}
	if p.Fold {
		value = lower(value)
	}
	switch p.Kind {
	case Exact:
		return value == p.folded
	case Prefix:
		return strings.HasPrefix(value, p.folded)
	case Glob:
		ok, err := path.Match(p.folded, value)
		return ok && err == nil
	}
	return false
}

// foldsToASCII reports whether r is not ASCII but has an ASCII letter as its other case.
//
// Regular expressions that ignore case match the Kelvin sign as k. A certificate may
// have the address of a stranger that differs from a trusted one only in this.
func foldsToASCII(r rune) bool { return r == '\u212A' || r == '\u017F' }

// lower returns s with ASCII letters in lower case.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// isGlob reports whether pattern has the syntax of path.Match.
func isGlob(pattern string) bool {
	_, err := path.Match(pattern, "")
	return err == nil
}

func malformed(pattern string) error {
	return errors.New("malformed pattern " + strconv.Quote(yamlread.Clip(pattern)))
}
