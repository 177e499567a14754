package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// text is YAML text. The places of its nodes hold until it is changed.
type text struct {
	data []byte
	says *imagesList // nil: it has not been parsed since it was changed
}

// Reasons why a text cannot be changed in places.
var (
	errShape = errors.New("the text there is of a form that cannot be edited")

	dashRE = regexp.MustCompile(`^ *- +$`)
	wordRE = regexp.MustCompile(`^[a-zA-Z][\w./-]*$`)
	nullRE = regexp.MustCompile(`^(?i:~|null)`)
)

// countable returns an error if YAML counts lines in the text that do not end with a line feed.
func (t *text) countable() error {
	if bytes.Count(t.data, []byte("\r")) != bytes.Count(t.data, []byte("\r\n")) {
		return errors.New("a line of the text ends with a carriage return alone")
	}
	for _, end := range []string{"\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(t.data, []byte(end)) {
			return fmt.Errorf("a line of the text ends with %+q", end)
		}
	}
	return nil
}

// start returns where n begins, behind its anchor or tag, in bytes.
func (t *text) start(n *yaml.Node) int {
	at := 0
	for range n.Line - 1 {
		next := bytes.IndexByte(t.data[at:], '\n')
		if next < 0 {
			return len(t.data)
		}
		at += next + 1
	}
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(t.data[at:])
		at += size
	}
	for at < len(t.data) && (t.data[at] == '&' || t.data[at] == '!') {
		for at < len(t.data) && !isSpace(t.data[at]) {
			at++
		}
		for at < len(t.data) && isSpace(t.data[at]) {
			at++
		}
	}
	return at
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// end returns where n ends.
func (t *text) end(n *yaml.Node) (int, error) {
	at := t.start(n)
	switch {
	case n.Kind == yaml.AliasNode:
		return at + 1 + len(n.Value), nil
	case n.Kind == yaml.ScalarNode:
		return t.scalarEnd(n, at)
	case n.Style&yaml.FlowStyle != 0:
		return t.closing(at)
	case len(n.Content) == 0:
		return 0, errShape
	}
	last := n.Content[len(n.Content)-1]
	if n.Kind == yaml.MappingNode && t.missing(last) {
		return t.colon(n.Content[len(n.Content)-2])
	}
	return t.end(last)
}

// scalarEnd returns where the scalar n, which begins at at, ends.
func (t *text) scalarEnd(n *yaml.Node, at int) (int, error) {
	switch {
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return t.closing(at)
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0, !bytes.HasPrefix(t.data[at:], []byte(n.Value)):
		return 0, errShape
	}
	return at + len(n.Value), nil
}

// missing reports whether the value n is not written at all.
func (t *text) missing(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && null(n) && !nullRE.Match(t.data[min(t.start(n), len(t.data)):])
}

// closing returns where the brackets or quotes that open at at are closed.
func (t *text) closing(at int) (int, error) {
	var open []byte
	for i := at; i < len(t.data); i++ {
		switch c := t.data[i]; {
		case c == '"' || c == '\'' && (i == at || bytes.IndexByte([]byte(" \t\r\n,[{:"), t.data[i-1]) >= 0):
			end := t.quoteEnd(i)
			if end < 0 {
				return 0, errShape
			}
			i = end
		case c == '[' || c == '{':
			open = append(open, c)
		case c == ']' || c == '}':
			open = open[:max(0, len(open)-1)]
		case c == '#' && i > 0 && isSpace(t.data[i-1]):
			i += max(0, bytes.IndexByte(t.data[i:], '\n'))
		}
		if len(open) == 0 {
			return i + 1, nil
		}
	}
	return 0, errShape
}

// quoteEnd returns the index of the quote that closes the one at at, or -1.
func (t *text) quoteEnd(at int) int {
	quote := t.data[at]
	for i := at + 1; i < len(t.data); i++ {
		switch {
		case quote == '"' && t.data[i] == '\\':
			i++
		case t.data[i] != quote:
		case quote == '\'' && i+1 < len(t.data) && t.data[i+1] == quote:
			i++
		default:
			return i
		}
	}
	return -1
}

