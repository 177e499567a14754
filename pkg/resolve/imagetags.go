package resolve

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

const (
	// MaxImageTags is the size of the largest image tags file, in bytes: some 100,000 tags.
	MaxImageTags = 8 << 20
	// maxHops is how many aliases may lead on from a tag.
	maxHops = 32
)

// labelName is the grammar of a label's name: appc's AC Identifier.
var labelName = regexp.MustCompile(`^[a-z0-9]+([-._~/][a-z0-9]+)*$`)

// ImageTags is an image tags file: what the tags of one image name mean. An alias
// leads from a tag to another; at the end of a chain of them stand the labels that
// the image has to have. A nil *ImageTags is no file at all.
type ImageTags struct {
	File    string // as messages call it
	Digest  string // "sha256:…" of the bytes
	Aliases map[string]string
	Labels  map[string]map[string]string

	places map[string]manifest.Pos // of each tag: its alias, or else its labels
}

// ParseImageTags reads an image tags file. All faults are returned; if one of them is
// more than a warning there are no tags.
func ParseImageTags(file string, raw []byte) (*ImageTags, []manifest.Fault) {
	if len(raw) > MaxImageTags {
		pos := manifest.Pos{File: file}
		return nil, []manifest.Fault{{Pos: pos, Severity: manifest.Broken, Message: fmt.Sprintf("has more than %d bytes", MaxImageTags)}}
	}
	t := &ImageTags{
		File: file, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(raw)),
		Aliases: map[string]string{}, Labels: map[string]map[string]string{}, places: map[string]manifest.Pos{},
	}
	r, root := readJSON(file, raw)
	t.read(r, root)
	slices.SortStableFunc(r.faults, func(a, b manifest.Fault) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	if slices.ContainsFunc(r.faults, func(f manifest.Fault) bool { return f.Severity != manifest.Warning }) {
		return nil, r.faults
	}
	return t, r.faults
}

// read takes in what the file says.
func (t *ImageTags) read(r *jsonReader, root *jsonNode) {
	for _, f := range r.expect(root, "the file", "an object").fields {
		switch f.name {
		case "aliases", "labels":
		default:
			r.fault(f.at, "unknown key%s: want aliases or labels", r.quote(f.name))
			continue
		}
		for _, tag := range r.expect(f.value, f.name, "an object").fields {
			if tag.name == "" {
				r.fault(tag.at, "%s: empty tag name", f.name)
			}
			if f.name == "aliases" {
				t.alias(r, tag)
			} else {
				t.labels(r, tag)
			}
		}
	}
	for tag, to := range t.Aliases {
		if _, both := t.Labels[tag]; both && tag != "" {
			p := t.places[tag]
			r.faults = append(r.faults, manifest.Fault{Pos: p, Severity: manifest.Warning, Message: fmt.Sprintf(
				"tag %q is an alias of %q and has labels: the alias is followed, the labels are never used", told(tag), told(to))})
		}
	}
}

// expect returns n, or an empty node if it is of another kind, which is noted.
func (r *jsonReader) expect(n *jsonNode, what, kind string) *jsonNode {
	if n == nil { // a syntax error, which has been noted
		return &jsonNode{}
	}
	if n.kind != kind {
		r.fault(n.at, "%s: want %s, found %s", what, kind, n.kind)
		return &jsonNode{at: -1}
	}
	return n
}

func (t *ImageTags) alias(r *jsonReader, tag jsonField) {
	to := r.expect(tag.value, fmt.Sprintf("alias %q", told(tag.name)), "a string")
	if to.kind != "" && to.text == "" {
		r.fault(to.at, "alias %q leads to an empty tag name", told(tag.name))
	}
	t.Aliases[tag.name] = to.text
	t.places[tag.name] = r.pos(tag.at)
}

