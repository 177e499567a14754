package resolve

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

const (
	maxLookedAt = 10_000 // tags of a repository that are searched one by one
	lookAtOnce  = 32     // the registry's pace bounds the requests
	maxNamed    = 20     // candidates in one error message
)

// Finder finds the one image of a repository that has given labels. It lists the
// repository's tags at most once, and only if neither a digest nor a tag of the
// version's name leads to the image. It is safe for concurrent use.
type Finder struct {
	repo   name.Repository
	reg    Registry
	filter func(tags []string) ([]value, []Candidate)
	list   func() (listing, error)
}

// listing is what the tags of a repository lead to.
type listing struct {
	held []held      // in the order of the tags
	out  []Candidate // tags that are no candidates
}

// held is a digest in the registry and the tags that are known to lead to it.
type held struct {
	digest v1.Hash
	tags   []string // sorted
}

// verdict is what came of looking at a digest.
type verdict struct {
	held
	images []part // those that have all labels: itself, or images of an index
	why    string
}

// NewFinder returns a Finder of images in repo. The context is for listing it.
func NewFinder(ctx context.Context, reg Registry, repo name.Repository) *Finder {
	j := &job{Producer: &manifest.Producer{Repository: repo}, Readers: Readers{Registry: reg}}
	return j.finder(ctx)
}

// finder returns a Finder among the candidates of a producer.
func (j *job) finder(ctx context.Context) *Finder {
	f := &Finder{repo: j.Repository, reg: j.Registry, filter: j.filter}
	f.list = sync.OnceValues(func() (listing, error) { return f.listed(ctx) })
	return f
}

// Find returns the image that has all labels. That none has them, or more than one, is
// an error; the choice then holds what was looked at, and no digest.
func (f *Finder) Find(ctx context.Context, labels map[string]string) (*Choice, error) {
	a, err := ask(labels)
	if err != nil {
		return nil, err
	}
	first, err := f.direct(ctx, &a)
	if err != nil {
		return nil, err
	}
	verdicts, err := f.look(ctx, &a, first)
	if err != nil {
		return nil, err
	}
	var out []Candidate
	if a.digest == (v1.Hash{}) && !slices.ContainsFunc(verdicts, func(v verdict) bool { return len(v.images) > 0 }) {
		all, err := f.list()
		if err != nil {
			return nil, err
		}
		if verdicts, err = f.look(ctx, &a, all.held); err != nil {
			return nil, err
		}
		out = all.out
	}
	c, err := f.choose(&a, verdicts)
	c.Candidates = append(candidates(verdicts, err == nil), out...)
	return c, err
}

// direct returns what a digest, or else the version as a tag, leads to.
func (f *Finder) direct(ctx context.Context, a *asked) ([]held, error) {
	ref, tags := image.DigestString(a.digest), []string(nil)
	switch {
	case ref != "":
	case a.versioned && image.CheckTag(a.version) == nil:
		ref, tags = a.version, []string{a.version}
	}
	if in, _ := f.filter(tags); ref == "" || len(in) < len(tags) {
		return nil, nil
	}
	d, ok, err := f.reg.Digest(ctx, f.repo, ref)
	if err != nil || !ok {
		return nil, err
	}
	return []held{{d, tags}}, nil
}

// listed returns every digest that the tag of a candidate leads to.
func (f *Finder) listed(ctx context.Context) (listing, error) {
	tags, err := f.reg.Tags(ctx, f.repo)
	if err != nil {
		return listing{}, err
	}
	in, out := f.filter(tags)
	if len(in) > maxLookedAt {
		return listing{}, fmt.Errorf("searching source %s: %d tags are more than the %d that are looked at: ask for a digest or a version", f.repo, len(in), maxLookedAt)
	}
	names := make([]string, len(in))
	for i, v := range in {
		names[i] = v.tag
	}
	all, _, err := digests(ctx, f.reg, f.repo, names)
	return listing{all, sorted(out)}, err
}

