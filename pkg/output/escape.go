package output

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// CI systems execute commands in the output of a step. Commands of GitHub begin a line
// (::error::text). Older ones of GitHub, and those of Azure (##[error]text,
// ##vso[task.complete]) and TeamCity (##teamcity[), can be anywhere. Foreign text must
// not contain a command.
var (
	lineCommand   = regexp.MustCompile(`^ *::`)
	inlineCommand = regexp.MustCompile(`##([A-Za-z]*\[)`)
)

// Escape makes foreign text safe for a terminal and for the log of a CI system. Control
// characters, bidirectional controls and other invisible characters become Go escapes
// such as \n and \u202e, and so does one character of each command.
func Escape(s string) string {
	s = inlineCommand.ReplaceAllString(visible(s), `#\x23$1`)
	if lineCommand.MatchString(s) {
		s = strings.Replace(s, ":", `\x3a`, 1)
	}
	return s
}

// escapeLines escapes text line by line. Tabs and line ends stay.
func escapeLines(text []byte) []byte {
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		rest := strings.TrimRight(line, "\r\n")
		end := line[len(rest):]
		words := strings.Split(rest, "\t")
		for j := range words {
			words[j] = Escape(words[j])
		}
		lines[i] = strings.Join(words, "\t") + end
	}
	return []byte(strings.Join(lines, ""))
}

// visible escapes the invisible characters of s.
func visible(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case hidden(r):
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// hidden reports whether a rune is invisible. Bytes that are not UTF-8 are, too.
func hidden(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }

// EscapeJSON escapes invisible characters and commands of CI systems in the strings of JSON.
func EscapeJSON(b []byte) []byte {
	b = inlineCommand.ReplaceAll(b, []byte(`#\u0023$1`))
	return escapeRunes(b, func(out []byte, r rune) []byte {
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
		return out
	})
}

// escapeRunes escapes invisible runes beyond ASCII.
func escapeRunes(b []byte, escape func(out []byte, r rune) []byte) []byte {
	obeyed := func(r rune) bool { return r >= 0x7f && !strconv.IsPrint(r) }
	if !bytes.ContainsFunc(b, obeyed) {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for _, r := range string(b) {
		if obeyed(r) {
			out = escape(out, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// clip shortens s to a number of runes. The last one is an ellipsis if s was longer.
func clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
