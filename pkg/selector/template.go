package selector

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"
	syntax "text/template/parse"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// maxTemplate is the maximum length of a template in bytes. A tag has up to 128.
const maxTemplate = 1000

// tagTemplate parses a tag, or a template of one.
func tagTemplate(n *yaml.Node) (string, error) {
	text := yamlread.Deref(n).Value
	if !strings.Contains(text, "{{") {
		return text, image.CheckTag(text)
	}
	if err := checkTemplate(text); err != nil {
		return "", fmt.Errorf("bad template %q: %s", yamlread.Clip(text), strings.TrimPrefix(err.Error(), "template: "))
	}
	return text, nil
}

// checkTemplate returns an error if a template is more than text and fields.
func checkTemplate(text string) error {
	if len(text) > maxTemplate {
		return fmt.Errorf("it has more than %d bytes", maxTemplate)
	}
	parsed, err := template.New("tag").Parse(text)
	if err != nil {
		return err
	}
	if len(parsed.Templates()) > 1 || parsed.Tree == nil {
		return errors.New("nested template: want only text and fields")
	}
	for _, n := range parsed.Root.Nodes {
		if !simple(n) {
			return fmt.Errorf("%s: want only text and fields, such as {{.Tag}}, {{slice .Commit 0 7}} or {{index .Labels \"a\"}}", yamlread.Clip(n.String()))
		}
	}
	// Execute finds unknown fields. Other errors depend on the values of the fields,
	// which are not known yet.
	err = parsed.Execute(io.Discard, TagFields{})
	if _, runs := errors.AsType[template.ExecError](err); runs && !strings.Contains(err.Error(), "can't evaluate field") {
		return nil
	}
	return err
}

// simple reports whether a node is text, a field, or a slice or index of a field.
//
// Loops, other functions and variables are not simple: they could run for long or
// use much memory.
func simple(n syntax.Node) bool {
	if n.Type() == syntax.NodeText {
		return true
	}
	action, ok := n.(*syntax.ActionNode)
	if !ok || len(action.Pipe.Decl) > 0 || len(action.Pipe.Cmds) != 1 {
		return false
	}
	args := action.Pipe.Cmds[0].Args
	if name, ok := args[0].(*syntax.IdentifierNode); ok && (name.Ident == "slice" || name.Ident == "index") {
		for _, arg := range args[min(2, len(args)):] {
			if arg.Type() != syntax.NodeNumber && arg.Type() != syntax.NodeString {
				return false
			}
		}
		return len(args) > 1 && args[1].Type() == syntax.NodeField
	}
	return len(args) == 1 && args[0].Type() == syntax.NodeField
}
