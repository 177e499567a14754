// Package imagetags reads image tags files, which describe the tags of an image by
// labels.
//
// The format is from the appc proposal for image tags. A file of this format is JSON.
// The package reads and writes it, and follows its aliases. It never looks for the
// images: pkg/resolve does.
package imagetags

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

const (
	// MaxSize is the maximum size of an image tags file in bytes.
	//
	// A file of this size has some 100,000 tags.
	MaxSize = 8 << 20
	// maxHops is the maximum number of aliases in a chain.
	maxHops = 32
)

// labelName is the grammar of label names (appc specification, "AC Identifier Type").
var labelName = regexp.MustCompile(`^[a-z0-9]+([-._~/][a-z0-9]+)*$`)

// File is the content of an image tags file.
//
// The file defines the tags of one image name. An alias points from a tag to another
// tag. The last tag of a chain of aliases has labels, and the image must have these
// labels. Merge and Alias accept a nil *File, which means that there is no file.
type File struct {
	Name    string                       `json:"-"` // file name for messages
	Digest  string                       `json:"-"` // "sha256:…" of the file content
	Aliases map[string]string            `json:"aliases,omitempty"`
	Labels  map[string]map[string]string `json:"labels"` // label values, by tag and label name

	positions map[string]yamlread.Pos // position of each tag's alias, or else of its labels
}

// Parse parses an image tags file.
//
// It returns all faults. The tags are nil if one of the faults is not a warning.
func Parse(file string, raw []byte) (*File, []yamlread.Fault) {
	if len(raw) > MaxSize {
		pos := yamlread.Pos{File: file}
		return nil, []yamlread.Fault{{Pos: pos, Severity: yamlread.Broken, Message: fmt.Sprintf("has more than %d bytes", MaxSize)}}
	}
	t := &File{
		Name: file, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(raw)),
		Aliases: map[string]string{}, Labels: map[string]map[string]string{}, positions: map[string]yamlread.Pos{},
	}
	r, root := readJSON(file, raw)
	t.read(r, root)
	slices.SortStableFunc(r.faults, func(a, b yamlread.Fault) int { return a.Pos.Compare(b.Pos) })
	if slices.ContainsFunc(r.faults, func(f yamlread.Fault) bool { return f.Severity != yamlread.Warning }) {
		return nil, r.faults
	}
	return t, r.faults
}

// read adds the content of the file to t, and faults to r.
func (t *File) read(r *jsonReader, root *jsonNode) {
	readers := map[string]func(*jsonReader, jsonField){"aliases": t.readAlias, "labels": t.readLabels}
	for _, f := range r.expect(root, "the file", "an object").fields {
		read, known := readers[f.name]
		if !known {
			r.fault(f.at, "unknown key%s: want aliases or labels", r.quote(f.name))
			continue
		}
		for _, tag := range r.expect(f.value, f.name, "an object").fields {
			if tag.name == "" {
				r.fault(tag.at, "%s: empty tag name", f.name)
			}
			read(r, tag)
		}
	}
	for tag, to := range t.Aliases {
		if _, both := t.Labels[tag]; both && tag != "" {
			p := t.positions[tag]
			r.faults = append(r.faults, yamlread.Fault{Pos: p, Severity: yamlread.Warning, Message: fmt.Sprintf(
				"tag %q is an alias of %q and has labels: the alias is followed, the labels are never used", clip(tag), clip(to))})
		}
	}
}

// expect returns n if it has the given kind. Otherwise it adds a fault and returns an
// empty node.
func (r *jsonReader) expect(n *jsonNode, subject, kind string) *jsonNode {
	if n == nil { // a syntax error, which has a fault already
		return &jsonNode{}
	}
	if n.kind != kind {
		r.fault(n.at, "%s: want %s, found %s", subject, kind, n.kind)
		return &jsonNode{at: -1}
	}
	return n
}

func (t *File) readAlias(r *jsonReader, tag jsonField) {
	to := r.expect(tag.value, fmt.Sprintf("alias %q", clip(tag.name)), "a string")
	if to.kind != "" && to.text == "" {
		r.fault(to.at, "alias %q leads to an empty tag name", clip(tag.name))
	}
	t.Aliases[tag.name] = to.text
	t.positions[tag.name] = r.pos(tag.at)
}

