package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// writeYAML writes the JSON form of a value as YAML with sorted keys. Strings with
// invisible characters or commands of CI systems are in double quotes, with escapes.
func writeYAML(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.CompactSeqIndent()
	e.SetIndent(2)
	if err := e.Encode(yamlNode(tree)); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	_, err = w.Write(escapeYAML(b.Bytes()))
	return err
}

// sexagesimal matches numbers to the base of 60 in YAML 1.1, such as 5000:30.
var sexagesimal = regexp.MustCompile(`^[-+]?[0-9]+:`)

// yamlNode returns a decoded JSON value as a YAML node.
func yamlNode(v any) *yaml.Node {
	switch v := v.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, yamlNode(key), yamlNode(v[key]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			n.Content = append(n.Content, yamlNode(item))
		}
		return n
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}
	case string:
		n := &yaml.Node{}
		n.SetString(v)
		n.Style = 0
		if Escape(v) != v || slices.Contains(words, strings.ToLower(v)) || sexagesimal.MatchString(v) {
			n.Style = yaml.DoubleQuotedStyle
		}
		return n
	}
	n := &yaml.Node{}
	_ = n.Encode(v) // true, false and null cannot fail
	return n
}

// escapeYAML escapes characters in double-quoted strings that the encoder does not escape.
func escapeYAML(b []byte) []byte {
	b = inlineCommand.ReplaceAll(b, []byte(`#\x23$1`))
	return escapeRunes(b, func(out []byte, r rune) []byte { return fmt.Appendf(out, `\U%08x`, r) })
}
