// Package importer converts configurations of other tools that copy images into
// manifests.
//
// It reads the files of regsync, skopeo sync, image-syncer and dregsy. Whatever a
// manifest cannot express is a fault with its position, so that nothing is dropped
// silently. The package sends no request and never reads credentials; it is a package
// because the schemas of other tools change for other reasons than manifests do.
package importer

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Tool is a program whose configuration can be converted.
type Tool int

// The tools.
const (
	Regsync Tool = iota + 1
	Skopeo
	ImageSyncer
	Dregsy
)

// Tools returns all tools.
func Tools() []Tool { return []Tool{Regsync, Skopeo, ImageSyncer, Dregsy} }

// String returns the name of the program.
func (t Tool) String() string {
	return [...]string{"", "regsync", "skopeo", "image-syncer", "dregsy"}[t]
}

// Options are settings of a tool's command line.
type Options struct {
	Destinations []image.Registry // skopeo: required; image-syncer: for images without a destination
	Scoped       bool             // skopeo: keep the whole name of the source below the destination
	AppendSuffix string           // skopeo: appended to each tag in the destination
}

// Result is a converted configuration.
type Result struct {
	Manifests []Manifest       // sorted by name
	Faults    []yamlread.Fault // ordered by position
}

// Complete reports whether every selection of images has an equivalent in Manifests.
func (r *Result) Complete() bool {
	return !slices.ContainsFunc(r.Faults, func(f yamlread.Fault) bool { return f.Severity != yamlread.Warning })
}

// Read converts the file name of fsys. Messages call it display.
//
// If the file itself cannot be read, Result has Broken faults and no manifests. A
// Refused fault is a selection of images that was left out or changed; a Warning is a
// setting without an equivalent that does not change which images are copied.
func Read(tool Tool, fsys fs.FS, name, display string, o Options) *Result {
	r := &reader{File: yamlread.Open(fsys, name, display), options: o}
	if tool == Skopeo && len(o.Destinations) == 0 {
		r.Whole(yamlread.Broken, "no destination: skopeo has it on its command line")
	}
	if r.Read && len(r.Docs) == 0 && len(r.Faults) == 0 {
		r.Whole(yamlread.Broken, "the file is empty, want a configuration of %s", tool)
	}
	for i, root := range r.Docs {
		if i > 0 {
			r.Fault(yamlread.Refused, root, "a further YAML document: %s reads only the first", tool)
			break
		}
		r.document(tool, root)
	}
	manifests := r.manifests()
	if slices.ContainsFunc(manifests, Manifest.followsTags) {
		r.Whole(yamlread.Warning, "tags became retag entries without a pin: if the source moves such a tag, "+
			"%s overwrites it in the destination; for cip that is a conflict, unless mutable-tags has the tag", tool)
	}
	faults := r.SortedFaults()
	broken := slices.ContainsFunc(faults, func(f yamlread.Fault) bool { return f.Severity == yamlread.Broken })
	switch {
	case broken:
		manifests = nil
	case len(faults) == 0 && len(manifests) == 0:
		r.Whole(yamlread.Broken, "the file has no images")
		faults = r.SortedFaults()
	}
	return &Result{Manifests: manifests, Faults: faults}
}

// document reads the configuration of a tool.
func (r *reader) document(tool Tool, root *yaml.Node) {
	switch tool {
	case Regsync:
		r.regsync(root)
	case Skopeo:
		r.skopeo(root)
	case ImageSyncer:
		r.imageSyncer(root)
	case Dregsy:
		r.dregsy(root)
	}
}

// reader collects what a tool copies.
type reader struct {
	*yamlread.File
	options Options
	copies  []imageCopy
	ranges  []versionRange
}

// imageCopy is one image that the tool copies.
type imageCopy struct {
	from, to repository
	tag      string // in the source; empty with a digest
	as       string // in the destination; empty: by digest alone
	digest   string
	node     *yaml.Node
}

// versionRange is a semver range of tags of a repository.
type versionRange struct {
	from, to repository
	expr     string
}

// refuse adds a fault: a selection of images is left out or changed.
func (r *reader) refuse(n *yaml.Node, format string, args ...any) {
	r.Fault(yamlread.Refused, n, format, args...)
}

// warn adds a fault: a setting has no equivalent.
func (r *reader) warn(n *yaml.Node, format string, args ...any) {
	r.Fault(yamlread.Warning, n, format, args...)
}

// notes are texts about the keys of a mapping that have no equivalent.
type notes map[string]string

