package resolve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"text/template"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// Result is the outcome of one selector.
type Result struct {
	Selector *selector.Selector
	Choice   *Choice        // nil if the selector was skipped or failed
	Err      error          // error of resolving, or of Amend
	Lock     *selector.Lock // entry for the lock file; Amend sets it
}

// Amend writes the choices of selectors to the images list.
//
// text is the images list; nil if the file has none. Amend returns the entries of
// the new lock file. If a choice cannot be written, Amend sets the Err of its result
// and continues with the next one. Selectors without a choice keep their lock entry,
// and all entries that may be theirs.
func Amend(p *selector.File, results []Result, text *manifest.ImagesText) []selector.Lock {
	a := &amendment{file: p, text: text, produced: map[[2]string]v1.Hash{}}
	var locks []selector.Lock
	kept := map[*selector.Lock]bool{}
	keep := func(l *selector.Lock) {
		if l != nil && !kept[l] {
			kept[l] = true
			locks = append(locks, *l)
		}
	}
	undecided := map[string]bool{} // names of selectors without a choice, of which several entries may be theirs
	for i := range results {
		r := &results[i]
		previous := p.Find(r.Selector)
		r.Lock = previous
		if r.Choice != nil && r.Err == nil {
			if lock, err := a.apply(r, previous); err != nil {
				r.Err = err
			} else {
				r.Lock = lock
			}
		}
		keep(r.Lock)
		undecided[r.Selector.Name] = undecided[r.Selector.Name] || r.Lock == nil
	}
	for _, s := range p.Suspended {
		keep(p.Find(s))
	}
	for _, l := range p.Unowned() {
		if undecided[l.Name] {
			keep(l)
		}
	}
	return locks
}

// amendment holds the state of one call of Amend.
type amendment struct {
	file     *selector.File
	text     *manifest.ImagesText
	produced map[[2]string]v1.Hash // digests written so far, by image name and tag
}

// apply writes one choice and returns its lock entry. On an error, the images list is
// unchanged.
func (a *amendment) apply(r *Result, previous *selector.Lock) (*selector.Lock, error) {
	tags, err := Tags(r.Selector, r.Choice)
	if err != nil {
		return nil, err
	}
	name := r.Selector.ImageName()
	for _, tag := range tags {
		if d, ok := a.produced[[2]string{name, tag}]; ok && d != r.Choice.Digest {
			return nil, fmt.Errorf("tag %s of %s is also produced by another selector, for %s", tag, name, d)
		}
	}
	if a.text != nil {
		text := a.text.Clone()
		if err := a.write(text, r, previous, tags); err != nil {
			return nil, err
		}
		*a.text = *text
	}
	for _, tag := range tags {
		a.produced[[2]string{name, tag}] = r.Choice.Digest
	}
	return lock(r, previous, tags), nil
}

// write adds the digest and the tags of a choice to the images list.
//
// It removes the tags from other digests of the image if the destinations allow them
// to move.
func (a *amendment) write(text *manifest.ImagesText, r *Result, previous *selector.Lock, tags []string) error {
	name, d := r.Selector.ImageName(), r.Choice.Digest
	wants, err := text.Wants()
	if err != nil {
		return err
	}
	if _, err := text.Move(name, a.immutable, manifest.Addition{Digest: d, Tags: tags}); err != nil {
		return err
	}
	if r.Selector.Update == selector.UpdateReplace && previous != nil && previous.Digest != d {
		return a.removePrevious(text, r.Selector, previous, wants[name+"@"+previous.Digest.String()])
	}
	return nil
}

// removePrevious removes the digest and tags that a selector wrote the last time.
//
// Tags that people or other selectors have put on that digest stay, and so does the
// digest with them.
func (a *amendment) removePrevious(text *manifest.ImagesText, p *selector.Selector, previous *selector.Lock, wantedTags []string) error {
	keep := map[string]bool{}
	shared := false
	for _, other := range a.file.Entries {
		l := a.file.Find(other)
		if other == p || l == nil || other.ImageName() != p.ImageName() || l.Digest != previous.Digest {
			continue
		}
		shared = true
		for _, tag := range l.Tags {
			keep[tag] = true
		}
	}
	for _, tag := range wantedTags {
		if !slices.Contains(previous.Tags, tag) {
			keep[tag] = true
		}
	}
	if !shared && len(keep) == 0 {
		return text.RemoveDigest(p.ImageName(), previous.Digest)
	}
	for _, tag := range previous.Tags {
		if keep[tag] {
			continue
		}
		if err := text.RemoveTag(p.ImageName(), previous.Digest, tag); err != nil {
			return err
		}
	}
	return nil
}

