// Package strictjson decodes JSON that all readers understand in the same way, and writes
// it compactly.
//
// Registries, token servers and signers send JSON that is not trusted. If an object has
// a key twice, encoding/json uses the last one, and it ignores the case of keys; other
// readers use the first one, or compare case. They would see different documents, so such
// keys are an error here. Deep nesting is an error, too. It is a package because
// pkg/check, pkg/registry and others need the same rule. It never reads a file.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxDepth is the maximum depth of nested objects and arrays.
//
// Documents of registries need less than a tenth of it.
const MaxDepth = 100

// maxBlank is the maximum number of spaces and line breaks in a row in a document that
// is decoded while it is read, in bytes.
//
// json.Decoder looks at all of them again after each read. A page of 32 MiB of spaces
// would need minutes.
const maxBlank = 16 << 10

// named are the keys of objects such as labels.
//
// The keys of these objects are data. Two labels may differ only in case. Such objects
// are decoded into maps.
var named = []string{"annotations", "labels", "volumes", "exposedports"}

func isNamed(key []byte) bool {
	return slices.ContainsFunc(named, func(n string) bool { return len(n) == len(key) && strings.EqualFold(n, string(key)) })
}

// Unmarshal is json.Unmarshal followed by Check.
func Unmarshal(raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return err
	}
	return Check(raw)
}

// Check reports ambiguous keys and too deep nesting. raw must be valid JSON.
//
// It returns an error if an object has a key twice, has keys that differ only in case, or
// is nested more than MaxDepth deep.
func Check(raw []byte) error { return new(checker).check(raw) }

// NewReader returns a reader that checks a JSON document while it is read.
//
// It is for documents that are decoded as they arrive. Where the document does not pass
// Check, Read returns the error.
func NewReader(r io.Reader) io.Reader { return &reader{from: r} }

type reader struct {
	from  io.Reader
	check checker
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if bad := r.check.check(p[:n]); bad != nil {
		return 0, bad
	}
	if r.check.blank > maxBlank {
		return 0, fmt.Errorf("it has more than %d spaces in a row", maxBlank)
	}
	return n, err
}

// checker checks the keys of a JSON document, which may come in pieces.
type checker struct {
	open    []frame // objects and arrays that are being read, the innermost last
	quoted  bool    // within a string
	escaped bool    // behind a backslash
	escapes bool    // the string has a backslash
	key     []byte  // the string so far, if it is a key
	blank   int     // spaces and line breaks since the last other byte, outside strings
}

// frame is an object or array that is being read.
type frame struct {
	object bool
	exact  bool   // its keys are data, so case matters
	key    bool   // the next string is a key
	data   bool   // the last key is one whose object has keys that are data
	few    []byte // the first keys, one behind the other; the memory is used again
	ends   []int  // of the keys in few
	many   map[string]struct{}
}

// fewKeys is the number of keys up to which comparing each with each is faster than a map.
const fewKeys = 16

func (c *checker) check(piece []byte) error {
	for i := 0; i < len(piece); i++ {
		if c.quoted {
			n, err := c.inString(piece[i:])
			if err != nil {
				return err
			}
			i += n - 1
			continue
		}
		b := piece[i]
		if b == ' ' || b == '\n' || b == '\r' || b == '\t' {
			c.blank++
			continue
		}
		c.blank = 0
		switch b {
		case '{', '[':
			if len(c.open) == MaxDepth {
				return fmt.Errorf("it nests more than %d deep", MaxDepth)
			}
			c.begin(b == '{')
		case '}', ']':
			c.open = c.open[:max(0, len(c.open)-1)]
		case ',':
			if n := len(c.open); n > 0 {
				c.open[n-1].key = c.open[n-1].object
			}
		case '"':
			c.quoted, c.escapes, c.key = true, false, c.key[:0]
		}
	}
	return nil
}

// begin opens an object or array.
func (c *checker) begin(object bool) {
	n := len(c.open)
	exact := object && n > 0 && c.open[n-1].object && c.open[n-1].data
	if n < cap(c.open) {
		c.open = c.open[:n+1]
	} else {
		c.open = append(c.open, frame{})
	}
	f := &c.open[n]
	*f = frame{object: object, key: object, exact: exact, few: f.few[:0], ends: f.ends[:0]}
}

// inString takes what p holds of a string, and returns how many bytes that is.
func (c *checker) inString(p []byte) (n int, err error) {
	for ; n < len(p); n++ {
		if c.escaped {
			c.escaped = false
			continue
		}
		if p[n] == '"' {
			break
		}
		if p[n] == '\\' {
			c.escaped, c.escapes = true, true
		}
	}
	isKey := len(c.open) > 0 && c.open[len(c.open)-1].key
	if isKey {
		c.key = append(c.key, p[:n]...)
	}
	if n == len(p) {
		return n, nil
	}
	c.quoted = false
	if isKey {
		err = c.addKey()
	}
	return n + 1, err
}

// addKey adds the string that has been read to the keys of the innermost object.
func (c *checker) addKey() error {
	key := c.key
	if c.escapes {
		var name string
		if err := json.Unmarshal(slices.Concat([]byte{'"'}, key, []byte{'"'}), &name); err != nil {
			return err
		}
		key = []byte(name)
	}
	return c.open[len(c.open)-1].add(key)
}

func (f *frame) add(key []byte) error {
	f.key = false
	f.data = isNamed(key)
	if f.many != nil {
		return f.addToMany(string(key))
	}
	from := 0
	for _, end := range f.ends {
		other := f.few[from:end]
		if f.exact && bytes.Equal(other, key) || !f.exact && bytes.EqualFold(other, key) {
			return repeated(string(key))
		}
		from = end
	}
	if len(f.ends) < fewKeys {
		f.few = append(f.few, key...)
		f.ends = append(f.ends, len(f.few))
		return nil
	}
	f.many = map[string]struct{}{}
	from = 0
	for _, end := range f.ends {
		if err := f.addToMany(string(f.few[from:end])); err != nil {
			return err
		}
		from = end
	}
	return f.addToMany(string(key))
}

func (f *frame) addToMany(key string) error {
	name := key
	if !f.exact {
		name = fold(key)
	}
	if _, twice := f.many[name]; twice {
		return repeated(key)
	}
	f.many[name] = struct{}{}
	return nil
}

func repeated(name string) error {
	return fmt.Errorf("key %.100q is repeated, or differs from another only in case", name)
}

// fold returns the same for all keys that encoding/json takes for the same field.
func fold(name string) string {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return strings.Map(foldRune, name)
		}
	}
	return strings.ToUpper(name)
}

// foldRune returns the smallest rune that differs from r only in case.
func foldRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

// Marshal returns the JSON of a value as manifests have it: compact, without a newline at
// its end, and without escapes for HTML.
func Marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
