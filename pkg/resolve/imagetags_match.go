package resolve

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

const (
	maxNesting = 8      // indexes within indexes
	maxParts   = 20_000 // images that are looked at within one index, each as often as it is named
)

// matcher holds one digest of a repository against what is asked.
type matcher struct {
	*Finder
	*asked
	held
	isVersion bool // a tag of the version's name leads to the digest
	looked    int  // parts so far
}

// part is a manifest: what was looked at, or an image within it.
type part struct {
	digest v1.Hash
	role   string              // its platform, if it is an image of an index
	around []map[string]string // annotations of the indexes that lead to it, outermost first
	exact  bool                // it has no variant, and none was asked for
	read   *Image              // nil until it is needed
}

// judge says which images of the digest have all labels.
func (m *matcher) judge(ctx context.Context) (verdict, error) {
	v := verdict{held: m.held}
	m.isVersion = slices.Contains(m.tags, m.version)
	if m.versioned && m.digest() != (v1.Hash{}) && image.CheckTag(m.version) == nil {
		d, _, err := m.reg.Digest(ctx, m.repo, m.version)
		if err != nil {
			return v, err
		}
		m.isVersion = d == m.held.digest
	}
	whole := part{digest: m.held.digest}
	if !m.single() && len(m.carried()) == 0 {
		v.images, v.why = []part{whole}, "has all labels"
		return v, nil
	}
	if ok, err := m.load(ctx, &whole); err != nil || !ok {
		v.why = "is not in the registry any more"
		return v, err
	}
	var seen []string
	parts, err := m.parts(ctx, whole, &seen, 0)
	if err != nil {
		return v, err
	}
	if len(parts) == 0 {
		v.why = fmt.Sprintf("has no image for %s, only for %s", m.platform, strings.Join(distinct(seen), ", "))
		if len(seen) == 0 {
			v.why = fmt.Sprintf("has no image for %s", m.platform)
		}
		return v, nil
	}
	var reasons []string
	for i := range parts {
		lacks, err := m.lacks(ctx, &parts[i])
		if err != nil {
			return v, err
		}
		if len(lacks) == 0 {
			v.images = append(v.images, parts[i])
		}
		reasons = append(reasons, lacks...)
	}
	v.why = strings.Join(distinct(reasons), ", ")
	if len(v.images) > 0 {
		v.why = "has all labels"
	}
	return v, nil
}

// digest returns the digest that is asked for.
func (m *matcher) digest() v1.Hash { return m.asked.digest }

// load reads a part that has not been read. It reports false for an image that an
// index names and the registry does not hold, or cannot: its digest is none.
func (m *matcher) load(ctx context.Context, p *part) (bool, error) {
	if p.read != nil {
		return true, nil
	}
	if !valid(p.digest) {
		return false, nil
	}
	im, err := m.reg.Image(ctx, m.repo, image.DigestString(p.digest))
	if err != nil {
		if _, ok, e := m.reg.Digest(ctx, m.repo, image.DigestString(p.digest)); e == nil && !ok {
			return false, nil
		}
		return false, err
	}
	p.read = im
	return true, nil
}

// valid reports whether d, which an index may have named, is a digest.
func valid(d v1.Hash) bool {
	_, err := image.ParseDigest(image.DigestString(d))
	return err == nil
}

// index reports whether an image is an index: it has no config.
func (i *Image) index() bool { return i.Config == "" }

// parts returns what in p is for the platform that is asked for, and notes the platforms
// it saw. If no single image is asked for that is p itself.
func (m *matcher) parts(ctx context.Context, p part, seen *[]string, depth int) ([]part, error) {
	if !m.single() {
		return []part{p}, nil
	}
	if !p.read.index() {
		own := platform{p.read.OS, p.read.Architecture, p.read.Variant}
		*seen = append(*seen, own.String())
		if !m.runsOn(own) {
			return nil, nil
		}
		if depth > 0 {
			p.role = own.String()
		}
		p.exact = normal(own).variant == m.platform.variant
		return []part{p}, nil
	}
	if err := m.descend(p.read, depth); err != nil {
		return nil, err
	}
	var all []part
	for _, c := range p.read.Children {
		own := platform{c.OS, c.Architecture, c.Variant}
		inner := part{digest: c.Digest, around: append(slices.Clone(p.around), p.read.Annotations, c.Annotations)}
		if attached(c) {
			continue
		}
		if own.os == "" && own.arch == "" { // the index does not say
			if ok, err := m.load(ctx, &inner); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
			within, err := m.parts(ctx, inner, seen, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, within...)
			continue
		}
		*seen = append(*seen, own.String())
		if m.runsOn(own) {
			inner.role = own.String()
			inner.exact = normal(own).variant == m.platform.variant
			all = append(all, inner)
		}
	}
	if exact := slices.DeleteFunc(slices.Clone(all), func(p part) bool { return !p.exact }); len(exact) > 0 && m.platform.arch != "" {
		all = exact
	}
	return all, nil
}

