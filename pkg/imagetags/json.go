package imagetags

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

const (
	maxJSONDepth = 64  // nested objects and lists; the format needs three
	maxQuoted    = 140 // bytes of untrusted text in one message
	maxFaults    = 1000
)

// jsonNode is a value in a JSON file, with position.
type jsonNode struct {
	kind   string // "an object", "a string" and so on, for messages
	text   string // value of a string
	at     int    // offset of the first byte
	fields []jsonField
}

// jsonField is a key of an object and its value. Of duplicate keys, the first counts.
type jsonField struct {
	name  string
	at    int
	value *jsonNode
}

// jsonReader parses one JSON file and collects its faults with their positions.
//
// encoding/json reports neither duplicate keys nor positions, and stops at the first
// error.
type jsonReader struct {
	file   string
	raw    []byte
	ours   bool  // false: it may be any file, of which nothing is quoted
	lines  []int // offsets of the first byte of each line
	dec    *json.Decoder
	faults []yamlread.Fault

	// Offset and column of the last call of pos. The next call mostly has a larger
	// offset, so that a file of one long line is not scanned again for each call.
	last   int
	column int
}

// readJSON returns the value in raw, or the part of it before a syntax error.
//
// It adds faults for syntax errors, and for duplicate keys at any depth.
func readJSON(file string, raw []byte) (*jsonReader, *jsonNode) {
	r := &jsonReader{file: file, raw: raw, ours: ownKey.Match(raw), lines: []int{0}, column: 1, dec: json.NewDecoder(bytes.NewReader(raw))}
	r.dec.UseNumber()
	for i, b := range raw {
		if b == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	for i := 0; i < len(raw); {
		c, size := utf8.DecodeRune(raw[i:])
		if c == utf8.RuneError && size == 1 {
			r.fault(i, "is not UTF-8 text")
			return r, nil
		}
		i += size
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(raw, new(json.RawMessage)); errors.As(err, &syntax) {
		at := int(syntax.Offset) - 1
		if len(bytes.TrimSpace(raw)) == 0 {
			at = 0
		}
		r.fault(at, "bad JSON: %s", r.reason(syntax))
	}
	root, _ := r.value(0)
	return r, root
}

// fault adds a fault at an offset. After maxFaults it drops them.
func (r *jsonReader) fault(at int, format string, args ...any) {
	switch n := len(r.faults); {
	case n > maxFaults:
		return
	case n == maxFaults:
		format, args = "more than %d faults: the others are not listed", []any{maxFaults}
	}
	r.faults = append(r.faults, yamlread.Fault{Pos: r.pos(at), Severity: yamlread.Broken, Message: fmt.Sprintf(format, args...)})
}

// line returns the line number of an offset, from 1.
func (r *jsonReader) line(at int) int { return sort.SearchInts(r.lines, at+1) }

// pos returns the position of an offset. Columns count characters, not bytes.
func (r *jsonReader) pos(at int) yamlread.Pos {
	at = max(0, min(at, len(r.raw)))
	line := r.line(at)
	if begin := r.lines[line-1]; r.last < begin || r.last > at {
		r.last, r.column = begin, 1
	}
	r.column += utf8.RuneCount(r.raw[r.last:at])
	r.last = at
	return yamlread.Pos{File: r.file, Line: int32(line), Column: int32(r.column)}
}

// next returns the next token and its offset. It returns false at the end of the file
// and at a syntax error.
func (r *jsonReader) next() (json.Token, int, bool) {
	at := int(r.dec.InputOffset())
	for at < len(r.raw) && bytes.IndexByte([]byte(" \t\r\n,:"), r.raw[at]) >= 0 {
		at++
	}
	token, err := r.dec.Token()
	return token, at, err == nil
}

// value parses one value. It returns false if the value is incomplete, and nil for a
// closing bracket.
func (r *jsonReader) value(depth int) (*jsonNode, bool) {
	token, at, ok := r.next()
	if !ok {
		return nil, false
	}
	n := &jsonNode{at: at}
	switch t := token.(type) {
	case string:
		n.kind, n.text = "a string", t
	case json.Number:
		n.kind = "a number"
	case bool:
		n.kind = "a boolean"
	case nil:
		n.kind = "null"
	case json.Delim:
		if t == '}' || t == ']' {
			return nil, true
		}
		if depth == maxJSONDepth {
			r.fault(at, "more than %d nested objects and lists", maxJSONDepth)
			return nil, false
		}
		if t == '[' {
			n.kind = "a list"
			return n, r.list(depth + 1)
		}
		n.kind = "an object"
		return n, r.object(n, depth+1)
	}
	return n, true
}

// list parses the rest of a list. The elements are dropped: lists are never valid here,
// but their faults are reported.
func (r *jsonReader) list(depth int) bool {
	for {
		n, ok := r.value(depth)
		if !ok || n == nil {
			return ok
		}
	}
}

// object parses the rest of an object into n.
func (r *jsonReader) object(n *jsonNode, depth int) bool {
	first := map[string]int{}
	for {
		key, ok := r.value(depth)
		if !ok || key == nil {
			return ok
		}
		value, ok := r.value(depth)
		if at, again := first[key.text]; again {
			r.fault(key.at, "duplicate key%s: the first is on line %d", r.quote(key.text), r.line(at))
		} else if value != nil {
			first[key.text] = key.at
			n.fields = append(n.fields, jsonField{key.text, key.at, value})
		}
		if !ok {
			return false
		}
	}
}

// ownKey is found in whatever may be meant as an image tags file.
var ownKey = regexp.MustCompile(`(?i)"(alias(es)?|labels?)"`)

// quote returns a key as messages quote it, after a space; "" if the file may be any file.
func (r *jsonReader) quote(key string) string {
	if !r.ours {
		return ""
	}
	return fmt.Sprintf(" %q", clip(key))
}

// reason returns the reason of a syntax error, which names the character that is wrong.
func (r *jsonReader) reason(err *json.SyntaxError) string {
	text, found := strings.CutPrefix(err.Error(), "invalid character ")
	switch {
	case !found:
		return "it ends too early"
	case !r.ours:
		return "unexpected character"
	}
	if end := strings.Index(text, "' "); end > 0 {
		text = text[:end+1] // without what Go's parser was looking for
	}
	return "unexpected " + text
}

// clip shortens untrusted text for a message.
func clip(s string) string { return image.Clip(s, maxQuoted) }