// digests returns what tags lead to, in their order, and the tags that lead nowhere any more.
func digests(ctx context.Context, reg Registry, repo name.Repository, tags []string) (all []held, gone []string, err error) {
	slices.Sort(tags)
	tags = slices.Compact(tags)
	found := make([]v1.Hash, len(tags))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookAtOnce)
	for i, tag := range tags {
		g.Go(func() (err error) {
			found[i], _, err = reg.Digest(ctx, repo, tag)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	at := map[v1.Hash]int{}
	for i, tag := range tags {
		d := found[i]
		if d == (v1.Hash{}) {
			gone = append(gone, tag)
			continue
		}
		if _, ok := at[d]; !ok {
			at[d] = len(all)
			all = append(all, held{digest: d})
		}
		all[at[d]].tags = append(all[at[d]].tags, tag)
	}
	return all, gone, nil
}

// look judges digests side by side.
func (f *Finder) look(ctx context.Context, a *asked, all []held) ([]verdict, error) {
	verdicts := make([]verdict, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookAtOnce)
	for i, h := range all {
		g.Go(func() error {
			m := &matcher{Finder: f, asked: a, held: h}
			v, err := m.judge(ctx)
			verdicts[i] = v
			return err
		})
	}
	return verdicts, g.Wait()
}

// choose returns the one image that verdicts leave.
func (f *Finder) choose(a *asked, verdicts []verdict) (*Choice, error) {
	var names []string
	c := &Choice{}
	found := map[v1.Hash]struct{}{}
	for _, v := range verdicts {
		for _, p := range v.images {
			name := v.name()
			if p.role != "" {
				name = p.role + " in " + name
			}
			if _, again := found[p.digest]; again {
				continue
			}
			found[p.digest] = struct{}{}
			names = append(names, image.DigestString(p.digest)+" ("+name+")")
			c.Digest = p.digest
			c.take(v, p, a.version)
		}
	}
	switch len(names) {
	case 0:
		return c, fmt.Errorf("no image of source %s has %s: %s", f.repo, a, f.describe(a, verdicts))
	case 1:
		return c, nil
	}
	return &Choice{}, fmt.Errorf("%d images of source %s have %s: %s", len(names), f.repo, a, few(names, "; "))
}

// take notes by which tag an image was found. An image of an index is behind no tag
// itself, but it is promoted under the tag that led to it.
func (c *Choice) take(v verdict, p part, version string) {
	if len(v.tags) > 0 {
		tag := v.tags[0]
		if slices.Contains(v.tags, version) {
			tag = version
		}
		c.Default = []string{tag}
		if v.digest == p.digest {
			c.Tag = tag
		}
	}
	if p.role != "" {
		c.Notes = append(c.Notes, fmt.Sprintf("%s is the image for %s in %s", p.digest, p.role, v.name()))
	}
}

// describe says why nothing was found.
func (f *Finder) describe(a *asked, verdicts []verdict) string {
	switch {
	case len(verdicts) == 0 && a.digest != (v1.Hash{}):
		return "the registry does not hold that digest"
	case len(verdicts) == 0:
		return "none of its tags is a candidate"
	}
	var all []string
	for _, v := range verdicts {
		all = append(all, v.name()+" "+v.why)
	}
	return few(all, "; ")
}

// name names what was looked at.
func (v verdict) name() string {
	switch len(v.tags) {
	case 0:
		return v.digest.String()
	case 1:
		return "tag " + v.tags[0]
	}
	return "tags " + few(v.tags, ", ")
}

// few joins the first of many.
func few(all []string, separator string) string {
	if n := len(all) - maxNamed; n > 0 {
		all = append(slices.Clone(all[:maxNamed]), fmt.Sprintf("and %d more", n))
	}
	return strings.Join(all, separator)
}

// candidates returns each tag that was looked at, those first that have all labels:
// they are chosen, if that is one image.
func candidates(verdicts []verdict, one bool) []Candidate {
	var yes, no []Candidate
	for _, v := range verdicts {
		tags := v.tags
		if len(tags) == 0 {
			tags = []string{""}
		}
		for _, tag := range tags {
			if len(v.images) > 0 {
				yes = append(yes, Candidate{Tag: tag, Digest: v.digest, Chosen: one, Reason: v.why})
			} else {
				no = append(no, Candidate{Tag: tag, Digest: v.digest, Reason: v.why})
			}
		}
	}
	byTag := func(a, b Candidate) int { return strings.Compare(a.Tag, b.Tag) }
	slices.SortFunc(yes, byTag)
	slices.SortFunc(no, byTag)
	return append(yes, no...)
}
