package importer

import (
	"fmt"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// imageSyncerSettings are keys of the older file of image-syncer, which has everything.
var imageSyncerSettings = notes{"auth": noteLogin}

// imageSyncer reads the images of image-syncer: sources and their destinations.
//
// Older files have them below the key images, next to auth.
func (r *reader) imageSyncer(root *yaml.Node) {
	images := root
	if _, ok := yamlread.Lookup(root, "images"); ok {
		f, ok := r.mapping(root, "a configuration of image-syncer", imageSyncerSettings, "images")["images"]
		if !ok { // the mapping is too large to be read
			return
		}
		images = f.Value
	}
	rules, _ := r.Fields(images, "the images of image-syncer")
	for _, rule := range rules {
		targets := r.texts(rule.Value, "destinations")
		if n := yamlread.Deref(rule.Value); len(targets) == 0 && (n.Kind == yaml.SequenceNode || yamlread.IsNull(n)) {
			targets = []*yaml.Node{{Kind: yaml.ScalarNode, Line: rule.Key.Line, Column: rule.Key.Column}}
		}
		for _, target := range targets {
			r.rule(rule, target)
		}
	}
}

// rule reads one destination of a source.
func (r *reader) rule(rule yamlread.Field, target *yaml.Node) {
	from, tags, err := parseTags(rule.Name())
	if err != nil {
		r.refuse(rule.Key, "source: %v", err)
		return
	}
	text := yamlread.Deref(target).Value
	if text == "" && len(r.options.Destinations) == 0 {
		r.refuse(rule.Key, "no destination for %s: name the default one with --destination", from)
		return
	}
	targets := []string{text}
	if text == "" {
		targets = nil
		for _, d := range r.options.Destinations {
			targets = append(targets, d.String()+"/"+path.Base(from.path))
		}
	}
	for _, text := range targets {
		to, as, err := parseTags(text)
		if err != nil {
			r.refuse(target, "destination: %v", err)
			return
		}
		if len(as) == 0 {
			as = tags
		}
		r.pairs(rule.Key, from, to, tags, as)
	}
}

// pairs adds each tag or digest of the source with the one in the destination.
func (r *reader) pairs(n *yaml.Node, from, to repository, tags, as []string) {
	if len(tags) == 0 {
		r.allTags(n, from)
		return
	}
	if len(tags) != len(as) {
		r.refuse(n, "%d tags of %s, but %d in the destination", len(tags), from, len(as))
		return
	}
	for i, tag := range tags {
		if isPattern(tag) {
			for _, tag := range r.pattern(n, tag, strings.Trim(tag, "/"), from, nil) {
				r.add(imageCopy{from: from, to: to, tag: tag, as: tag, node: n})
			}
			continue
		}
		c := imageCopy{from: from, to: to, tag: tag, as: as[i], node: n}
		if strings.HasPrefix(tag, "sha256:") {
			c.tag, c.digest = "", tag
		}
		if strings.HasPrefix(c.as, "sha256:") {
			if c.as != c.digest {
				r.refuse(n, "%s: the destination has another digest than the source", from)
				continue
			}
			c.as = ""
		}
		r.add(c)
	}
}

// isPattern reports whether a tag is a /regular expression/.
func isPattern(tag string) bool { return len(tag) > 1 && tag[0] == '/' && tag[len(tag)-1] == '/' }

// parseTags parses a repository with tags, with a digest, with a pattern of tags, or alone.
func parseTags(s string) (repository, []string, error) {
	if before, pattern, ok := strings.Cut(s, ":/"); ok && isPattern("/"+pattern) {
		repo, err := parseRepository(before)
		return repo, []string{"/" + pattern}, err
	}
	first, rest, several := strings.Cut(s, ",")
	ref, err := parseReference(first)
	switch {
	case err != nil:
		return repository{}, nil, err
	case several && ref.tag == "":
		return repository{}, nil, fmt.Errorf("%q: several tags begin with NAME:TAG", yamlread.Clip(s))
	case ref.digest != "":
		return ref.repository, []string{ref.digest}, nil
	case ref.tag == "":
		return ref.repository, nil, nil
	}
	tags := []string{ref.tag}
	if several {
		for tag := range strings.SplitSeq(rest, ",") {
			if err := image.CheckTag(tag); err != nil {
				return repository{}, nil, err
			}
			tags = append(tags, tag)
		}
	}
	return ref.repository, tags, nil
}