// descend returns an error if there is too much within an index to look at.
func (m *matcher) descend(index *Image, depth int) error {
	m.looked += len(index.Children)
	if depth == maxNesting {
		return fmt.Errorf("reading source %s: more than %d indexes within each other", m.repo.Digest(m.held.digest.String()).String(), maxNesting)
	}
	if m.looked > maxParts {
		return fmt.Errorf("reading source %s: more than %d images to look at", m.repo.Digest(m.held.digest.String()).String(), maxParts)
	}
	return nil
}

// attached reports whether a child of an index is no image of its own but describes another.
func attached(c Child) bool {
	return c.OS == "unknown" && c.Architecture == "unknown" || c.Annotations["vnd.docker.reference.type"] != ""
}

// carried returns the labels that an image has to carry itself.
func (m *matcher) carried() []string {
	if m.versioned && !m.isVersion {
		return append(slices.Clone(m.other), "version")
	}
	return m.other
}

// lacks says what a part does not have.
func (m *matcher) lacks(ctx context.Context, p *part) ([]string, error) {
	if !valid(p.digest) {
		return []string{"names an image by " + told(image.DigestString(p.digest)) + ", which is no sha256 digest"}, nil
	}
	var reasons []string
	ok, err := true, error(nil)
	if m.config != "" {
		ok, err = m.load(ctx, p)
	} else if p.read == nil {
		_, ok, err = m.reg.Digest(ctx, m.repo, image.DigestString(p.digest))
	}
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return []string{"names " + image.DigestString(p.digest) + ", which the registry does not hold"}, nil
	case m.config != "" && p.read.Config != m.config:
		reasons = append(reasons, "is not dockerimageid="+m.config)
	}
	for _, label := range m.carried() {
		key := label
		if label == "version" {
			key = versionKey
		}
		got, ok, err := m.claim(ctx, p, key, 0)
		switch want := m.labels[label]; {
		case err != nil:
			return nil, err
		case !ok:
			reasons = append(reasons, fmt.Sprintf("lacks %s=%s", label, told(want)))
		case got != want:
			reasons = append(reasons, fmt.Sprintf("has %s=%s, not %s", label, told(got), told(want)))
		}
	}
	return reasons, nil
}

// claim returns what a part says under a key: in the annotations around it, outermost
// first, in its own, in the labels of its config. An image may carry labels of the one
// it was built on; what was said further out was said later. An index without the
// annotation says what all its images agree on.
func (m *matcher) claim(ctx context.Context, p *part, key string, depth int) (string, bool, error) {
	for _, annotations := range p.around {
		if value, ok := annotations[key]; ok {
			return value, true, nil
		}
	}
	if ok, err := m.load(ctx, p); err != nil || !ok {
		return "", false, err
	}
	if value, ok := p.read.Annotations[key]; ok {
		return value, true, nil
	}
	if !p.read.index() {
		value, ok := p.read.Labels[key]
		return value, ok, nil
	}
	if err := m.descend(p.read, depth); err != nil {
		return "", false, err
	}
	agreed := map[string]struct{}{}
	for _, c := range p.read.Children {
		if attached(c) {
			continue
		}
		value, ok, err := m.claim(ctx, &part{digest: c.Digest, around: []map[string]string{c.Annotations}}, key, depth+1)
		if err != nil || !ok {
			return "", false, err
		}
		agreed[value] = struct{}{}
	}
	if len(agreed) != 1 {
		return "", false, nil
	}
	return slices.Collect(maps.Keys(agreed))[0], true, nil
}

// distinct returns a list sorted and without repetitions.
func distinct(all []string) []string { return slices.Compact(slices.Sorted(slices.Values(all))) }