func (t *File) readLabels(r *jsonReader, tag jsonField) {
	set := map[string]string{}
	for _, label := range r.expect(tag.value, fmt.Sprintf("labels of %q", clip(tag.name)), "an object").fields {
		if err := CheckLabel(label.name); err != nil {
			r.fault(label.at, "labels of %q: %v", clip(tag.name), err)
		}
		set[label.name] = r.expect(label.value, fmt.Sprintf("label %q of %q", clip(label.name), clip(tag.name)), "a string").text
	}
	t.Labels[tag.name] = set
	if _, ok := t.positions[tag.name]; !ok {
		t.positions[tag.name] = r.pos(tag.at)
	}
}

// CheckLabel returns an error if a label name is invalid.
func CheckLabel(name string) error {
	if name == "name" {
		return errors.New(`bad label name "name": it is reserved for the name of the image`)
	}
	if !labelName.MatchString(name) {
		return fmt.Errorf("bad label name %q: want lower-case letters and digits, joined by '-', '.', '_', '~' or '/'", clip(name))
	}
	return nil
}

// Tags returns all tags of the file, sorted.
func (t *File) Tags() []string { return slices.Sorted(maps.Keys(t.positions)) }

// Pos returns the position of a tag in the file, or the zero value if it has no such tag.
func (t *File) Pos(tag string) yamlread.Pos { return t.positions[tag] }

// Chain returns the chain of aliases that starts with tag.
//
// The first element is tag, the last one is the tag that has labels. It is an error if
// the chain is a cycle, is too long or leads to no labels; the result is then the
// part that was followed.
func (t *File) Chain(tag string) ([]string, error) {
	path := []string{tag}
	for at := tag; ; {
		next, ok := t.Aliases[at]
		if !ok {
			break
		}
		path = append(path, next)
		if slices.Contains(path[:len(path)-1], next) {
			return path, t.fault(tag, "the aliases form a cycle: %s", FormatChain(path))
		}
		if len(path)-1 > maxHops {
			return path, t.fault(tag, "more than %d aliases follow tag %q: %s", maxHops, clip(tag), FormatChain(path))
		}
		at = next
	}
	last := path[len(path)-1]
	switch _, known := t.positions[last]; {
	case len(t.Labels[last]) > 0:
		return path, nil
	case len(path) > 1:
		return path, &noLabelsError{t.fault(tag, "tag %q ends at %q, which has no labels: %s", clip(tag), clip(last), FormatChain(path))}
	case known:
		return path, &noLabelsError{t.fault(tag, "tag %q has no labels", clip(tag))}
	}
	return path, &noLabelsError{t.fault(tag, "unknown tag %q", clip(tag))}
}

// fault returns a fault at the position of a tag.
func (t *File) fault(tag, format string, args ...any) yamlread.Fault {
	pos, ok := t.positions[tag]
	if !ok {
		pos.File = t.Name
	}
	return yamlread.Fault{Pos: pos, Severity: yamlread.Broken, Message: fmt.Sprintf(format, args...)}
}

// noLabelsError is the error for a tag without labels.
type noLabelsError struct{ fault yamlread.Fault }

func (e *noLabelsError) Error() string { return e.fault.String() }
func (e *noLabelsError) Unwrap() error { return e.fault }

// FormatChain formats a chain of aliases.
func FormatChain(path []string) string {
	short := make([]string, len(path))
	for i, tag := range path {
		short[i] = clip(tag)
	}
	return strings.Join(short, " -> ")
}

// Merged holds a tag's labels together with given labels.
type Merged struct {
	Path   []string // chain of the tag, see Chain; nil without a tag or without a file
	Labels map[string]string
}

// Merge returns the labels that an image must have.
//
// Labels in given override those of the tag. Without a file, the tag is used as the
// value of the label version. With fallback, this is also done if the file has no
// labels for the tag.
func (t *File) Merge(tag string, given map[string]string, fallback bool) (Merged, error) {
	m := Merged{Labels: map[string]string{}}
	maps.Copy(m.Labels, given)
	if tag == "" {
		return m, nil
	}
	version := tag
	if t != nil {
		var err error
		m.Path, err = t.Chain(tag)
		version = m.Path[len(m.Path)-1]
		if err == nil {
			maps.Copy(m.Labels, t.Labels[version])
			maps.Copy(m.Labels, given)
			return m, nil
		}
		if noLabels := (*noLabelsError)(nil); !fallback || !errors.As(err, &noLabels) {
			return m, err
		}
	}
	if v, ok := given["version"]; ok {
		return m, fmt.Errorf("tag %q is used as the version, because there are no image tags for it, but the label version=%s is given too: give only one of them", clip(version), clip(v))
	}
	m.Labels["version"] = version
	return m, nil
}

// Write writes t as an image tags file.
func (t *File) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(t)
}
