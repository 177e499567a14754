package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// alias takes the image that an image tags file leads to.
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
	return j.keep(c), nil
}

// readImageTags reads an image tags file that a producer names, and what it warns of.
func readImageTags(name string, r Readers) (tags *ImageTags, notes []string, err error) {
	raw, err := r.ReadFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("reading image tags %s: %w", name, err)
	}
	tags, faults := ParseImageTags(name, raw)
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

// staleTags returns an error if the image tags of a producer are not those of its lock.
func staleTags(p *manifest.Producer, l *manifest.Lock, r Readers) error {
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

// labels takes the image that has the labels which are named.
func (j *job) labels(ctx context.Context) (*Choice, error) {
	c, err := j.finder(ctx).Find(ctx, j.Select.Labels)
	if err != nil {
		return c, err
	}
	return j.keep(c), nil
}

// keep puts the lock's digest in place of one that the same tag has by now, as pin does.
func (j *job) keep(c *Choice) *Choice {
	l := j.previous
	if l == nil || l.Digest == c.Digest || c.Tag == "" || l.Tag != c.Tag || l.Intent != j.Intent() || l.Rebase != nil || j.Refresh || j.AlwaysRefresh {
		return c
	}
	if c.Alias != nil && (l.Alias == nil || !slices.Equal(l.Alias.Path, c.Alias.Path) || !maps.Equal(l.Alias.Labels, c.Alias.Labels)) {
		return c
	}
	c.Notes = append(c.Notes, fmt.Sprintf("tag %s has %s by now: the lock's digest is kept (--refresh)", c.Tag, c.Digest))
	c.Digest = l.Digest
	return c
}

// Alias finds the image that a tag of an image tags file leads to, after Merge. The
// tag to promote is the last of the chain, never the alias: that may mean another
// image tomorrow.
func (f *Finder) Alias(ctx context.Context, tags *ImageTags, m Merged) (*Choice, error) {
	c, err := f.Find(ctx, m.Labels)
	if len(m.Path) == 0 {
		return c, err
	}
	if err != nil {
		return c, fmt.Errorf("following tag %s of %s: %w", arrows(m.Path), tags.File, err)
	}
	last := m.Path[len(m.Path)-1]
	c.Default = []string{last}
	if image.CheckTag(last) != nil {
		c.Default = nil
		c.Notes = append(c.Notes, fmt.Sprintf("%q cannot be a tag in a registry: name the tags to promote", told(last)))
	}
	c.Fields.Labels = m.Labels
	c.Alias = &manifest.LockAlias{File: tags.File, FileDigest: tags.Digest, Path: m.Path, Labels: tags.Labels[last]}
	return c, nil
}
