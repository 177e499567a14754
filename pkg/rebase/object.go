package rebase

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// object is a JSON object whose members keep their order and, unless they are
// set, their text: unknown members and the forms of numbers survive an edit.
type object struct{ members []member }

type member struct {
	key   string
	value any // a json.RawMessage as it was read, or what was set
}

var errNoObject = errors.New("want a JSON object")

// parseObject reads an object and nothing after it. A key that occurs twice is an
// error: readers differ in which of the two they mean.
func parseObject(raw []byte) (*object, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('{') {
		return nil, errors.Join(errNoObject, err)
	}
	o := &object{}
	seen := map[string]struct{}{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m := member{key: fmt.Sprint(key)}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if _, twice := seen[m.key]; twice {
			return nil, fmt.Errorf("%.100q occurs twice", m.key)
		}
		seen[m.key] = struct{}{}
		m.value = value
		o.members = append(o.members, m)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return o, nil
}

func (o *object) index(key string) int {
	return slices.IndexFunc(o.members, func(m member) bool { return m.key == key })
}

// read decodes a member into v, which stays as it is if there is no such member or it is null.
func (o *object) read(key string, v any) error {
	i := o.index(key)
	if i < 0 {
		return nil
	}
	raw, ok := o.members[i].value.(json.RawMessage)
	if !ok {
		return fmt.Errorf("reading %q after setting it", key)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("reading %q: %w", key, err)
	}
	return nil
}

// object returns a member that is an object; an empty one if there is none or it is null.
func (o *object) object(key string) (*object, error) {
	var raw json.RawMessage
	if err := o.read(key, &raw); err != nil {
		return nil, err
	}
	if raw == nil || bytes.Equal(raw, []byte("null")) {
		return &object{}, nil
	}
	in, err := parseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", key, err)
	}
	return in, nil
}

// objects returns a member that is a list of objects.
func (o *object) objects(key string) ([]*object, error) {
	var raws []json.RawMessage
	if err := o.read(key, &raws); err != nil {
		return nil, err
	}
	all := make([]*object, len(raws))
	for i, raw := range raws {
		var err error
		if all[i], err = parseObject(raw); err != nil {
			return nil, fmt.Errorf("reading %q: element %d: %w", key, i, err)
		}
	}
	return all, nil
}

// set gives a member a value, in its place if there is such a member, else at the end.
func (o *object) set(key string, value any) {
	if i := o.index(key); i >= 0 {
		o.members[i].value = value
		return
	}
	o.members = append(o.members, member{key, value})
}

// remove takes members out.
func (o *object) remove(which func(key string) bool) {
	o.members = slices.DeleteFunc(o.members, func(m member) bool { return which(m.key) })
}

// clone returns an object whose members can be set on their own.
func (o *object) clone() *object { return &object{slices.Clone(o.members)} }

// MarshalJSON writes the members in their order.
func (o *object) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, m := range o.members {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := encode(m.key)
		if err != nil {
			return nil, err
		}
		value, err := encode(m.value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}'), nil
}

// encode returns a value as compact JSON.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
