package output

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Escape makes foreign text fit for a terminal: control characters, bidirectional
// controls and whatever else cannot be seen become Go escapes such as \n and \u202e.
func Escape(s string) string {
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

// hidden reports whether a rune is not seen as itself. Bytes that are no UTF-8 are among them.
func hidden(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }

// escapeJSON escapes within JSON what its encoder leaves and a terminal may obey.
func escapeJSON(b []byte) []byte {
	obeyed := func(r rune) bool { return r >= 0x7f && !strconv.IsPrint(r) }
	if !bytes.ContainsFunc(b, obeyed) {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for _, r := range string(b) {
		if !obeyed(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

// clip returns at most so many runes of s, the last one an ellipsis if some were left out.
func clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
