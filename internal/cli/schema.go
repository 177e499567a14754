package cli

import (
	_ "embed" // the schemas are a file
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// schemaText maps names to JSON Schemas (draft 07), which refer to each other as
// definitions: the kinds of files, and what they have in common.
//
//go:embed schema.json
var schemaText []byte

// schemaKinds are the definitions that are of whole files, and which those are.
var schemaKinds = []struct{ kind, of string }{
	{"plain", "a plain manifest (--manifest)"},
	{"thin", "promoter-manifest.yaml of thin manifests"},
	{"images", "images.yaml of thin manifests, and snapshots"},
	{"native", "a native StarlingX file"},
	{"sources", "sources.yaml"},
	{"lock", "sources.lock.yaml"},
	{"image-tags", "an image tags file"},
	{"report", "a report of cip run"},
}

// manifestKinds are the kinds of files that the schema without a kind fits.
var manifestKinds = []string{"plain", "thin", "images", "native", "sources"}

// schema is a JSON Schema as it is printed.
type schema struct {
	Schema      string                     `json:"$schema"`
	Title       string                     `json:"title"`
	Ref         string                     `json:"$ref,omitempty"`
	AnyOf       []schemaRef                `json:"anyOf,omitempty"`
	Definitions map[string]json.RawMessage `json:"definitions"`
}

type schemaRef struct {
	Ref string `json:"$ref"`
}

func newSchemaCmd(s streams) *cobra.Command {
	var lines, kinds []string
	for _, k := range schemaKinds {
		lines = append(lines, fmt.Sprintf("- %s: %s", k.kind, k.of))
		kinds = append(kinds, k.kind)
	}
	return &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Print the JSON Schema of a kind of file, for editors",
		Long: `schema prints a JSON Schema (draft 07), with which editors complete keys and
mark what is wrong. Without a kind it fits every kind of file that people write
manifests in (plain, thin, images, native, sources); with one, messages are clearer:

` + strings.Join(lines, "\n") + `

Editors with the YAML language server take it from a file's first line:
# yaml-language-server: $schema=FILE`,
		Example: `  cip schema images > images.schema.json
  cip schema > cip.schema.json`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: kinds,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return printSchema(s, "manifests of cip", manifestKinds...)
			}
			if !slices.Contains(kinds, args[0]) {
				return fmt.Errorf("unknown kind of file %q: want one of %s", args[0], strings.Join(kinds, ", "))
			}
			return printSchema(s, "cip: "+args[0], args[0])
		},
	}
}

// definitionRE finds the names of definitions that a schema refers to.
var definitionRE = regexp.MustCompile(`"#/definitions/([^"]+)"`)

// printSchema prints the schema of what fits any of the kinds, with the definitions it needs.
func printSchema(s streams, title string, kinds ...string) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(schemaText, &all); err != nil {
		return fmt.Errorf("reading the schemas: %w", err)
	}
	out := schema{Schema: "http://json-schema.org/draft-07/schema#", Title: title, Definitions: map[string]json.RawMessage{}}
	for _, k := range kinds {
		out.AnyOf = append(out.AnyOf, schemaRef{"#/definitions/" + k})
	}
	if len(kinds) == 1 {
		out.Ref, out.AnyOf = out.AnyOf[0].Ref, nil
	}
	for todo := slices.Clone(kinds); len(todo) > 0; todo = todo[1:] {
		name := todo[0]
		if _, done := out.Definitions[name]; done {
			continue
		}
		out.Definitions[name] = all[name]
		for _, m := range definitionRE.FindAllSubmatch(all[name], -1) {
			todo = append(todo, string(m[1]))
		}
	}
	if err := output.WriteJSON(s.out, out); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	return nil
}
