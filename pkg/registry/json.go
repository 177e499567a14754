package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// object parses a JSON object while it is read.
//
// It calls field with each key and the decoder, which is before the value. Data after the
// object is an error, and so is a repeated key in any case (see strictjson).
func object(r io.Reader, field func(key string, dec *json.Decoder) error) error {
	dec := json.NewDecoder(strictjson.NewReader(r))
	err := elements(dec, '{', func() error {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		return field(name, dec)
	})
	if errors.Is(err, io.EOF) {
		return errors.New("it is empty, or breaks off")
	}
	if err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the answer, or it breaks off")
	}
	return nil
}

// elements reads an array or object that begins with open.
//
// It calls each before every element. A null counts as empty.
func elements(dec *json.Decoder, open json.Delim, each func() error) error {
	begin, err := dec.Token()
	if err != nil {
		return err
	}
	if begin == nil {
		return nil
	}
	if begin != open {
		return fmt.Errorf("want %v, found %v", open, begin)
	}
	for dec.More() {
		if err := each(); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// skip skips a value.
func skip(dec *json.Decoder) error {
	var v json.RawMessage
	return dec.Decode(&v)
}
