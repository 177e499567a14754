package attest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// parse parses the statement of a record.
func parse(t *testing.T, raw []byte) (*attest.Record, error) {
	t.Helper()
	s, err := provenance.ParseStatement(raw)
	if err != nil {
		t.Fatal(err)
	}
	return attest.ParseRecord(s)
}

var sameNames = cmp.Comparer(func(a, b name.Repository) bool { return a == b })

func TestParseRecord(t *testing.T) {
	t.Parallel()
	full := attest.Record{
		Name: "registry.k8s.io/orchard/apple", Digest: image.Hash(digest), Source: image.NewRepository("staging.example.com", "orchard/apple"),
		Tags: []string{"v2.1", "v2.1.0"}, Time: when, Builder: "https://promoter.example.com@v1.2.3",
		Manifest: attest.File{Name: "images/orchard/images.yaml", URI: "git+https://github.com/kubernetes/k8s.io", Commit: "3b18"},
		Promoter: attest.Promoter{Version: "v1.2.3", Commit: "9ae0"},
		Job:      attest.Job{Name: "post-promo", Type: "postsubmit", Build: "1985", Prow: "7c1e"},
	}
	later := attest.Record{Name: full.Name, Digest: full.Digest, Time: when, Builder: full.Builder}
	for name, want := range map[string]attest.Record{"full": full, "written later": later} {
		raw, err := want.Statement()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(t, raw)
		if err != nil {
			t.Fatalf("%s: got error %v, want none", name, err)
		}
		if diff := cmp.Diff(&want, got, sameNames); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseContradictoryRecords(t *testing.T) {
	t.Parallel()
	record := attest.Record{
		Name: "prod.example.com/apple", Digest: image.Hash(digest), Source: image.NewRepository("staging.example.com", "apple"), Time: when,
	}
	raw, err := record.Statement()
	if err != nil {
		t.Fatal(err)
	}
	other := "sha256:" + strings.Repeat("0", 64)
	of := func(name, digest string) map[string]any {
		return map[string]any{"name": name, "digest": map[string]string{"sha256": strings.TrimPrefix(digest, "sha256:")}}
	}
	cases := map[string]struct {
		edit map[string]any // of the predicate; nil removes a key
		err  string         // empty: none
	}{
		"only srcRef":              {edit: map[string]any{"source": nil, "destination": nil}},
		"digest":                   {map[string]any{"digest": other}, "and its digest is"},
		"no digest":                {map[string]any{"digest": nil}, "and its digest is"},
		"dstRef":                   {map[string]any{"dstRef": "prod.example.com/pear"}, `and its dstRef is "prod.example.com/pear"`},
		"destination":              {map[string]any{"destination": of("prod.example.com/pear", digest)}, "and its destination is"},
		"destination's digest":     {map[string]any{"destination": of("prod.example.com/apple", other)}, "and its destination is"},
		"source's digest":          {map[string]any{"source": of("staging.example.com/apple", other)}, "the digest of its source is"},
		"two sources":              {map[string]any{"source": of("evil.example.com/apple", digest)}, "the record has two sources"},
		"srcRef of another digest": {map[string]any{"source": nil, "srcRef": "staging.example.com/apple@" + other}, "names another digest of it"},
		"not a source":             {map[string]any{"source": of("apple", digest), "srcRef": nil}, "want host/path"},
		"no time":                  {map[string]any{"timestamp": nil}, "parsing the time of the record"},
		"not a time":               {map[string]any{"timestamp": "now"}, "parsing the time of the record"},
		"a wrong type":             {map[string]any{"tags": 1}, "parsing the record"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var doc map[string]any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			p := doc["predicate"].(map[string]any)
			for k, v := range c.edit {
				if p[k] = v; v == nil {
					delete(p, k)
				}
			}
			edited, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parse(t, edited)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got error %v, want %q", err, c.err)
			}
		})
	}
}

func TestParseOtherStatements(t *testing.T) {
	t.Parallel()
	hex := strings.TrimPrefix(digest, "sha256:")
	subject := `{"name":"a","digest":{"sha256":"` + hex + `"}}`
	for raw, want := range map[string]string{
		`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.com/x","subject":[` + subject + `],"predicate":{}}`:                                  "not a",
		`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + attest.RecordType + `","subject":[` + subject + `,` + subject + `],"predicate":{}}`:              "2 subjects",
		`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + attest.RecordType + `","subject":[{"name":"a","digest":{"sha1":"` + hex + `"}}],"predicate":{}}`: "parsing the subject of the record",
	} {
		if _, err := parse(t, []byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want %q", raw, err, want)
		}
	}
}
