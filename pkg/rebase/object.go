package rebase

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// object is a JSON object that can be edited.
//
// Members keep their order. Members that are not set keep their exact text, so
// that an edit preserves unknown members and the notation of numbers.
type object struct{ members []member }

type member struct {
	key   string
	value any // json.RawMessage if it was parsed, any type if it was set
}

// parseObject parses a document that is one JSON object.
//
// A duplicate key is an error, because JSON decoders disagree on which value to use.
func parseObject(raw []byte) (*object, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('{') {
		return nil, errors.Join(errors.New("want a JSON object"), err)
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
		return nil, errors.New("unexpected data after the JSON object")
	}
	return o, nil
}

func (o *object) index(key string) int {
	return slices.IndexFunc(o.members, func(m member) bool { return m.key == key })
}

// read decodes a member into v. If the member is missing or null, v is unchanged.
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

// object returns a member that is an object. It is empty if the member is missing or
// null.
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

// set replaces the value of a member, or appends a new member.
func (o *object) set(key string, value any) {
	if i := o.index(key); i >= 0 {
		o.members[i].value = value
		return
	}
	o.members = append(o.members, member{key, value})
}

// remove removes the members whose key matches.
func (o *object) remove(which func(key string) bool) {
	o.members = slices.DeleteFunc(o.members, func(m member) bool { return which(m.key) })
}

// clone returns a shallow copy: setting members of the copy does not change o.
func (o *object) clone() *object { return &object{slices.Clone(o.members)} }

// MarshalJSON implements json.Marshaler. It keeps the order of the members.
func (o *object) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, m := range o.members {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := strictjson.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := strictjson.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}'), nil
}
