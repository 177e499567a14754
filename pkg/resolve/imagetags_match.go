package resolve

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

const (
	maxNesting = 8      // nested indexes
	maxParts   = 20_000 // entries of all indexes below one digest, including duplicates
)

// matcher compares one digest of a repository with a query.
type matcher struct {
	*Finder
	*query
	at        taggedDigest
	isVersion bool // the label version, as a tag, points to the digest
	looked    int  // index entries so far
}

// part is the digest or an image in its index.
type part struct {
	digest       v1.Hash
	platformName string              // set for an image of an index
	around       []map[string]string // annotations of the indexes and entries around it, outermost first
	exact        bool                // the variant is exactly that of the query
	read         *Image              // nil until load
}

// evaluate returns the images that have all labels.
func (m *matcher) evaluate(ctx context.Context) (verdict, error) {
	v := verdict{taggedDigest: m.at}
	m.isVersion = slices.Contains(m.at.tags, m.version)
	if m.versioned && m.digest != (v1.Hash{}) && image.CheckTag(m.version) == nil {
		d, _, err := m.reg.Digest(ctx, m.repo, m.version)
		if err != nil {
			return v, err
		}
		m.isVersion = d == m.at.digest
	}
	whole := part{digest: m.at.digest}
	if !m.wantsOneImage() && len(m.carried()) == 0 {
		v.images, v.why = []part{whole}, "has all labels"
		return v, nil
	}
	if ok, err := m.load(ctx, &whole); err != nil || !ok {
		v.why = "is no longer in the registry"
		return v, err
	}
	var seen []string
	parts, err := m.parts(ctx, whole, &seen, 0)
	if err != nil {
		return v, err
	}
	if len(parts) == 0 {
		v.why = "has no image for " + m.platform.String()
		if len(seen) > 0 {
			v.why += ", only for " + strings.Join(distinct(seen), ", ")
		}
		return v, nil
	}
	var reasons []string
	for i := range parts {
		missing, err := m.missing(ctx, &parts[i])
		if err != nil {
			return v, err
		}
		if len(missing) == 0 {
			v.images = append(v.images, parts[i])
		}
		reasons = append(reasons, missing...)
	}
	v.why = strings.Join(distinct(reasons), ", ")
	if len(v.images) > 0 {
		v.why = "has all labels"
	}
	return v, nil
}

// load reads the image of a part, unless it has been read.
//
// It returns false if the registry does not hold the image, or if the digest in the
// index is not valid.
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

// valid reports whether d is a digest. Digests in an index can have any text.
func valid(d v1.Hash) bool {
	_, err := image.ParseDigest(image.DigestString(d))
	return err == nil
}

// index reports whether the image is an index. An index has no config.
func (i *Image) index() bool { return i.Config == "" }

// parts returns the images in p for the platform of the query.
//
// It appends the platforms of all images to seen. If the query is not for a single
// image, the result is p itself.
func (m *matcher) parts(ctx context.Context, p part, seen *[]string, depth int) ([]part, error) {
	if !m.wantsOneImage() {
		return []part{p}, nil
	}
	if !p.read.index() {
		return m.fitting(p, platform{p.read.OS, p.read.Architecture, p.read.Variant}, seen, depth > 0), nil
	}
	if err := m.descend(p.read, depth); err != nil {
		return nil, err
	}
	var all []part
	for _, c := range p.read.Children {
		own := platformOf(c)
		inner := part{digest: c.Digest, around: append(slices.Clone(p.around), p.read.Annotations, c.Annotations)}
		if isAttestation(c) {
			continue
		}
		if own.os == "" && own.arch == "" { // the index entry has no platform
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
		all = append(all, m.fitting(inner, own, seen, true)...)
	}
	if exact := slices.DeleteFunc(slices.Clone(all), func(p part) bool { return !p.exact }); len(exact) > 0 && m.platform.arch != "" {
		all = exact
	}
	return all, nil
}

// fitting returns p, an image for the platform own, if that is the one of the query.
func (m *matcher) fitting(p part, own platform, seen *[]string, inIndex bool) []part {
	*seen = append(*seen, own.String())
	if !m.matchesPlatform(own) {
		return nil
	}
	if inIndex {
		p.platformName = own.String()
	}
	p.exact = normal(own).variant == m.platform.variant
	return []part{p}
}

// descend counts the entries of an index. It returns an error at the limits, which
// protect against hostile indexes.
func (m *matcher) descend(index *Image, depth int) error {
	m.looked += len(index.Children)
	if depth == maxNesting {
		return fmt.Errorf("reading source %s: more than %d nested indexes", m.repo.Digest(m.at.digest.String()).String(), maxNesting)
	}
	if m.looked > maxParts {
		return fmt.Errorf("reading source %s: more than %d images in its indexes", m.repo.Digest(m.at.digest.String()).String(), maxParts)
	}
	return nil
}

// isAttestation reports whether a child of an index is an attestation of another child.
func isAttestation(c v1.Descriptor) bool {
	p := platformOf(c)
	return image.IsAttestation(p.os, p.arch, c.Annotations)
}

// carried returns the labels to compare with the annotations and labels of the image.
//
// The label version is one of them unless it is a tag of the digest.
func (m *matcher) carried() []string {
	if m.versioned && !m.isVersion {
		return append(slices.Clone(m.other), "version")
	}
	return m.other
}

// missing returns the reasons why a part does not match the query, or none if it does.
func (m *matcher) missing(ctx context.Context, p *part) ([]string, error) {
	if !valid(p.digest) {
		return []string{"names an image by " + clip(image.DigestString(p.digest)) + ", which is not a sha256 digest"}, nil
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
		got, ok, err := m.labelValue(ctx, p, key, 0)
		switch want := m.labels[label]; {
		case err != nil:
			return nil, err
		case !ok:
			reasons = append(reasons, fmt.Sprintf("lacks %s=%s", label, clip(want)))
		case got != want:
			reasons = append(reasons, fmt.Sprintf("has %s=%s, not %s", label, clip(got), clip(want)))
		}
	}
	return reasons, nil
}

// labelValue returns the value of an annotation or label of a part.
//
// The order is: annotations of the indexes around it, outermost first, its own
// annotations, the labels of its config. Outer annotations were added later, while
// labels may come from the base image. If an index has no such annotation, the value
// is the one that all its images have.
func (m *matcher) labelValue(ctx context.Context, p *part, key string, depth int) (string, bool, error) {
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
	var values []string
	for _, c := range p.read.Children {
		if isAttestation(c) {
			continue
		}
		value, ok, err := m.labelValue(ctx, &part{digest: c.Digest, around: []map[string]string{c.Annotations}}, key, depth+1)
		if err != nil || !ok {
			return "", false, err
		}
		values = append(values, value)
	}
	if values = distinct(values); len(values) != 1 {
		return "", false, nil
	}
	return values[0], true, nil
}

// distinct returns the elements sorted and without duplicates.
func distinct(all []string) []string { return slices.Compact(slices.Sorted(slices.Values(all))) }
