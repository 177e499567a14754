package strictjson_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ raw, want string }{
		"no object":                       {`[1,"a",null]`, ""},
		"the same key in two objects":     {`{"a":{"b":1},"c":[{"b":1},{"b":2}]}`, ""},
		"a value like a key":              {`{"a":"b","b":"a","c":["a","a"]}`, ""},
		"a key after an object":           {`{"a":{"x":1},"A":2}`, `key "A" is repeated`},
		"repeated":                        {`{"layers":[],"layers":[]}`, `key "layers" is repeated`},
		"another case":                    {`{"Layers":[],"layers":[]}`, `key "layers" is repeated`},
		"escaped":                         {`{"layers":[],"\u006cayers":[]}`, `key "layers" is repeated`},
		"an escaped quote":                {`{"a\"":1,"a":2,"b\\":"}","b":1}`, ""},
		"a letter that folds to ASCII":    {`{"layers":[],"layer\u017f":[]}`, "is repeated"},
		"a letter that folds, unescaped":  {`{"layers":[],"layerſ":[]}`, "is repeated"},
		"the Kelvin sign":                 {`{"k":1,"` + "\u212a" + `":2}`, "is repeated"},
		"deep inside":                     {`{"a":[{"b":{"digest":1,"Digest":2}}]}`, `key "Digest" is repeated`},
		"labels differ in case":           {`{"config":{"Labels":{"a":"1","A":"2"}},"annotations":{"x":"","X":""}}`, ""},
		"labels are repeated":             {`{"Labels":{"a":"1","a":"2"}}`, `key "a" is repeated`},
		"an object in labels is checked":  {`{"labels":{"a":{"b":1,"B":2}}}`, `key "B" is repeated`},
		"a list of labels is not exempt":  {`{"labels":[{"b":1,"B":2}]}`, `key "B" is repeated`},
		"a key after labels":              {`{"labels":{"a":"1"},"Labels":{}}`, `key "Labels" is repeated`},
		"as deep as allowed":              {strings.Repeat("[", strictjson.MaxDepth) + strings.Repeat("]", strictjson.MaxDepth), ""},
		"deeper":                          {strings.Repeat("[", strictjson.MaxDepth+1) + strings.Repeat("]", strictjson.MaxDepth+1), "nests more than"},
		"brackets in a string":            {`{"a":"` + strings.Repeat("[{", strictjson.MaxDepth) + `"}`, ""},
		"data after the document":         {`{} {}`, "after top-level value"},
		"not JSON":                        {`<html>`, "invalid character '<'"},
		"bytes that are not UTF-8 differ": {"{\"\xff\":1,\"\xfe\":2}", "is repeated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v any
			err := strictjson.Unmarshal([]byte(tc.raw), &v)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

// The decoder needs quadratic time for spaces that arrive in many pieces.
func TestNewReader(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ doc, want string }{
		"indented":               {"{\n" + strings.Repeat(" ", 1000) + `"a": "` + strings.Repeat(" ", 100_000) + `"` + strings.Repeat("\t", 1000) + "}\n", ""},
		"spaces before":          {strings.Repeat(" ", 1<<20) + "{}", "spaces in a row"},
		"line breaks in between": {`{"a":` + strings.Repeat("\r\n", 1<<20) + "1}", "spaces in a row"},
		"a repeated key":         {`{"a":1,"a":2}`, "is repeated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v any
			err := json.NewDecoder(strictjson.NewReader(iotest.OneByteReader(strings.NewReader(tc.doc)))).Decode(&v)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

// Check agrees with a decoder that reads token by token.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":1,"A":2}`, `{"a":[{"b":"}"},{"b":1}],"c":"\"a"}`, `{"labels":{"a":1,"A":2}}`, `[[{}],{"x":{"x":{}}}]`, `{"a`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := strictjson.Check(raw)
		if !json.Valid(raw) || strings.Contains(strings.ToLower(string(raw)), "s") { // the exempt keys have one
			return
		}
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		if want := walk(dec, 0); (got != nil) != want {
			t.Errorf("%q: got %v, want an error: %v", raw, got, want)
		}
	})
}

// walk reports whether the next value of dec has ambiguous keys or is too deep.
func walk(dec *json.Decoder, depth int) bool {
	bad := false
	tok, _ := dec.Token()
	open, ok := tok.(json.Delim)
	if !ok {
		return false
	}
	var keys []string
	for dec.More() {
		if open == '{' {
			key, _ := dec.Token()
			bad = bad || slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, key.(string)) })
			keys = append(keys, key.(string))
		}
		bad = walk(dec, depth+1) || bad
	}
	_, _ = dec.Token()
	return bad || depth >= strictjson.MaxDepth
}

// The document is a manifest with ten layers. A large dry run reads thousands of them.
func BenchmarkUnmarshal(b *testing.B) {
	layer := `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:` + strings.Repeat("0", 64) + `","size":12345}`
	raw := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":` + layer +
		`,"layers":[` + strings.Repeat(layer+",", 9) + layer + `]}`)
	type descriptor struct {
		MediaType, Digest string
		Size              int64
	}
	var doc struct {
		Config descriptor
		Layers []descriptor
	}
	for name, f := range map[string]func([]byte, any) error{"json": json.Unmarshal, "strict": strictjson.Unmarshal} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f(raw, &doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestMarshal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		value any
		want  string
	}{
		{map[string]any{"b": []int{1}, "a": "<x> & y"}, `{"a":"<x> & y","b":[1]}`},
		{json.RawMessage(`{ "a" : 1 }`), `{"a":1}`},
	} {
		if got, err := strictjson.Marshal(tc.value); string(got) != tc.want || err != nil {
			t.Errorf("%v: got %s, error %v, want %s", tc.value, got, err, tc.want)
		}
	}
	if got, err := strictjson.Marshal(func() {}); err == nil {
		t.Errorf("a function: got %s, want an error", got)
	}
}
