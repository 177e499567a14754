// Package yamledit changes YAML text in place.
//
// An edit replaces a few bytes. Comments, quotes, order and indentation of all other
// text stay as they are, which decoding and encoding again would not guarantee. An
// edit returns an error if the text has a form that it does not support, for example
// a block scalar or a key with "? ". The caller must parse the result and compare it
// with the intended change.
//
// Nodes are those of yaml.v3. Their positions are valid until the next edit.
//
// The package knows no keys: the caller says what is added or removed. It is not part of
// pkg/manifest, which knows images, because its rules are about YAML only.
package yamledit

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Text is a YAML text that can be edited.
//
// A copy of a Text can be edited independently.
type Text struct {
	data  []byte
	edits int
}

// New returns a Text with the content data.
func New(data []byte) Text { return Text{data: data} }

// Bytes returns the content. The caller must not modify it.
func (t *Text) Bytes() []byte { return t.data }

// Edits returns the number of edits since New.
//
// Positions of nodes are valid as long as this number is the same.
func (t *Text) Edits() int { return t.edits }

// The errors of edits that cannot be made.
var (
	ErrShape = errors.New("the text there is of a form that cannot be edited")
	ErrAlias = errors.New("it is an alias: write it out, since a change would change other places too")
)

var (
	dashRE = regexp.MustCompile(`^ *- +$`)
	nullRE = regexp.MustCompile(`^(?i:~|null)`)

	// wordRE matches text that needs no quotes: a word, or a word and a checksum.
	wordRE = regexp.MustCompile(`^[a-zA-Z](?:[\w./-]*|\w*:[0-9a-f]{64})$`)
)

// CheckLineEnds returns an error if a line ends with anything but a line feed.
//
// The parser counts such lines, so that the positions of nodes would be wrong.
func (t *Text) CheckLineEnds() error {
	if bytes.Count(t.data, []byte("\r")) != bytes.Count(t.data, []byte("\r\n")) {
		return errors.New("a line of the text ends with a carriage return without a line feed")
	}
	for _, end := range []string{"\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(t.data, []byte(end)) {
			return fmt.Errorf("a line of the text ends with %+q", end)
		}
	}
	return nil
}