// immutable returns a destination in which tag may not move, or "" if there is none.
func (a *amendment) immutable(tag string) string {
	for _, d := range a.file.Destinations {
		if !slices.ContainsFunc(d.MutableTags, func(glob string) bool { ok, _ := path.Match(glob, tag); return ok }) {
			return d.Name.String()
		}
	}
	return ""
}

// Tags returns the tags that a choice is promoted with.
//
// They are the templates of the selector, filled in, or else Choice.Default.
func Tags(p *selector.Selector, c *Choice) ([]string, error) {
	if len(p.Tags) == 0 {
		return c.Default, nil
	}
	var tags []string
	for _, text := range p.Tags {
		parsed, err := template.New("").Option("missingkey=error").Parse(text)
		if err != nil {
			return nil, fmt.Errorf("tags: bad template %q: %w", text, err)
		}
		var tag tagText
		if err := parsed.Execute(&tag, c.Fields); err != nil {
			return nil, fmt.Errorf("tags: %q: %w", text, err)
		}
		if err := image.CheckTag(tag.String()); err != nil {
			return nil, fmt.Errorf("tags: %q gives a %w", text, err)
		}
		if !slices.Contains(tags, tag.String()) {
			tags = append(tags, tag.String())
		}
	}
	return tags, nil
}

// maxTag bounds what a template may make, in bytes: a tag has 128.
const maxTag = 1000

// tagText is the text that a template makes.
type tagText struct{ strings.Builder }

// Write implements io.Writer. Labels may be long.
func (t *tagText) Write(p []byte) (int, error) {
	if t.Len()+len(p) > maxTag {
		return 0, fmt.Errorf("it gives more than %d bytes", maxTag)
	}
	return t.Builder.Write(p)
}

// lock returns the lock entry of a choice.
//
// It is the previous entry if that records the same choice. This keeps the lock file
// unchanged when only the evidence differs, for example the list of tags.
func lock(r *Result, previous *selector.Lock, tags []string) *selector.Lock {
	c := r.Choice
	l := &selector.Lock{
		Name: r.Selector.Name, Intent: r.Selector.Intent(), Digest: c.Digest, Tag: c.Tag, Tags: tags,
		Ref: r.Selector.Ref, Git: c.Git, Alias: c.Alias, Newest: c.Newest, Rebase: c.Rebase,
	}
	if l.Tags == nil {
		l.Tags = []string{}
	}
	if r.Selector.Select.Tag == "" {
		l.TagList = c.tagList()
	}
	if previous != nil && same(*previous, *l) {
		return previous
	}
	return l
}

// same reports whether two lock entries record the same choice.
func same(a, b selector.Lock) bool {
	if (a.Git == nil) != (b.Git == nil) || a.Git != nil && a.Git.Commit != b.Git.Commit {
		return false
	}
	if (a.Newest == nil) != (b.Newest == nil) || a.Newest != nil && a.Newest.Created != b.Newest.Created {
		return false
	}
	a.Pos, a.TagList, a.Git, a.Newest = b.Pos, b.TagList, b.Git, b.Newest
	return reflect.DeepEqual(a, b)
}

// tagList returns a digest of the tags of all candidates, or "" if there are none.
func (c *Choice) tagList() string {
	var tags []string
	for _, candidate := range c.Candidates {
		if candidate.Tag != "" {
			tags = append(tags, candidate.Tag+"\n")
		}
	}
	if len(tags) == 0 {
		return ""
	}
	slices.Sort(tags)
	sum := sha256.Sum256([]byte(strings.Join(tags, "")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Stale returns an error if the lock or the images list is out of date for a selector.
//
// wants are the tags of the images list, by "name@digest"; nil if there is no list.
// Stale reads files only, never a registry.
func Stale(p *selector.File, of *selector.Selector, wants map[string][]string, r Readers) error {
	l := p.Find(of)
	switch {
	case l == nil:
		return fmt.Errorf("%s is not resolved: there is no entry in the lock", of.Name)
	case l.Intent != of.Intent():
		return fmt.Errorf("%s has changed since it was resolved", of.Name)
	}
	if err := staleTags(of, l, r); err != nil {
		return err
	}
	if wants == nil {
		return nil
	}
	tags, ok := wants[of.ImageName()+"@"+l.Digest.String()]
	if !ok {
		return fmt.Errorf("%s was resolved to %s, which the list of images does not want", of.Name, l.Digest)
	}
	for _, tag := range l.Tags {
		if !slices.Contains(tags, tag) {
			return fmt.Errorf("%s was resolved to %s, which the list of images does not want as %s", of.Name, l.Digest, tag)
		}
	}
	return nil
}
