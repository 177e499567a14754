package yamlread

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxItems is the maximum length of a list that Values reads: mirrors, mutable-tags
// and other lists of a few words.
const maxItems = 1_000

// Text returns the text of the scalar n.
//
// It returns false if n is not a scalar. Null is "".
func (f *File) Text(n *yaml.Node, subject string) (string, bool) {
	s := Deref(n)
	if s.Kind != yaml.ScalarNode {
		f.WrongType(n, subject, "text")
		return "", false
	}
	if IsNull(s) {
		return "", true
	}
	return s.Value, true
}

// Required returns the text of a key that must exist and not be empty.
//
// fields are those of the mapping n. It returns false after a fault.
func (f *File) Required(n *yaml.Node, fields map[string]Field, key, subject string) (string, bool) {
	field, ok := fields[key]
	if !ok {
		f.Fault(Broken, n, "%s without %s", subject, key)
		return "", false
	}
	text, ok := f.Text(field.Value, key)
	if ok && text == "" {
		f.Fault(Broken, field.Key, "%s without %s: it is empty", subject, key)
		return "", false
	}
	return text, ok
}

// Optional returns the text of a key, or "" if there is none.
func (f *File) Optional(fields map[string]Field, key string) string {
	field, ok := fields[key]
	if !ok {
		return ""
	}
	text, _ := f.Text(field.Value, key)
	return text
}

// OneOf is Optional for a key whose text must be one of words.
func (f *File) OneOf(fields map[string]Field, key string, words ...string) string {
	text := f.Optional(fields, key)
	if text != "" && !slices.Contains(words, text) {
		f.Fault(Broken, fields[key].Value, "bad %s %q: want %s", key, Clip(text), strings.Join(words, " or "))
	}
	return text
}

// Boolean returns the boolean n. Null is false.
//
// The words of YAML 1.1, such as yes and on, are booleans too.
func (f *File) Boolean(n *yaml.Node, subject string) bool {
	b := Deref(n)
	if b.Kind == yaml.ScalarNode && (b.Tag == "!!bool" || !IsQuoted(b)) {
		switch strings.ToLower(b.Value) {
		case "true", "yes", "on", "y":
			return true
		case "false", "no", "off", "n":
			return false
		}
	}
	if !IsNull(b) {
		f.WrongType(n, subject, "true or false")
	}
	return false
}

// Number returns the integer n, which must be between least and most.
func (f *File) Number(n *yaml.Node, subject string, least, most int) int {
	s := Deref(n)
	v, err := strconv.Atoi(s.Value)
	if s.Kind != yaml.ScalarNode || err != nil || IsQuoted(s) || v < least || v > most {
		f.WrongType(n, subject, fmt.Sprintf("a whole number from %d to %d", least, most))
		return least
	}
	return v
}

// Values parses the items of a key's list and returns each value once.
//
// It adds a Broken fault for an item that parse returns an error for.
func Values[T comparable](f *File, fields map[string]Field, key string, parse func(*yaml.Node) (T, error)) []T {
	field, ok := fields[key]
	if !ok {
		return nil
	}
	items, _ := f.Items(field.Value, key)
	if len(items) > maxItems {
		f.Fault(Broken, field.Key, "%s: more than %d items", key, maxItems)
		return nil
	}
	var all []T
	seen := make(map[T]struct{}, len(items))
	for _, n := range items {
		if s := Deref(n); s.Kind != yaml.ScalarNode || IsNull(s) {
			f.WrongType(n, "an item of "+key, "text or number")
			continue
		}
		v, err := parse(n)
		if err != nil {
			f.Fault(Broken, n, "%s: %v", key, err)
			continue
		}
		if _, ok := seen[v]; !ok {
			seen[v] = struct{}{}
			all = append(all, v)
		}
	}
	return all
}