// mapping returns the fields of a mapping that may have the keys in names.
//
// It warns of every key in settings, unless the value is false or null. An unknown key
// is refused, because it may select images. Keys that begin with "x-" hold anchors.
func (r *reader) mapping(n *yaml.Node, subject string, settings notes, names ...string) map[string]yamlread.Field {
	known := slices.Concat(names, slices.Sorted(maps.Keys(settings))) // sorted, so that hints are always the same
	fields, ok := r.Fields(n, subject, known...)
	if !ok {
		return nil
	}
	byName := make(map[string]yamlread.Field, len(fields))
	for _, f := range fields {
		name := f.Name()
		note, isSetting := settings[name]
		switch {
		case slices.Contains(names, name):
			byName[name] = f
		case isSetting && !isOff(f.Value):
			r.warn(f.Key, "%s: %s", name, note)
		case !isSetting && !strings.HasPrefix(name, "x-"):
			hint := "it was not read"
			if like := yamlread.Closest(name, known); like != "" {
				hint = fmt.Sprintf("did you mean %q?", like)
			}
			r.refuse(f.Key, "%s: unknown key %q: %s", subject, yamlread.Clip(name), hint)
		}
	}
	return byName
}

// isOff reports whether a setting is false or empty, which is the same as no setting.
func isOff(n *yaml.Node) bool {
	n = yamlread.Deref(n)
	if n.Kind != yaml.ScalarNode {
		return len(n.Content) == 0
	}
	return yamlread.IsNull(n) || n.Value == "" || n.Tag == "!!bool" && strings.EqualFold(n.Value, "false")
}

// texts returns the scalars of a list, with their nodes. A single text is a list of one.
func (r *reader) texts(n *yaml.Node, subject string) []*yaml.Node {
	if d := yamlread.Deref(n); d.Kind == yaml.ScalarNode && !yamlread.IsNull(d) {
		return []*yaml.Node{n}
	}
	if yamlread.Deref(n).Kind == yaml.MappingNode {
		r.WrongType(n, subject, "text or a list")
		return nil
	}
	items, _ := r.Items(n, subject)
	all := make([]*yaml.Node, 0, len(items))
	for _, item := range items {
		if d := yamlread.Deref(item); d.Kind != yaml.ScalarNode || yamlread.IsNull(d) {
			r.WrongType(item, "an item of "+subject, "text")
			continue
		}
		all = append(all, item)
	}
	return all
}

// add adds an image that the tool copies, unless a tag in it is bad.
func (r *reader) add(c imageCopy) {
	tags := []string{c.tag, c.as}
	if c.digest != "" {
		c.tag, tags = "", nil
		if c.as != "" {
			tags = []string{c.as}
		}
	}
	for _, tag := range tags {
		if err := image.CheckTag(tag); err != nil {
			r.refuse(c.node, "%v", err)
			return
		}
	}
	if c.from == c.to && c.tag == c.as && c.digest == "" {
		r.warn(c.node, "%s:%s is copied to itself: left out", c.from, c.tag)
		return
	}
	r.copies = append(r.copies, c)
}

// allTags refuses a selection of all tags of a repository.
func (r *reader) allTags(n *yaml.Node, from repository) {
	r.refuse(n, "all tags of %s: a manifest lists each image: "+
		"`cip snapshot %[1]s --minimal-snapshot` prints them as a list of images", from)
}

// anyTags refuses a pattern that matches any number of tags.
func (r *reader) anyTags(n *yaml.Node, pattern string, from repository) {
	r.refuse(n, "the pattern %q selects any number of tags of %s: a manifest lists each image: "+
		"`cip snapshot %[2]s --minimal-snapshot` prints all of them", yamlread.Clip(pattern), from)
}

// versions refuses a semver range. The manifest gets a selector as a comment.
func (r *reader) versions(n *yaml.Node, expr string, from, to repository) {
	v := versionRange{from: from, to: to, expr: expr}
	hint := ""
	if v.isSelector() {
		hint = "; a selector, which picks the highest, is in a comment"
		r.ranges = append(r.ranges, v)
	}
	r.refuse(n, "the range %q selects any number of tags of %s: a manifest lists each image: "+
		"`cip snapshot %[2]s --minimal-snapshot` prints all of them%s", yamlread.Clip(expr), from, hint)
}

// errTemplate is the error for text that the tool expands.
var errTemplate = errors.New("templates and environment variables are not expanded: write the value")

// checkExpanded returns an error if a tool would expand s.
func checkExpanded(s string) error {
	if strings.Contains(s, "{{") || strings.Contains(s, "$") {
		return fmt.Errorf("%q: %w", yamlread.Clip(s), errTemplate)
	}
	return nil
}
