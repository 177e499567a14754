package add

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// target is an image to add digests and tags of.
type target struct {
	team    *team
	text    string // as the user wrote it
	name    string // in the list
	repo    name.Repository
	tags    []string
	digests []v1.Hash
}

// newTarget returns the target of an image of a team.
func newTarget(t *team, below, text string) (*target, error) {
	repo, err := t.Source.Name.Repository(below)
	if err != nil {
		return nil, err
	}
	return &target{team: t, text: text, name: below, repo: repo}, nil
}

// targets returns the images and registries that the request names.
func (c *computation) targets() (images []*target, regions []region, err error) {
	r := c.request
	var faults []error
	switch {
	case len(r.Images) == 0 && r.Snapshot == nil && !r.All && len(r.Below) == 0:
		return nil, nil, errors.New("no IMAGE is named: want IMAGE:TAG, or --all")
	case len(r.Images) == 0 && len(r.Below) == 0 && r.Snapshot != nil:
		regions = []region{{text: "the snapshot", whole: true}}
	case len(r.Below) > 0:
		images, faults = c.belowTargets()
	case r.All:
		for _, text := range c.registries() {
			root, err := c.region(text)
			regions, faults = append(regions, root), append(faults, err)
		}
	default:
		for _, text := range r.Images {
			t, err := c.target(text)
			images, faults = append(images, t), append(faults, err)
		}
	}
	return images, regions, errors.Join(faults...)
}

// registries returns the registries of the request: the only source if it names none.
func (c *computation) registries() []string {
	if len(c.request.Images) == 0 {
		return []string{""}
	}
	return c.request.Images
}

// target parses IMAGE[:TAG][@DIGEST].
func (c *computation) target(text string) (*target, error) {
	named, tag, digest, err := image.SplitReference(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", text, err)
	}
	team, name, err := c.find(named)
	if err != nil {
		return nil, err
	}
	t, err := newTarget(team, name, named)
	if err != nil {
		return nil, err
	}
	if tag != "" {
		t.tags = []string{tag}
	}
	if digest != (v1.Hash{}) {
		t.digests = []v1.Hash{digest}
	}
	return t, nil
}

// region parses the name of a registry, a team or an image, whose images are added. An
// empty name is the source of the only team.
func (c *computation) region(text string) (region, error) {
	if strings.Contains(text, "@") || strings.Contains(path.Base(text), ":") && strings.Contains(text, "/") {
		return region{}, fmt.Errorf("%s has a tag or digest: name tags with --tag, and digests with --digest", text)
	}
	teams := slices.DeleteFunc(slices.Clone(c.teams), func(t *team) bool { return text != "" && t.Directory != text })
	if isFull(text) && len(teams) == 0 {
		root, err := image.ParseRegistry(text)
		if err != nil {
			return region{}, err
		}
		apart := func(t *team) bool { return !within(t.Source.Name, root) && !within(root, t.Source.Name) }
		near := slices.DeleteFunc(slices.Clone(c.teams), apart)
		switch {
		case len(near) == 0:
			return region{}, c.unowned(root.String())
		case c.request.Snapshot != nil && len(near) > 1:
			return region{}, fmt.Errorf("a snapshot is that of one source: name one of %s", c.labels(near, ""))
		}
		return region{text: text, root: root}, nil
	}
	switch {
	case len(teams) == 1:
		return region{text: teams[0].Source.Name.String(), root: teams[0].Source.Name, team: teams[0]}, nil
	case len(teams) > 1:
		return region{}, fmt.Errorf("several sources could be meant: name one of %s", c.labels(teams, ""))
	}
	t, below, err := c.find(text)
	if err != nil {
		return region{}, err
	}
	repo, err := t.Source.Name.Repository(below)
	return region{text: text, root: image.NewRegistry(repo.RegistryStr(), repo.RepositoryStr()), team: t}, err
}

// within reports whether registry r is root or below it.
func within(r, root image.Registry) bool {
	return r.RegistryStr() == root.RegistryStr() &&
		(root.Prefix == "" || r.Prefix == root.Prefix || strings.HasPrefix(r.Prefix, root.Prefix+"/"))
}

// belowTargets returns the images of Request.Below in each of its registries.
func (c *computation) belowTargets() (images []*target, faults []error) {
	for _, text := range c.registries() {
		at, err := c.region(text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, below := range c.request.Below {
			repo, err := at.root.Repository(below)
			if err != nil {
				faults = append(faults, err)
				continue
			}
			t, err := c.targetOf(at, repo)
			images, faults = append(images, t), append(faults, err)
		}
	}
	return images, faults
}

// targetOf returns the target of a repository in a region.
func (c *computation) targetOf(at region, repo name.Repository) (*target, error) {
	owner, below := at.team, ""
	if owner != nil {
		below, _ = owner.Source.Name.Relative(repo)
	} else {
		var err error
		if owner, below, err = c.owner(repo); err != nil {
			return nil, err
		}
	}
	return newTarget(owner, below, repo.String())
}
