// Package strictjson decodes JSON documents that strangers wrote: registries, token
// services, signers. encoding/json takes the last of two equal keys and ignores the
// case of keys; other readers take the first, or tell case apart. Two readers would
// then see two documents, so a document with such keys is an error here, and so is
// one that nests too deep. It is a package because pure packages, pkg/registry and
// what is below it need the same rule. It never reads anything by itself.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest: no document of a registry needs a tenth of it.
const MaxDepth = 100

// named are the keys whose objects have keys that are data: labels that differ only in
// case are two labels. Such keys are decoded into maps, never into fields.
var named = map[string]struct{}{"ANNOTATIONS": {}, "LABELS": {}, "VOLUMES": {}, "EXPOSEDPORTS": {}}

// Unmarshal is json.Unmarshal for a document that passes Check.
func Unmarshal(raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return err
	}
	return Check(raw)
}

// Check returns an error if an object of a JSON document repeats a key, has keys that
// differ only in case, or is nested more than MaxDepth deep. raw must be valid JSON.
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
	exact  bool   // its keys are data: only equal ones are the same
	key    bool   // the next string is a key
	last   string // the last key, folded
	keys   Keys
}

// addKey takes a string, with its quotes, that may be a key of the innermost object.
func addKey(open []frame, quoted []byte) error {
	if n := len(open); n > 0 && open[n-1].key {
		return open[n-1].add(quoted)
	}
	return nil
}

// add takes a key, with its quotes.
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

// stringEnd returns where the string that begins at i ends.
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

// Keys are the keys of one object, for documents that are read as they arrive.
type Keys map[string]struct{}

// Add adds a key. It returns an error if the object has that key, in whatever case.
func (k Keys) Add(name string) error { return k.add(fold(name), name) }

func (k Keys) add(folded, name string) error {
	if _, twice := k[folded]; twice {
		return fmt.Errorf("key %.100q is repeated, or differs from another only in case", name)
	}
	k[folded] = struct{}{}
	return nil
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
