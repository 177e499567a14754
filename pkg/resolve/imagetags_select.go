package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// alias implements the policy alias: it selects the image of a tag in an image tags file.
func (j *job) alias(ctx context.Context) (*Choice, error) {
	tags, notes, err := readImageTags(j.Select.Alias.ImageTags, j.Readers)
	if err != nil {
		return nil, err
	}
	m, err := tags.Merge(j.Select.Alias.Tag, j.Labels, false)
	if err != nil {
		return nil, err
	}
	c, err := j.finder(ctx).Alias(ctx, tags, m)
	if err != nil {
		return c, err
	}
	c.Notes = append(notes, c.Notes...)
	return j.keepLocked(c), nil
}

// readImageTags reads the image tags file of a selector. notes are its warnings.
func readImageTags(name string, r Readers) (tags *imagetags.File, notes []string, err error) {
	raw, err := r.ReadFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("reading image tags %s: %w", name, err)
	}
	tags, faults := imagetags.Parse(name, raw)
	var broken []error
	for _, f := range faults {
		if f.Severity == manifest.Warning {
			notes = append(notes, f.String())
		} else {
			broken = append(broken, f)
		}
	}
	return tags, notes, errors.Join(broken...)
}

// staleTags returns an error if the image tags file of a selector has changed since its
// lock entry was written.
func staleTags(p *selector.Selector, l *selector.Lock, r Readers) error {
	if p.Select.Alias == nil {
		return nil
	}
	name := p.Select.Alias.ImageTags
	tags, _, err := readImageTags(name, r)
	if err != nil {
		return err
	}
	if l.Alias == nil || l.Alias.FileDigest != tags.Digest {
		return fmt.Errorf("%s has changed since %s was resolved", name, p.Name)
	}
	return nil
}

// labels implements the policy labels: it selects the image that has the given labels.
func (j *job) labels(ctx context.Context) (*Choice, error) {
	c, err := j.finder(ctx).Find(ctx, j.Select.Labels)
	if err != nil {
		return c, err
	}
	return j.keepLocked(c), nil
}

// keepLocked replaces the digest of the choice with that of the lock, as pin does.
//
// It does so only if the lock is for the same tag and the same labels.
func (j *job) keepLocked(c *Choice) *Choice {
	d, ok := j.locked(c.Tag)
	if !ok || c.Tag == "" || d == c.Digest {
		return c
	}
	if l := j.previous.Alias; c.Alias != nil && (l == nil || !slices.Equal(l.Path, c.Alias.Path) || !maps.Equal(l.Labels, c.Alias.Labels)) {
		return c
	}
	c.Notes = append(c.Notes, fmt.Sprintf("tag %s now points to %s: the digest in the lock is kept (--refresh)", c.Tag, c.Digest))
	c.Digest = d
	return c
}

// Alias finds the image for a result of Merge.
//
// The tag to promote is the last tag of the chain. It is never the alias, because an
// alias can point to another image later.
func (f *Finder) Alias(ctx context.Context, tags *imagetags.File, m imagetags.Merged) (*Choice, error) {
	c, err := f.Find(ctx, m.Labels)
	if len(m.Path) == 0 {
		return c, err
	}
	if err != nil {
		return c, fmt.Errorf("following tag %s of %s: %w", imagetags.FormatChain(m.Path), tags.Name, err)
	}
	last := m.Path[len(m.Path)-1]
	c.Default = []string{last}
	if image.CheckTag(last) != nil {
		c.Default = nil
		c.Notes = append(c.Notes, fmt.Sprintf("%q is not a valid tag in a registry: set the tags to promote", clip(last)))
	}
	c.Fields.Labels = m.Labels
	c.Alias = &selector.LockAlias{File: tags.Name, FileDigest: tags.Digest, Path: m.Path, Labels: tags.Labels[last]}
	return c, nil
}
