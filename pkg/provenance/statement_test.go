package provenance_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

func TestParseStatement(t *testing.T) {
	t.Parallel()
	const raw = `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://example.com/t",` +
		`"subject":[{"name":"a","digest":{"sha256":"1a","sha512":"2b"}},{"digest":{"gitCommit":"3c"}}],"predicate":{"a":[1]},"other":{}}`
	got, err := provenance.ParseStatement([]byte(raw))
	want := &provenance.Statement{
		Type: provenance.StatementV01, PredicateType: "https://example.com/t",
		Subjects: []provenance.Subject{
			{Name: "a", Digest: map[string]string{"sha256": "1a", "sha512": "2b"}},
			{Digest: map[string]string{"gitCommit": "3c"}},
		},
		Predicate: json.RawMessage(`{"a":[1]}`),
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got error %v, statement (-want +got):\n%s", err, cmp.Diff(want, got))
	}
}

func TestParseBadStatement(t *testing.T) {
	t.Parallel()
	const head = `{"_type":"https://in-toto.io/Statement/v1","predicateType":"t","subject":[{"digest":{"sha256":"1a"}}]`
	for name, test := range map[string]struct{ raw, want string }{
		"no JSON":               {`{"_type"`, "reading the statement: unexpected end of JSON input"},
		"text behind it":        {head + `} {}`, "reading the statement: invalid character"},
		"no object":             {`[]`, "reading the statement: json: cannot unmarshal array"},
		"null":                  {`null`, `the statement has the type ""`},
		"not UTF-8":             {head + `,"predicate":{"a":"` + "\xff" + `"}}`, "the statement is not UTF-8"},
		"another type":          {strings.Replace(head, "Statement/v1", "Statement/v2", 1) + "}", `the statement has the type "https://in-toto.io/Statement/v2", want https://in-toto.io/Statement/v1 or`},
		"a type of the prefix":  {strings.Replace(head, "Statement/v1", "Statement/v1.1", 1) + "}", `the statement has the type "https://in-toto.io/Statement/v1.1"`},
		"a type that is a list": {strings.Replace(head, `"https://in-toto.io/Statement/v1"`, `["https://in-toto.io/Statement/v1"]`, 1) + "}", "reading _type of the statement"},
		"no predicate type":     {strings.Replace(head, `"t"`, `""`, 1) + "}", "the statement has no predicateType"},
		"no subject":            {`{"_type":"https://in-toto.io/Statement/v1","predicateType":"t"}`, "the statement has no subject"},
		"an empty list":         {`{"_type":"https://in-toto.io/Statement/v1","predicateType":"t","subject":[]}`, "the statement has no subject"},
		"subject an object":     {`{"_type":"https://in-toto.io/Statement/v1","predicateType":"t","subject":{"digest":{"sha256":"1a"}}}`, "reading subject of the statement"},
		"digest a text":         {`{"_type":"https://in-toto.io/Statement/v1","predicateType":"t","subject":[{"digest":"sha256:1a"}]}`, "reading digest of the statement"},
		"a repeated key":        {head + `,"subject":[{"digest":{"sha256":"2b"}}]}`, `reading the statement: key "subject" is repeated`},
		"in another case":       {head + `,"Subject":[{"digest":{"sha256":"2b"}}]}`, `reading the statement: key "Subject" is repeated, or differs`},
		"only in another case":  {strings.Replace(head, "predicateType", "PredicateType", 1) + "}", `the statement has the key "PredicateType", want predicateType`},
		"in a digest":           {strings.Replace(head, `"1a"`, `"1a","sha256":"2b"`, 1) + "}", `reading the statement: key "sha256" is repeated`},
		"deep in the predicate": {head + `,"predicate":{"a":[{"b":{"c":1,"c":2}}]}}`, `reading the statement: key "c" is repeated`},
		"with an escape":        {head + `,"predicate":{"a":1,"\u0061":2}}`, `reading the statement: key "a" is repeated`},
		"too deep":              {head + `,"predicate":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}", "reading the statement: it nests more than 100 deep"},
	} {
		got, err := provenance.ParseStatement([]byte(test.raw))
		if err == nil || got != nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got statement %v, error %v, want error %q", name, got, err, test.want)
		}
	}
}

// FuzzParseStatement compares the parser with encoding/json, whose keys are read exactly.
func FuzzParseStatement(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"t","subject":[{"name":"n","digest":{"sha256":"1a"}}],"predicate":{}}`))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"t","subject":[{"digest":{"a":"b","A":"c"}}]}`))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"t","subject":[null,{"Digest":{"a":"b"}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := provenance.ParseStatement(raw)
		if err != nil {
			if s != nil {
				t.Errorf("got statement %v with error %v, want none", s, err)
			}
			return
		}
		var generic map[string]any
		if err := json.Unmarshal(raw, &generic); err != nil {
			t.Fatalf("got a statement of invalid JSON: %v", err)
		}
		if s.Type != generic["_type"] || s.PredicateType != generic["predicateType"] {
			t.Errorf("got types %q and %q, want %v and %v", s.Type, s.PredicateType, generic["_type"], generic["predicateType"])
		}
		subjects, _ := generic["subject"].([]any)
		if len(subjects) != len(s.Subjects) || len(subjects) == 0 {
			t.Fatalf("got %d subjects, want %d, and at least one", len(s.Subjects), len(subjects))
		}
		for i, one := range subjects {
			fields, _ := one.(map[string]any)
			digests, _ := fields["digest"].(map[string]any)
			if len(digests) != len(s.Subjects[i].Digest) {
				t.Errorf("subject %d: got digests %v, want %v", i, s.Subjects[i].Digest, digests)
			}
			for algorithm, hex := range digests {
				if got := s.Subjects[i].Digest[algorithm]; hex != nil && got != hex {
					t.Errorf("subject %d: got %s %q, want %v", i, algorithm, got, hex)
				}
			}
		}
	})
}
