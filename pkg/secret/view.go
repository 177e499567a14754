package secret

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf8"
)

// view is a text without its escapes.
type view struct {
	text string
	at   []int // for each byte of text, and its end, the offset in the original text
}

// longestEntity is the length of the longest HTML entity that is decoded, in bytes.
const longestEntity = 10

// unescape returns the view without the escapes of URLs, JSON and HTML that it has, and
// whether it has any.
func (v view) unescape() (next view, changed bool) {
	if !strings.ContainsAny(v.text, `%\&`) {
		return v, false
	}
	var b strings.Builder
	at := make([]int, 0, len(v.at))
	for i := 0; i < len(v.text); {
		char, n := escape(v.text[i:])
		if n == 0 {
			char, n = v.text[i:i+1], 1
		} else {
			changed = true
		}
		for range len(char) {
			at = append(at, v.at[i])
		}
		b.WriteString(char)
		i += n
	}
	return view{b.String(), append(at, v.at[len(v.text)])}, changed
}

// escape returns the character that an escape at the beginning of s stands for, and the
// length of the escape; 0 if there is none.
func escape(s string) (char string, n int) {
	switch {
	case s[0] == '%' && len(s) >= 3:
		if b, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
			return string([]byte{byte(b)}), 3
		}
	case s[0] == '\\' && len(s) >= 6 && s[1] == 'u':
		if r, err := strconv.ParseUint(s[2:6], 16, 16); err == nil {
			return string(rune(r)), 6
		}
	case s[0] == '\\' && len(s) >= 2 && strings.IndexByte(`"\/`, s[1]) >= 0:
		return s[1:2], 2
	case s[0] == '&':
		if end := strings.IndexByte(s[:min(len(s), longestEntity)], ';'); end > 0 {
			if char := html.UnescapeString(s[:end+1]); utf8.RuneCountInString(char) == 1 {
				return char, end + 1
			}
		}
	}
	return "", 0
}