// colon returns where the colon behind a key ends.
func (t *text) colon(key *yaml.Node) (int, error) {
	at, err := t.end(key)
	if err != nil {
		return 0, err
	}
	for at < len(t.data) && (t.data[at] == ' ' || t.data[at] == '\t') {
		at++
	}
	if at >= len(t.data) || t.data[at] != ':' {
		return 0, errShape
	}
	return at + 1, nil
}

// replace puts s in place of the bytes between two places.
func (t *text) replace(from, to int, s string) {
	t.data, t.says = slices.Concat(t.data[:from], []byte(s), t.data[to:]), nil
}

// insertAfter puts s behind n.
func (t *text) insertAfter(n *yaml.Node, s string) error {
	at, err := t.end(n)
	if err == nil {
		t.replace(at, at, s)
	}
	return err
}

// line returns where the line of a place begins, and where the next one does.
func (t *text) line(at int) (from, next int) {
	from = bytes.LastIndexByte(t.data[:at], '\n') + 1
	if n := bytes.IndexByte(t.data[at:], '\n'); n >= 0 {
		return from, at + n + 1
	}
	return from, len(t.data)
}

// feed returns the text's own line end.
func (t *text) feed() string {
	if i := bytes.IndexByte(t.data, '\n'); i > 0 && t.data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// insertLines puts lines behind the line of a place, with the text's own line ends.
func (t *text) insertLines(at int, lines []string) {
	feed := t.feed()
	_, next := t.line(at)
	s := strings.Join(lines, feed) + feed
	if next > 0 && t.data[next-1] != '\n' {
		s = feed + s
	}
	t.replace(next, next, s)
}

// indent returns what stands before n on its line, which can only be spaces.
func (t *text) indent(n *yaml.Node) (string, error) {
	at := t.start(n)
	from, _ := t.line(at)
	before := string(t.data[from:at])
	if strings.Trim(before, " ") != "" && !dashRE.MatchString(before) {
		return "", errShape
	}
	return strings.Repeat(" ", len(before)), nil
}

// dash returns what stands before an item of a block list on its line.
func (t *text) dash(item *yaml.Node) (string, error) {
	at := t.start(item)
	from, _ := t.line(at)
	if before := string(t.data[from:at]); dashRE.MatchString(before) {
		return before, nil
	}
	return "", errShape
}

// like returns s in the quotes that n has.
func like(n *yaml.Node, s string) string {
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0:
		return "'" + s + "'"
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return fmt.Sprintf("%q", s)
	}
	return word(s)
}

// word returns s without quotes if any reader of YAML takes it for text.
func word(s string) string {
	switch strings.ToLower(s) {
	case "y", "yes", "n", "no", "on", "off", "true", "false", "null":
		return fmt.Sprintf("%q", s)
	}
	if _, err := image.ParseDigest(s); err == nil || wordRE.MatchString(s) {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// rewrite puts s in place of n.
func (t *text) rewrite(n *yaml.Node, s string) error {
	end, err := t.end(n)
	if err == nil {
		t.replace(t.start(n), end, s)
	}
	return err
}

// clear removes the value of key, which is null or empty, and returns the place behind the colon.
func (t *text) clear(key, value *yaml.Node) (int, error) {
	at, err := t.colon(key)
	if err != nil || t.missing(value) {
		return at, err
	}
	end, err := t.end(value)
	if err == nil {
		t.replace(at, end, "")
	}
	return at, err
}

// setValue puts s in place of a value that is null or empty.
func (t *text) setValue(key, value *yaml.Node, s string) error {
	at, err := t.clear(key, value)
	if err == nil {
		t.replace(at, at, " "+s)
	}
	return err
}

// setLines puts lines in place of a value that is null or empty.
func (t *text) setLines(key, value *yaml.Node, lines []string) error {
	at, err := t.clear(key, value)
	if err == nil {
		t.insertLines(at, lines)
	}
	return err
}
