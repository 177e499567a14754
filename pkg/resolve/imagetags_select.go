package resolve

import (
	"context"
	"fmt"

	"cip/pkg/image"
	"cip/pkg/manifest"
)

// Alias selects the image that a tag of an image tags file leads to, after Merge. The
// tag to promote is the last of the chain, never the alias: that may mean another
// image tomorrow.
func (f *Finder) Alias(ctx context.Context, tags *ImageTags, m Merged) (*Choice, error) {
	c, err := f.Find(ctx, m.Labels)
	if len(m.Path) == 0 {
		return c, err
	}
	if err != nil {
		return nil, fmt.Errorf("following tag %s of %s: %w", arrows(m.Path), tags.File, err)
	}
	last := m.Path[len(m.Path)-1]
	c.Default = []string{last}
	if image.CheckTag(last) != nil {
		c.Default = nil
		c.Notes = append(c.Notes, fmt.Sprintf("%q cannot be a tag in a registry: name the tags to promote", told(last)))
	}
	c.Fields.Labels = tags.Labels[last]
	c.Alias = &manifest.LockAlias{File: tags.File, FileDigest: tags.Digest, Path: m.Path, Labels: tags.Labels[last]}
	return c, nil
}
