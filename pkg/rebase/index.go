package rebase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// child is an entry of an index.
type child struct {
	part
	platform    platform
	attestation bool // an attestation of another child, not an image
}

func isIndex(m *registry.Manifest) bool {
	content, err := m.Parse()
	return err == nil && content.Index
}

// parseIndex returns an index as JSON, and its entries.
func parseIndex(m *registry.Manifest) (doc *object, all []child, err error) {
	var descs []*object
	if doc, err = parseObject(m.Raw); err == nil {
		descs, err = doc.objects("manifests")
	}
	all = make([]child, len(descs))
	for i, desc := range descs {
		err = cmp.Or(err, all[i].read(desc))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("parsing the index: %w", err)
	}
	return doc, all, nil
}

func (c *child) read(desc *object) error {
	var err error
	if c.part, err = newPart(desc); err != nil {
		return err
	}
	runs, err := desc.object("platform")
	if err != nil {
		return err
	}
	err = errors.Join(c.platform.read(runs), desc.read("annotations", &c.Annotations))
	c.attestation = image.IsAttestation(c.platform.OS, c.platform.Architecture, c.Annotations)
	return err
}

// forPlatform returns the best child for platform want, or nil.
//
// Operating system and architecture must be equal. Among several such children,
// the same OS version comes first, then the same OS build (Windows), then any. Among
// those, the same variant comes first, then no variant, then any. If children are
// equally good, the first one in the index is used.
func forPlatform(all []child, want platform) *child {
	var best *child
	rank := func(c *child) int {
		rank := 0
		switch {
		case want.OSVersion == "":
		case c.platform.OSVersion == want.OSVersion:
			rank = 6
		case c.platform.build() == want.build():
			rank = 3
		}
		switch c.platform.Variant {
		case want.Variant:
			return rank + 2
		case "":
			return rank + 1
		}
		return rank
	}
	for i := range all {
		c := &all[i]
		if c.attestation || c.platform.OS != want.OS || c.platform.Architecture != want.Architecture {
			continue
		}
		if best == nil || rank(c) > rank(best) {
			best = c
		}
	}
	return best
}

// index rebases every image of an index.
//
// Attestations are dropped with a note: they describe images that the rebase
// replaces. They stay if all images are up to date.
func (r *Reader) index(ctx context.Context, res *Result, m *registry.Manifest, o Options) error {
	doc, children, err := parseIndex(m)
	if err != nil {
		return err
	}
	res.UpToDate, res.Manifest = true, m
	var descs []*object
	var dropped []string
	for _, c := range children {
		if c.attestation {
			dropped = append(dropped, fmt.Sprintf("attestation %s is dropped: it describes an image that is replaced", c.Digest.String()))
			continue
		}
		app, err := r.child(ctx, res.App.Repository, c)
		if err != nil {
			return err
		}
		img, err := r.rebaseImage(ctx, app, o)
		if err != nil {
			return fmt.Errorf("image %s for %s: %w", c.Digest.String(), app.platform, err)
		}
		res.Images = append(res.Images, *img)
		res.Notes = append(res.Notes, slices.DeleteFunc(img.notes, func(n string) bool { return slices.Contains(res.Notes, n) })...)
		if res.UpToDate = res.UpToDate && img.UpToDate; img.UpToDate {
			descs = append(descs, c.desc)
			continue
		}
		desc, err := c.rebased(img)
		if err != nil {
			return err
		}
		descs = append(descs, desc)
	}
	switch {
	case len(res.Images) == 0:
		return errors.New("the index has no image")
	case res.UpToDate:
		return nil
	}
	res.Notes = append(res.Notes, dropped...)
	doc = doc.clone()
	doc.set("manifests", descs)
	if err := setBaseAnnotations(doc, res.Images[0].Onto.Image, res.Images[0].Onto.Digest); err != nil {
		return err
	}
	res.Manifest, err = encode(doc, m.MediaType)
	return err
}

// rebased returns the index entry of img, replacing the child.
func (c *child) rebased(img *Image) (*object, error) {
	desc := c.desc.clone()
	pointTo(desc, img.Manifest.Raw)
	if err := setBaseAnnotations(desc, img.Onto.Image, img.base); err != nil {
		return nil, err
	}
	if desc.index("platform") < 0 {
		return desc, nil
	}
	runs, err := c.desc.object("platform")
	if err != nil {
		return nil, err
	}
	runs.set("architecture", img.platform.Architecture)
	runs.set("os", img.platform.OS)
	if img.platform.OSVersion != "" {
		runs.set("os.version", img.platform.OSVersion)
	}
	desc.set("platform", runs)
	return desc, nil
}
