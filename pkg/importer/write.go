package importer

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"
)

// Write writes plain manifests as documents of one YAML file.
func Write(w io.Writer, manifests []Manifest) error {
	var out bytes.Buffer
	for i := range manifests {
		m := &manifests[i]
		if i > 0 {
			out.WriteString("---\n")
		}
		text, err := encode(struct {
			Registries []registryEntry `yaml:"registries"`
			Images     []*imageEntry   `yaml:"images"`
		}{m.registryEntries(), m.imageEntries()})
		if err != nil {
			return err
		}
		comment := m.selectors()
		if len(manifests) > 1 {
			fmt.Fprintf(&out, "# %s.yaml\n", m.Name)
		}
		out.WriteString(text)
		if comment != "" {
			out.WriteString("# sources:\n" + comment)
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// Thin returns the files of a thin manifest directory, by their names below it.
func Thin(manifests []Manifest) (map[string][]byte, error) {
	files := map[string][]byte{}
	for i := range manifests {
		m := &manifests[i]
		registries, err := encode(struct {
			Registries []registryEntry `yaml:"registries"`
		}{m.registryEntries()})
		if err != nil {
			return nil, err
		}
		images, err := encode(m.imageEntries())
		if err != nil {
			return nil, err
		}
		if comment := m.selectors(); comment != "" {
			images += "# In sources.yaml, next to this file:\n" + comment
		}
		files["manifests/"+m.Name+"/promoter-manifest.yaml"] = []byte(registries)
		files["images/"+m.Name+"/images.yaml"] = []byte(images)
	}
	return files, nil
}

// encode returns the YAML text of a value.
func encode(v any) (string, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	enc.CompactSeqIndent()
	err := enc.Encode(v)
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		return "", fmt.Errorf("encoding: %w", err)
	}
	return out.String(), nil
}

// selectors returns selectors for the ranges of m as comments, or "" without ranges.
func (m *Manifest) selectors() string {
	type policy struct {
		Range quotedText `yaml:"range"`
	}
	type selector struct {
		Name   string            `yaml:"name"`
		Select map[string]policy `yaml:"select"`
	}
	var all []selector
	for _, v := range m.ranges {
		all = append(all, selector{v.name, map[string]policy{"semver": {quotedText(v.expr)}}})
	}
	if len(all) == 0 {
		return ""
	}
	text, err := encode(all)
	if err != nil {
		return ""
	}
	return "# " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n# ") + "\n"
}

// isSelector reports whether a selector can have the range.
func (v versionRange) isSelector() bool {
	_, err := semver.NewConstraint(v.expr)
	_, _, name := split(v.from, v.to)
	return err == nil && name != ""
}
