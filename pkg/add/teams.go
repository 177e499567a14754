package add

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// maxNames is the number of names that an error lists.
const maxNames = 5

// team is a manifest with a source, and the file of its list of images.
type team struct {
	*manifest.Manifest

	path   string // of the file
	images map[string]struct{}
	repos  map[name.Repository]string // the names of images by their repositories in the source
}

// teamsOf returns the manifests that images can be added to. Several documents of a thin
// manifest that have one source are one team. at is the name of the manifests in their files.
func teamsOf(set *manifest.Set, at string) []*team {
	var teams []*team
	for _, m := range set.Manifests {
		if m.Native {
			continue
		}
		t := &team{Manifest: m, path: at, images: map[string]struct{}{}, repos: map[name.Repository]string{}}
		if m.Directory != "" {
			images, _ := manifest.TeamFiles(m.Directory)
			t.path = path.Join(at, images)
		}
		for i := range m.Images {
			t.images[m.Images[i].Name] = struct{}{}
			if repo, err := m.Source.Name.Repository(m.Images[i].Name); err == nil {
				t.repos[repo] = m.Images[i].Name
			}
		}
		if !slices.ContainsFunc(teams, func(other *team) bool { return other.sameList(t) && other.Source.Name == m.Source.Name }) {
			teams = append(teams, t)
		}
	}
	return teams
}

// sameList reports whether two teams have one list of images.
func (t *team) sameList(other *team) bool {
	return t.path == other.path && (t.Directory != "" || t.Document == other.Document)
}

// has reports whether the list of the team has an image.
func (t *team) has(name string) bool {
	_, ok := t.images[name]
	return ok
}

// contains reports whether a repository is below the source of the team.
func (t *team) contains(repo name.Repository) bool {
	_, ok := t.Source.Name.Relative(repo)
	return ok && repo.RepositoryStr() != t.Source.Name.Prefix
}

// label returns the name of the team among all: its directory, or else its source.
func (t *team) label(all []*team) string {
	if t.Directory == "" || slices.ContainsFunc(all, func(other *team) bool { return other != t && other.Directory == t.Directory }) {
		return t.Source.Name.String()
	}
	return t.Directory
}

// labels returns the names of an image in some teams, for errors.
func (c *computation) labels(some []*team, name string) string {
	var names []string
	for _, t := range some {
		names = append(names, path.Join(t.label(c.teams), name))
	}
	return image.FirstNames(names, maxNames)
}

// isFull reports whether a name starts with a host.
func isFull(text string) bool {
	host, _, _ := strings.Cut(text, "/")
	return image.IsHost(host)
}

// find returns the team of an image and the name of the image in its list.
//
// The name is in full, or begins with the directory of a team, or is the one in a list.
func (c *computation) find(text string) (*team, string, error) {
	full := strings.Contains(text, "/") && isFull(text)
	if repo, err := image.ParseRepository(text); full && (err != nil || c.owned(repo)) {
		if err != nil {
			return nil, "", err
		}
		return c.owner(repo)
	}
	type candidate struct {
		team *team
		name string
	}
	var found []candidate
	for _, t := range c.teams {
		below, ok := strings.CutPrefix(text, t.Directory+"/")
		switch {
		case t.has(text):
			found = append(found, candidate{t, text})
		case ok && t.Directory != "":
			found = append(found, candidate{t, below})
		}
	}
	if len(found) == 0 && full {
		return nil, "", c.unowned(text)
	}
	if len(found) == 0 && len(c.teams) == 1 {
		found = append(found, candidate{c.teams[0], text})
	}
	switch len(found) {
	case 0:
		return nil, "", c.unknown(text)
	case 1:
		return found[0].team, found[0].name, nil
	}
	var names []string
	for _, f := range found {
		names = append(names, path.Join(f.team.label(c.teams), f.name))
	}
	return nil, "", fmt.Errorf("several teams have an image %s: name one of %s", text, image.FirstNames(names, maxNames))
}

// owned reports whether a repository is in a source.
func (c *computation) owned(repo name.Repository) bool {
	return slices.ContainsFunc(c.teams, func(t *team) bool { return t.contains(repo) })
}

// owner returns the team of a repository: the one whose list has it, or else the one whose
// source is nearest to it.
func (c *computation) owner(repo name.Repository) (*team, string, error) {
	var best []*team
	name, listing := "", false
	for _, t := range c.teams {
		if !t.contains(repo) {
			continue
		}
		below, has := t.repos[repo]
		if !has {
			below, _ = t.Source.Name.Relative(repo)
		}
		switch {
		case len(best) > 0 && (listing && !has || has == listing && len(below) > len(name)):
			continue
		case len(best) == 0 || has != listing || len(below) < len(name):
			best, name, listing = nil, below, has
		}
		best = append(best, t)
	}
	switch len(best) {
	case 0:
		return nil, "", c.unowned(repo.String())
	case 1:
		return best[0], name, nil
	}
	return nil, "", fmt.Errorf("several teams have the source of %s: name one of %s", repo, c.labels(best, name))
}

// unknown returns the error for a short name that no list has.
func (c *computation) unknown(text string) error {
	var names []string
	for _, t := range c.teams {
		for name := range t.images {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	hint := ""
	if near := yamlread.Closest(text, names); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	return fmt.Errorf("no list has an image %q: name a new one with the directory of its team, or in full, as in %s%s",
		text, c.labels(c.teams[:1], path.Base(text)), hint)
}

// unowned returns the error for a repository that no manifest has the source of.
func (c *computation) unowned(text string) error {
	repo, _ := image.ParseRepository(text) // a registry is below no destination
	for _, t := range c.teams {
		for _, d := range t.Destinations {
			if below, ok := d.Name.Relative(repo); ok && t.has(below) {
				return fmt.Errorf("%s is in a destination: name the image in its source, %s/%s", text, t.Source.Name, below)
			}
		}
	}
	var sources []string
	for _, t := range c.teams {
		sources = append(sources, t.Source.Name.String())
	}
	return fmt.Errorf("no manifest has a source with %s: the sources are %s", text, image.FirstNames(sources, maxNames))
}