// start returns the offset of the first byte of n, after its anchor or tag.
func (t *Text) start(n *yaml.Node) int {
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

// end returns the offset after the last byte of n.
func (t *Text) end(n *yaml.Node) (int, error) {
	at := t.start(n)
	switch {
	case n.Kind == yaml.AliasNode:
		return at + 1 + len(n.Value), nil
	case n.Kind == yaml.ScalarNode:
		return t.scalarEnd(n, at)
	case n.Style&yaml.FlowStyle != 0:
		return t.closing(at)
	case len(n.Content) == 0:
		return 0, ErrShape
	}
	last := n.Content[len(n.Content)-1]
	if n.Kind == yaml.MappingNode && t.Missing(last) {
		return t.colon(n.Content[len(n.Content)-2])
	}
	return t.end(last)
}

// scalarEnd is end for a scalar that starts at the offset at.
func (t *Text) scalarEnd(n *yaml.Node, at int) (int, error) {
	switch {
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return t.closing(at)
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0, !bytes.HasPrefix(t.data[at:], []byte(n.Value)):
		return 0, ErrShape
	}
	return at + len(n.Value), nil
}

// Missing reports whether n is a null value without text, as in "key:".
func (t *Text) Missing(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && yamlread.IsNull(n) && !nullRE.Match(t.data[min(t.start(n), len(t.data)):])
}

// closing returns the offset after the bracket or quote that closes the one at an offset.
func (t *Text) closing(at int) (int, error) {
	var open []byte
	for i := at; i < len(t.data); i++ {
		switch c := t.data[i]; {
		case c == '"' || c == '\'' && (i == at || bytes.IndexByte([]byte(" \t\r\n,[{:"), t.data[i-1]) >= 0):
			end := t.quoteEnd(i)
			if end < 0 {
				return 0, ErrShape
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
	return 0, ErrShape
}

// quoteEnd returns the offset of the quote that closes the one at an offset, or -1.
func (t *Text) quoteEnd(at int) int {
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

// colon returns the offset after the colon of a key.
func (t *Text) colon(key *yaml.Node) (int, error) {
	at, err := t.end(key)
	if err != nil {
		return 0, err
	}
	for at < len(t.data) && (t.data[at] == ' ' || t.data[at] == '\t') {
		at++
	}
	if at >= len(t.data) || t.data[at] != ':' {
		return 0, ErrShape
	}
	return at + 1, nil
}

// replace replaces the bytes between two offsets with s.
func (t *Text) replace(from, to int, s string) {
	t.data = slices.Concat(t.data[:from], []byte(s), t.data[to:])
	t.edits++
}

// InsertAfter inserts s after n.
func (t *Text) InsertAfter(n *yaml.Node, s string) error {
	at, err := t.end(n)
	if err == nil {
		t.replace(at, at, s)
	}
	return err
}

// line returns the offsets of the line that contains an offset, and of the next line.
func (t *Text) line(at int) (from, next int) {
	from = bytes.LastIndexByte(t.data[:at], '\n') + 1
	if n := bytes.IndexByte(t.data[at:], '\n'); n >= 0 {
		return from, at + n + 1
	}
	return from, len(t.data)
}

// LineEnd returns the text's line end: "\n" or "\r\n".
func (t *Text) LineEnd() string {
	if i := bytes.IndexByte(t.data, '\n'); i > 0 && t.data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// AppendLines appends lines to the text.
func (t *Text) AppendLines(lines []string) { t.insertLines(len(t.data), lines) }

// InsertLinesAfter inserts lines after the last line of n.
func (t *Text) InsertLinesAfter(n *yaml.Node, lines []string) error {
	at, err := t.end(n)
	if err == nil {
		t.insertLines(at, lines)
	}
	return err
}

// insertLines inserts lines after the line that contains an offset.
func (t *Text) insertLines(at int, lines []string) {
	feed := t.LineEnd()
	_, next := t.line(at)
	s := strings.Join(lines, feed) + feed
	if next > 0 && t.data[next-1] != '\n' {
		s = feed + s
	}
	t.replace(next, next, s)
}

// Indent returns the indentation of n as spaces. A dash before n counts as a space.
func (t *Text) Indent(n *yaml.Node) (string, error) {
	at := t.start(n)
	from, _ := t.line(at)
	before := string(t.data[from:at])
	if strings.Trim(before, " ") != "" && !dashRE.MatchString(before) {
		return "", ErrShape
	}
	return strings.Repeat(" ", len(before)), nil
}

// Dash returns the text before an item of a block list: its indentation and dash.
func (t *Text) Dash(item *yaml.Node) (string, error) {
	at := t.start(item)
	from, _ := t.line(at)
	if before := string(t.data[from:at]); dashRE.MatchString(before) {
		return before, nil
	}
	return "", ErrShape
}

// Like returns s in quotes like those of n.
func Like(n *yaml.Node, s string) string {
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0:
		return "'" + s + "'"
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return fmt.Sprintf("%q", s)
	}
	return Word(s)
}

// Word returns s without quotes if every YAML parser reads it as text, or else in quotes.
func Word(s string) string {
	switch strings.ToLower(s) {
	case "y", "yes", "n", "no", "on", "off", "true", "false", "null":
		return fmt.Sprintf("%q", s)
	}
	if wordRE.MatchString(s) {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// Rewrite replaces n with s.
func (t *Text) Rewrite(n *yaml.Node, s string) error {
	end, err := t.end(n)
	if err == nil {
		t.replace(t.start(n), end, s)
	}
	return err
}

// clear removes the value of key and returns the offset after the colon.
//
// The value must be null or empty.
func (t *Text) clear(key, value *yaml.Node) (int, error) {
	at, err := t.colon(key)
	if err != nil || t.Missing(value) {
		return at, err
	}
	end, err := t.end(value)
	if err == nil {
		t.replace(at, end, "")
	}
	return at, err
}

// SetValue replaces the value of key, which must be null or empty, with s.
func (t *Text) SetValue(key, value *yaml.Node, s string) error {
	at, err := t.clear(key, value)
	if err == nil {
		t.replace(at, at, " "+s)
	}
	return err
}

// SetLines replaces the value of key, which must be null or empty, with lines.
func (t *Text) SetLines(key, value *yaml.Node, lines []string) error {
	at, err := t.clear(key, value)
	if err == nil {
		t.insertLines(at, lines)
	}
	return err
}
