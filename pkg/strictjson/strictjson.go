// Package strictjson decodes JSON that all readers understand in the same way.
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
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxDepth is the maximum depth of nested objects and arrays.
//
// Documents of registries need less than a tenth of it.
const MaxDepth = 100

// named are the keys of objects such as labels.
//
// The keys of these objects are data. Two labels may differ only in case. Such objects
// are decoded into maps.
var named = map[string]struct{}{"ANNOTATIONS": {}, "LABELS": {}, "VOLUMES": {}, "EXPOSEDPORTS": {}}

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
func Check(raw []byte) error {
	var open []frame
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			f := frame{object: raw[i] == '{'}
			f.key = f.object
			if n := len(open); n > 0 {
				_, f.exact = named[open[n-1].last]
				f.exact = f.exact && f.object && open[n-1].object
			}
			if open = append(open, f); len(open) > MaxDepth {
				return fmt.Errorf("it nests more than %d deep", MaxDepth)
			}
		case '}', ']':
			open = open[:max(0, len(open)-1)]
		case ',':
			if n := len(open); n > 0 {
				open[n-1].key = open[n-1].object
			}
		case '"':
			end := stringEnd(raw, i)
			if err := addKey(open, raw[i:end]); err != nil {
				return err
			}
			i = end - 1
		}
	}
	return nil
}

// frame is an object or array that is being read.
type frame struct {
	object bool
	exact  bool   // its keys are data, so case matters
	key    bool   // the next string is a key
	last   string // the last key, folded
	keys   Keys
}

// addKey adds a string to the innermost object if it is a key. quoted has quotes.
func addKey(open []frame, quoted []byte) error {
	if n := len(open); n > 0 && open[n-1].key {
		return open[n-1].add(quoted)
	}
	return nil
}

// add adds a key. quoted has quotes.
func (f *frame) add(quoted []byte) error {
	f.key = false
	name := string(bytes.Trim(quoted, `"`))
	if bytes.IndexByte(quoted, '\\') >= 0 {
		if err := json.Unmarshal(quoted, &name); err != nil {
			return err
		}
	}
	if f.keys == nil {
		f.keys = Keys{}
	}
	if f.exact {
		return f.keys.add(name, name)
	}
	f.last = fold(name)
	return f.keys.add(f.last, name)
}

// stringEnd returns the end of the string that begins at i.
func stringEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}

// Keys are the keys of one object.
//
// Readers that decode a document as a stream use it.
type Keys map[string]struct{}

// Add adds a key.
//
// It is an error if the object already has it, in any case.
func (k Keys) Add(name string) error { return k.add(fold(name), name) }

func (k Keys) add(folded, name string) error {
	if _, twice := k[folded]; twice {
		return fmt.Errorf("key %.100q is repeated, or differs from another only in case", name)
	}
	k[folded] = struct{}{}
	return nil
}

// fold returns the same string for all keys that encoding/json treats as equal.
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
