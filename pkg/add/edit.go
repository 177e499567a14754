package add

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// edit returns the changes of the files with wanted images. all is ordered by files.
func (c *computation) edit(all []*wanted) ([]Change, error) {
	var changes []Change
	var faults []error
	for len(all) > 0 {
		file := all[0].team.path
		n := slices.IndexFunc(all, func(w *wanted) bool { return w.team.path != file })
		if n < 0 {
			n = len(all)
		}
		change, err := c.editFile(file, all[:n])
		if err != nil {
			faults = append(faults, err)
		}
		if len(change.Added) > 0 {
			changes = append(changes, change)
		}
		all = all[n:]
	}
	return changes, errors.Join(faults...)
}

// editFile returns the change of one file.
func (c *computation) editFile(file string, all []*wanted) (Change, error) {
	data, err := fs.ReadFile(c.files.FS, file)
	if err != nil {
		return Change{}, fmt.Errorf("reading %s: %w", c.path(file), cause(err))
	}
	change := Change{Path: file, Old: data, New: data}
	var faults []error
	for _, w := range all {
		text := manifest.NewImagesTextOf(w.team.Manifest, change.New)
		added, err := c.editImage(text, w)
		if err != nil {
			faults = append(faults, fmt.Errorf("editing %s: %w", c.path(file), err))
			continue
		}
		change.New = text.Bytes()
		change.Added = append(change.Added, added...)
	}
	return change, errors.Join(faults...)
}

// path returns the name of a file for messages.
func (c *computation) path(file string) string {
	if file == c.files.Name {
		return c.files.Display
	}
	rest := file
	if c.files.Name != "." {
		rest = file[len(c.files.Name)+1:]
	}
	return path.Join(c.files.Display, rest)
}

// editImage adds the digests and tags of an image to a list.
func (c *computation) editImage(text *manifest.ImagesText, w *wanted) ([]Added, error) {
	before, err := text.Wants()
	if err != nil {
		return nil, err
	}
	var all []Added
	var additions []manifest.Addition
	for _, d := range w.sorted() {
		have, listed := before[w.name+"@"+d.String()]
		tags := slices.DeleteFunc(w.tags(d), func(tag string) bool { return slices.Contains(have, tag) })
		if listed && len(tags) == 0 {
			continue
		}
		additions = append(additions, manifest.Addition{Digest: d, Tags: tags})
		all = append(all, Added{Image: w.name, Source: w.repo, Digest: d, New: !listed, Tags: tags})
	}
	if len(all) == 0 {
		return nil, nil
	}
	moved, err := text.Move(w.name, func(tag string) string { return c.fixed(w.team, tag) }, additions...)
	for i := range all {
		for _, m := range moved {
			if m.To == all[i].Digest {
				all[i].Moved = append(all[i].Moved, m)
			}
		}
	}
	return all, err
}

// fixed returns a destination of a list in which a tag may not move, or "".
func (c *computation) fixed(t *team, tag string) string {
	for _, m := range c.Set.Manifests {
		if m.Native || m.File != t.File || m.Directory == "" && m.Document != t.Document {
			continue
		}
		for _, d := range m.Destinations {
			if !d.MayMove(tag) {
				return d.Name.String()
			}
		}
	}
	return ""
}

// verify returns an error for each fault that changes would bring, such as a tag that
// another list wants for another digest at the same destination.
func (c *computation) verify(changes []Change) error {
	after := &edited{FS: c.files.FS, files: map[string][]byte{}}
	for _, change := range changes {
		after.files[change.Path] = change.New
	}
	set, err := manifest.Load(after, c.files.Name, c.files.Display)
	if err != nil {
		return err
	}
	known := map[string]struct{}{}
	for _, f := range faultsOf(c.Set) {
		known[f.Key()] = struct{}{}
	}
	var faults []error
	for _, group := range manifest.Contradictions(faultsOf(set)) {
		if _, ok := known[group[0].Key()]; !ok && group[0].Severity != manifest.Warning {
			faults = append(faults, group[0])
		}
	}
	return errors.Join(faults...)
}

// faultsOf returns the faults of manifests, each and between them.
func faultsOf(set *manifest.Set) []manifest.Fault {
	return slices.Concat(set.Faults, plan.Desired(set, nil).Faults)
}
