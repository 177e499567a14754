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
)

// Result is what became of one producer.
type Result struct {
	Producer *manifest.Producer
	Choice   *Choice // nil: not asked for, or failed
	Err      error   // why there is none, or why it was not taken over
	Lock     *manifest.Lock
}

// Amend takes the choices of a file's producers over into the text of its images
// list (nil if it has none) and returns the lock that goes with it. A choice that
// cannot be taken over sets its result's Err, and stops only itself. The lock
// keeps the entries of producers without a choice.
func Amend(p *manifest.Producers, results []Result, text *manifest.ImagesText) []manifest.Lock {
	a := &amendment{file: p, text: text, produced: map[[2]string]v1.Hash{}}
	var locks []manifest.Lock
	for i := range results {
		r := &results[i]
		previous := p.Find(r.Producer)
		r.Lock = previous
		if r.Choice != nil && r.Err == nil {
			lock, err := a.take(r, previous)
			if err != nil {
				r.Err = err
			} else {
				r.Lock = lock
			}
		}
		if r.Lock != nil {
			locks = append(locks, *r.Lock)
		}
	}
	return locks
}

// amendment is one images list being amended.
type amendment struct {
	file     *manifest.Producers
	text     *manifest.ImagesText
	produced map[[2]string]v1.Hash // by image name and tag
}

// take takes one choice over: all of it, or nothing.
func (a *amendment) take(r *Result, previous *manifest.Lock) (*manifest.Lock, error) {
	tags, err := Tags(r.Producer, r.Choice)
	if err != nil {
		return nil, err
	}
	name := r.Producer.ImageName()
	for _, tag := range tags {
		if d, ok := a.produced[[2]string{name, tag}]; ok && d != r.Choice.Digest {
			return nil, fmt.Errorf("tag %s of %s is produced by another source, too: %s", tag, name, d)
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

// write makes the images list want what a choice says.
func (a *amendment) write(text *manifest.ImagesText, r *Result, previous *manifest.Lock, tags []string) error {
	name, d := r.Producer.ImageName(), r.Choice.Digest
	wants, err := text.Wants()
	if err != nil {
		return err
	}
	for key, carried := range wants {
		other, ok := strings.CutPrefix(key, name+"@")
		if !ok || other == d.String() {
			continue
		}
		for _, tag := range tags {
			if !slices.Contains(carried, tag) {
				continue
			}
			if at := a.immutable(tag); at != "" {
				return fmt.Errorf("tag %s of %s is wanted at %s, and may not move to %s: it is not in mutable-tags of %s", tag, name, other, d, at)
			}
			if err := text.RemoveTag(name, image.Hash(other), tag); err != nil {
				return err
			}
		}
	}
	if r.Producer.Update == manifest.UpdateReplace && previous != nil && previous.Digest != d {
		if err := a.drop(text, r.Producer, previous, wants[name+"@"+previous.Digest.String()]); err != nil {
			return err
		}
	}
	return text.Add(name, d, tags)
}

// drop takes back what a producer wrote before, but not what others want there too.
func (a *amendment) drop(text *manifest.ImagesText, p *manifest.Producer, previous *manifest.Lock, carried []string) error {
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
	for _, tag := range carried {
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

// immutable returns a destination in which tag may not move; "" if it may in all.
func (a *amendment) immutable(tag string) string {
	for _, m := range a.file.Manifests {
		for _, d := range m.Destinations {
			if !slices.ContainsFunc(d.MutableTags, func(glob string) bool { ok, _ := path.Match(glob, tag); return ok }) {
				return d.Name.String()
			}
		}
	}
	return ""
}

// Tags returns the tags to promote a choice under.
func Tags(p *manifest.Producer, c *Choice) ([]string, error) {
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

// lock returns the evidence of a choice: the previous entry if it says the same, so
// that a file does not change because the world beside the choice has.
func lock(r *Result, previous *manifest.Lock, tags []string) *manifest.Lock {
	c := r.Choice
	l := &manifest.Lock{
		Name: r.Producer.Name, Intent: r.Producer.Intent(), Digest: c.Digest, Tag: c.Tag, Tags: tags,
		Ref: r.Producer.Ref, Git: c.Git, Alias: c.Alias, Rebase: c.Rebase,
	}
	if l.Tags == nil {
		l.Tags = []string{}
	}
	if r.Producer.Select.Tag == "" {
		l.TagList = c.tagList()
	}
	if previous != nil && same(*previous, *l) {
		return previous
	}
	return l
}

// same reports whether two entries tell of the same choice.
func same(a, b manifest.Lock) bool {
	if (a.Git == nil) != (b.Git == nil) || a.Git != nil && a.Git.Commit != b.Git.Commit {
		return false
	}
	a.Pos, a.TagList, a.Git = b.Pos, b.TagList, b.Git
	return reflect.DeepEqual(a, b)
}

// tagList identifies the tags that were looked at; "" if there were none.
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

// Stale returns why the lock entry and the images list do not say what a producer
// asks for, without asking anybody; nil if they do.
func Stale(p *manifest.Producers, of *manifest.Producer, wants map[string][]string, r Readers) error {
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
		return fmt.Errorf("%s was found to be %s, which the list of images does not want", of.Name, l.Digest)
	}
	for _, tag := range l.Tags {
		if !slices.Contains(tags, tag) {
			return fmt.Errorf("%s was found to be %s, which the list of images does not want as %s", of.Name, l.Digest, tag)
		}
	}
	return nil
}