func (t *ImageTags) labels(r *jsonReader, tag jsonField) {
	set := map[string]string{}
	for _, label := range r.expect(tag.value, fmt.Sprintf("labels of %q", told(tag.name)), "an object").fields {
		if err := checkLabel(label.name); err != nil {
			r.fault(label.at, "labels of %q: %v", told(tag.name), err)
		}
		set[label.name] = r.expect(label.value, fmt.Sprintf("label %q of %q", told(label.name), told(tag.name)), "a string").text
	}
	t.Labels[tag.name] = set
	if _, ok := t.places[tag.name]; !ok {
		t.places[tag.name] = r.pos(tag.at)
	}
}

// checkLabel returns an error unless a label may be called so.
func checkLabel(name string) error {
	if name == "name" {
		return errors.New(`bad label name "name": it is no label, but what the image is called`)
	}
	if !labelName.MatchString(name) {
		return fmt.Errorf("bad label name %q: want lower-case letters and digits, joined by '-', '.', '_', '~' or '/'", told(name))
	}
	return nil
}

// Tags returns all tags of the file, sorted.
func (t *ImageTags) Tags() []string { return slices.Sorted(maps.Keys(t.places)) }

// Place returns where the file speaks of a tag; the zero value if it does not.
func (t *ImageTags) Place(tag string) manifest.Pos { return t.places[tag] }

// Chain returns the way from a tag over its aliases to the tag that has labels, both
// included. On an error it is the way up to there.
func (t *ImageTags) Chain(tag string) ([]string, error) {
	path := []string{tag}
	for at := tag; ; {
		next, ok := t.Aliases[at]
		if !ok {
			break
		}
		path = append(path, next)
		if slices.Contains(path[:len(path)-1], next) {
			return path, t.fault(tag, "the aliases lead in a circle: %s", arrows(path))
		}
		if len(path)-1 > maxHops {
			return path, t.fault(tag, "more than %d aliases lead on from tag %q: %s", maxHops, told(tag), arrows(path))
		}
		at = next
	}
	last := path[len(path)-1]
	switch _, known := t.places[last]; {
	case len(t.Labels[last]) > 0:
		return path, nil
	case len(path) > 1:
		return path, &noLabelsError{t.fault(tag, "tag %q ends at %q, which has no labels: %s", told(tag), told(last), arrows(path))}
	case known:
		return path, &noLabelsError{t.fault(tag, "tag %q has no labels", told(tag))}
	}
	return path, &noLabelsError{t.fault(tag, "unknown tag %q", told(tag))}
}

// fault says what is wrong with a tag.
func (t *ImageTags) fault(tag, format string, args ...any) manifest.Fault {
	pos, ok := t.places[tag]
	if !ok {
		pos.File = t.File
	}
	return manifest.Fault{Pos: pos, Severity: manifest.Broken, Message: fmt.Sprintf(format, args...)}
}

// noLabelsError says that a tag leads to no labels.
type noLabelsError struct{ fault manifest.Fault }

func (e *noLabelsError) Error() string { return e.fault.String() }
func (e *noLabelsError) Unwrap() error { return e.fault }

// arrows shows a way over aliases.
func arrows(path []string) string {
	short := make([]string, len(path))
	for i, tag := range path {
		short[i] = told(tag)
	}
	return strings.Join(short, " -> ")
}

// Merged is what a tag and given labels ask for together.
type Merged struct {
	Path   []string // from the tag over aliases to its labels; nil without a tag or without a file
	Labels map[string]string
}

// Merge returns the labels that an image has to have. Without a file a tag stands for
// the version; with fallback it does so too where the file has no labels for it.
// Labels that are given stand over those of the tag.
func (t *ImageTags) Merge(tag string, given map[string]string, fallback bool) (Merged, error) {
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
		if none := (*noLabelsError)(nil); !fallback || !errors.As(err, &none) {
			return m, err
		}
	}
	if v, ok := given["version"]; ok {
		return m, fmt.Errorf("tag %q stands for the version, as no image tags know it, and so does the label version=%s: give one of them", told(version), told(v))
	}
	m.Labels["version"] = version
	return m, nil
}
