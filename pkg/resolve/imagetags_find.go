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
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

const (
	maxSearchedTags      = 10_000 // tags of a repository that are read one by one
	maxConcurrentLookups = 32     // the registry client limits the request rate
	maxNamed             = 20     // candidates in one error message
)

// Finder finds the image that has given labels.
//
// It lists the tags of the repository at most once, and only if neither the label
// digest nor the label version, read as a tag, leads to the image. A Finder is safe for
// concurrent use.
type Finder struct {
	repo   name.Repository
	reg    Registry
	filter func(tags []string) ([]value, []Candidate)
	list   func() (listing, error)
}

// listing holds the digests of all tags of a repository.
type listing struct {
	digests []taggedDigest // in the order of the tags
	out     []Candidate    // tags that are not candidates
}

// taggedDigest is a digest and its known tags.
type taggedDigest struct {
	digest v1.Hash
	tags   []string // sorted
}

// verdict says whether a digest matches a query.
type verdict struct {
	taggedDigest
	images []part // images that have all labels: the digest itself, or children of its index
	why    string // reason for people
}

// NewFinder returns a Finder for the repository repo. ctx is used to list its tags.
func NewFinder(ctx context.Context, reg Registry, repo name.Repository) *Finder {
	j := &job{Selector: &selector.Selector{Repository: repo}, Readers: Readers{Registry: reg}}
	return j.finder(ctx)
}

// finder returns a Finder for the candidates of the selector.
func (j *job) finder(ctx context.Context) *Finder {
	f := &Finder{repo: j.Repository, reg: j.Registry, filter: j.filter}
	f.list = sync.OnceValues(func() (listing, error) { return f.listed(ctx) })
	return f
}

// Find returns the image that has all labels.
//
// It is an error if there is not exactly one match. The choice then has the
// candidates but no digest.
func (f *Finder) Find(ctx context.Context, labels map[string]string) (*Choice, error) {
	a, err := parseQuery(labels)
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
		if verdicts, err = f.look(ctx, &a, all.digests); err != nil {
			return nil, err
		}
		out = all.out
	}
	c, err := f.choose(&a, verdicts)
	c.Candidates = append(candidates(verdicts, err == nil), out...)
	return c, err
}

// direct returns the digest of the label digest, or else of the label version as a tag.
func (f *Finder) direct(ctx context.Context, a *query) ([]taggedDigest, error) {
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
	return []taggedDigest{{d, tags}}, nil
}

// listed lists the tags of the repository and reads the digests of all candidates.
func (f *Finder) listed(ctx context.Context) (listing, error) {
	tags, err := f.reg.Tags(ctx, f.repo)
	if err != nil {
		return listing{}, err
	}
	in, out := f.filter(tags)
	if len(in) > maxSearchedTags {
		return listing{}, fmt.Errorf("searching source %s: %d tags are more than the limit of %d: give the label digest or version", f.repo, len(in), maxSearchedTags)
	}
	all, _, err := digests(ctx, f.reg, f.repo, tagsOf(in))
	return listing{all, sorted(out)}, err
}

// digests reads the digests of tags, in the order of the sorted tags. removed lists the
// tags that do not exist any longer.
func digests(ctx context.Context, reg Registry, repo name.Repository, tags []string) (all []taggedDigest, removed []string, err error) {
	tags = distinct(tags)
	found := make([]v1.Hash, len(tags))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentLookups)
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
			removed = append(removed, tag)
			continue
		}
		if _, ok := at[d]; !ok {
			at[d] = len(all)
			all = append(all, taggedDigest{digest: d})
		}
		all[at[d]].tags = append(all[at[d]].tags, tag)
	}
	return all, removed, nil
}

// look compares digests with the query, concurrently.
func (f *Finder) look(ctx context.Context, a *query, all []taggedDigest) ([]verdict, error) {
	verdicts := make([]verdict, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentLookups)
	for i, h := range all {
		g.Go(func() (err error) {
			m := &matcher{Finder: f, query: a, at: h}
			verdicts[i], err = m.evaluate(ctx)
			return err
		})
	}
	return verdicts, g.Wait()
}

// choose returns the only image that has all labels, or an error.
func (f *Finder) choose(a *query, verdicts []verdict) (*Choice, error) {
	var names []string
	c := &Choice{}
	found := map[v1.Hash]struct{}{}
	for _, v := range verdicts {
		for _, p := range v.images {
			name := v.name()
			if p.platformName != "" {
				name = p.platformName + " in " + name
			}
			if _, again := found[p.digest]; again {
				continue
			}
			found[p.digest] = struct{}{}
			names = append(names, image.DigestString(p.digest)+" ("+name+")")
			c.Digest = p.digest
			c.setTag(v, p, a.version)
		}
	}
	switch len(names) {
	case 0:
		return c, fmt.Errorf("no image of source %s has %s: %s", f.repo, a, f.describe(a, verdicts))
	case 1:
		return c, nil
	}
	return &Choice{}, fmt.Errorf("%d images of source %s have %s: %s", len(names), f.repo, a, few(names, maxNamed, "; "))
}

// setTag sets the tags of a choice: the tag that image p was found by.
//
// An image of an index has no tag itself, but it is promoted with the tag of the index.
func (c *Choice) setTag(v verdict, p part, version string) {
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
	if p.platformName != "" {
		c.Notes = append(c.Notes, fmt.Sprintf("%s is the image for %s in %s", p.digest, p.platformName, v.name()))
	}
}

// describe returns the reason why no image was found.
func (f *Finder) describe(a *query, verdicts []verdict) string {
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
	return few(all, maxNamed, "; ")
}

// name returns the tags, or else the digest, for messages.
func (v verdict) name() string {
	switch len(v.tags) {
	case 0:
		return v.digest.String()
	case 1:
		return "tag " + v.tags[0]
	}
	return "tags " + few(v.tags, maxNamed, ", ")
}

// few joins the first elements, and adds the number of the others.
func few(all []string, most int, separator string) string {
	if n := len(all) - most; n > 0 {
		all = append(slices.Clone(all[:most]), fmt.Sprintf("and %d more", n))
	}
	return strings.Join(all, separator)
}

// candidates returns the verdicts as candidates, one for each tag.
//
// Those that have all labels come first. They are chosen if there is only one image.
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
	return append(sorted(yes), sorted(no)...)
}
