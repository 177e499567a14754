// Package schema holds the JSON Schemas (draft 07) of the files that cip reads and writes.
package schema

import (
	_ "embed" // for schema.json
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// text maps names of definitions to schemas, which refer to each other.
//
//go:embed schema.json
var text []byte

// Kind is a kind of file.
type Kind struct{ Name, About string }

// Kinds returns all kinds of files.
func Kinds() []Kind {
	return []Kind{
		{"plain", "a plain manifest (--manifest)"},
		{"thin", "promoter-manifest.yaml of thin manifests"},
		{"images", "images.yaml of thin manifests, and snapshots"},
		{"native", "a native StarlingX file"},
		{"sources", "sources.yaml"},
		{"lock", "sources.lock.yaml"},
		{"image-tags", "an image tags file"},
		{"report", "a report of cip run"},
	}
}

// Names returns the names of all kinds.
func Names() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// written are the kinds of files in which people write manifests.
var written = []string{"plain", "thin", "images", "native", "sources"}

// Schema is a JSON Schema.
type Schema struct {
	Schema      string                     `json:"$schema"`
	Title       string                     `json:"title"`
	Ref         string                     `json:"$ref,omitempty"`
	AnyOf       []Ref                      `json:"anyOf,omitempty"`
	Definitions map[string]json.RawMessage `json:"definitions"`
}

// Ref refers to a definition.
type Ref struct {
	Ref string `json:"$ref"`
}

var definitionRE = regexp.MustCompile(`"#/definitions/([^"]+)"`)

// Of returns the schema of a kind of file, with the definitions that it needs. The
// empty kind is a schema that accepts every kind in which people write manifests.
func Of(kind string) (*Schema, error) {
	names, out := Names(), &Schema{Schema: "http://json-schema.org/draft-07/schema#", Definitions: map[string]json.RawMessage{}}
	var todo []string
	switch {
	case kind == "":
		todo, out.Title = slices.Clone(written), "manifests of cip"
		for _, k := range todo {
			out.AnyOf = append(out.AnyOf, Ref{"#/definitions/" + k})
		}
	case slices.Contains(names, kind):
		todo, out.Title, out.Ref = []string{kind}, "cip: "+kind, "#/definitions/"+kind
	default:
		return nil, fmt.Errorf("unknown kind of file %q: want one of %s", kind, strings.Join(names, ", "))
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading the schemas: %w", err)
	}
	for ; len(todo) > 0; todo = todo[1:] {
		name := todo[0]
		if _, done := out.Definitions[name]; done {
			continue
		}
		out.Definitions[name] = all[name]
		for _, m := range definitionRE.FindAllSubmatch(all[name], -1) {
			todo = append(todo, string(m[1]))
		}
	}
	return out, nil
}
