package provenance

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// The types of statements. Version 0.1 is still what many signers write.
const (
	StatementV01 = "https://in-toto.io/Statement/v0.1"
	StatementV1  = "https://in-toto.io/Statement/v1"
)

// The predicate types of provenance.
const (
	ProvenanceV02 = "https://slsa.dev/provenance/v0.2"
	ProvenanceV1  = "https://slsa.dev/provenance/v1"
)

// ParseStatement parses an in-toto statement.
//
// A statement that two readers may understand differently is an error: one with a key that
// is repeated or differs from another only in case, at any depth, or with a known key in
// another case.
func ParseStatement(raw []byte) (*Statement, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("the statement is not UTF-8")
	}
	var top map[string]json.RawMessage
	if err := strictjson.Unmarshal(raw, &top); err != nil {
		return nil, fmt.Errorf("reading the statement: %w", err)
	}
	s := &Statement{Predicate: top["predicate"]}
	if err := s.readTypes(top); err != nil {
		return nil, err
	}
	var subjects []map[string]json.RawMessage
	if err := decode(top, "subject", &subjects); err != nil {
		return nil, err
	}
	if len(subjects) == 0 {
		return nil, errors.New("the statement has no subject")
	}
	for _, fields := range subjects {
		var one Subject
		if err := errors.Join(decode(fields, "name", &one.Name), decode(fields, "digest", &one.Digest)); err != nil {
			return nil, err
		}
		s.Subjects = append(s.Subjects, one)
	}
	return s, nil
}

func (s *Statement) readTypes(top map[string]json.RawMessage) error {
	for name := range top {
		for _, known := range []string{"_type", "predicateType", "subject", "predicate"} {
			if name != known && strings.EqualFold(name, known) {
				return fmt.Errorf("the statement has the key %s, want %s", quote(name), known)
			}
		}
	}
	if err := errors.Join(decode(top, "_type", &s.Type), decode(top, "predicateType", &s.PredicateType)); err != nil {
		return err
	}
	if s.Type != StatementV01 && s.Type != StatementV1 {
		return fmt.Errorf("the statement has the type %s, want %s or %s", quote(s.Type), StatementV1, StatementV01)
	}
	if s.PredicateType == "" {
		return errors.New("the statement has no predicateType")
	}
	return nil
}

// decode decodes the value of a key, if the object has it.
func decode(object map[string]json.RawMessage, key string, to any) error {
	raw, ok := object[key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("reading %s of the statement: %w", key, err)
	}
	return nil
}

// Names reports whether the image with the digest is a subject.
func (s *Statement) Names(digest v1.Hash) bool {
	for _, one := range s.Subjects {
		if hex, ok := one.Digest[digest.Algorithm]; ok && hex == digest.Hex && hex != "" {
			return true
		}
	}
	return false
}

// isProvenance reports whether the predicate is provenance of a known version.
func (s *Statement) isProvenance() bool {
	return s.PredicateType == ProvenanceV1 || s.PredicateType == ProvenanceV02
}
