package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// A policy puts the values of tags in order: the best is taken.
type policy interface {
	// parse reads a value. It returns why a tag is no candidate, or an error if that fails the choice.
	parse(value string) (rank any, reason string, err error)
	// admits returns why a rank is not among those that may be taken; "" if it is.
	admits(rank any) string
	// compare orders ranks; the greater is the better.
	compare(a, b any) int
	// describe says what is taken: "the greatest number".
	describe() string
}

// ranked is a tag that may be taken.
type ranked struct {
	tag, value string
	rank       any
}

// ordered takes the best tag by a policy. Tags whose values are equal are told
// apart by their names, so that there is one best tag.
func (j *job) ordered(ctx context.Context, p policy) (*Choice, error) {
	tags, err := j.Registry.Tags(ctx, j.Repository)
	if err != nil {
		return nil, err
	}
	var in []ranked
	var failure error
	values, out := j.filter(tags)
	slices.SortFunc(values, func(a, b value) int { return strings.Compare(a.tag, b.tag) })
	for _, v := range values {
		rank, reason, err := p.parse(v.value)
		if err == nil && reason == "" {
			reason = p.admits(rank)
		}
		switch {
		case err != nil:
			failure = cmp.Or(failure, fmt.Errorf("tag %q: %w", v.tag, err))
			out = append(out, Candidate{Tag: v.tag, Reason: err.Error()})
		case reason != "":
			out = append(out, Candidate{Tag: v.tag, Reason: reason})
		default:
			in = append(in, ranked{v.tag, v.value, rank})
		}
	}
	if failure != nil {
		for _, r := range in {
			out = append(out, Candidate{Tag: r.tag, Reason: "would do, if all tags could be compared"})
		}
		return &Choice{Candidates: sorted(out)}, failure
	}
	if len(in) == 0 {
		return &Choice{Candidates: sorted(out)}, none(j.Repository.String(), tags, out)
	}
	slices.SortFunc(in, func(a, b ranked) int {
		return cmp.Or(p.compare(b.rank, a.rank), strings.Compare(b.tag, a.tag))
	})
	best := in[0]
	c := &Choice{Tag: best.tag, Default: []string{best.tag}, Fields: manifest.TagFields{Value: best.value}}
	c.Candidates = append(c.Candidates, Candidate{Tag: best.tag, Reason: p.describe()})
	for _, r := range in[1:] {
		reason := "ranks below " + best.tag
		if p.compare(r.rank, best.rank) == 0 {
			reason = "is equal to " + best.tag + ", whose name is greater"
		}
		c.Candidates = append(c.Candidates, Candidate{Tag: r.tag, Reason: reason})
	}
	c.Candidates = append(c.Candidates, sorted(out)...)
	if err := j.guard(p, best); err != nil {
		return c, err
	}
	if c.Digest, err = j.pin(ctx, best.tag); err != nil {
		return c, err
	}
	c.Candidates[0].Digest, c.Candidates[0].Chosen = c.Digest, true
	return c, nil
}

// guard refuses a tag that comes after the lock's, which may mean that a listing is not whole.
func (j *job) guard(p policy, best ranked) error {
	if j.previous == nil || j.previous.Tag == "" || j.previous.Tag == best.tag || j.AllowRollback {
		return nil
	}
	values, _ := j.filter([]string{j.previous.Tag})
	if len(values) == 0 {
		return nil
	}
	locked, reason, err := p.parse(values[0].value)
	if err != nil || reason != "" || p.compare(locked, best.rank) <= 0 {
		return nil //nolint:nilerr // a tag that is no candidate any more cannot be compared
	}
	return fmt.Errorf("refusing to go back from tag %s, which the lock holds, to %s (--allow-rollback)", j.previous.Tag, best.tag)
}

// value is a tag and what of it is compared.
type value struct{ tag, value string }

// artifact reports whether a tag is of a signature, attestation, SBOM or list of
// referrers, whatever it is named after: these are no images to promote.
func artifact(tag string) bool {
	_, _, attached := image.Attached(tag)
	return attached || slices.ContainsFunc(image.CosignSuffixes(), func(s string) bool { return strings.HasSuffix(tag, s) })
}

// filter returns the tags that are candidates, with what is compared of them, and those that are not.
func (j *job) filter(tags []string) (in []value, out []Candidate) {
	exclude := make([]*regexp.Regexp, len(j.Exclude))
	for i, text := range j.Exclude {
		exclude[i] = regexp.MustCompile(text) // the file's reader has checked it
	}
	var pattern *regexp.Regexp
	if j.Filter != nil {
		pattern = regexp.MustCompile(j.Filter.Pattern)
	}
	for _, tag := range tags {
		i := slices.IndexFunc(exclude, func(re *regexp.Regexp) bool { return re.MatchString(tag) })
		var groups []int
		if pattern != nil {
			groups = pattern.FindStringSubmatchIndex(tag)
		}
		switch {
		case artifact(tag):
			out = append(out, Candidate{Tag: tag, Reason: "belongs to another image: a signature, attestation, SBOM or referrer"})
		case i >= 0:
			out = append(out, Candidate{Tag: tag, Reason: "excluded by " + j.Exclude[i]})
		case pattern != nil && groups == nil:
			out = append(out, Candidate{Tag: tag, Reason: "does not match " + j.Filter.Pattern})
		case pattern != nil && j.Filter.Extract != "":
			in = append(in, value{tag, string(pattern.ExpandString(nil, j.Filter.Extract, tag, groups))})
		default:
			in = append(in, value{tag, tag})
		}
	}
	return in, out
}

// none says that no tag of a repository will do, and why.
func none(repo string, tags []string, out []Candidate) error {
	if len(tags) == 0 {
		return fmt.Errorf("source %s has no tags", repo)
	}
	out = sorted(out)
	const most = 3
	var why []string
	for _, c := range out[:min(most, len(out))] {
		why = append(why, c.Tag+" "+c.Reason)
	}
	if len(out) > most {
		why = append(why, fmt.Sprintf("and %d more", len(out)-most))
	}
	return fmt.Errorf("none of the %d tags of source %s will do: %s", len(tags), repo, strings.Join(why, "; "))
}

// sorted puts candidates that were not taken in order.
func sorted(out []Candidate) []Candidate {
	slices.SortFunc(out, func(a, b Candidate) int { return strings.Compare(a.Tag, b.Tag) })
	return out
}

// alphabetical orders values by their bytes.
type alphabetical struct{ descending bool }

func (*alphabetical) parse(v string) (any, string, error) { return v, "", nil }

func (*alphabetical) admits(any) string { return "" }

func (a *alphabetical) compare(x, y any) int {
	return turn(strings.Compare(x.(string), y.(string)), a.descending)
}

func (a *alphabetical) describe() string {
	if a.descending {
		return "first in the alphabet"
	}
	return "last in the alphabet"
}

// numerical orders values as decimal numbers of any length.
type numerical struct{ descending bool }

var decimal = regexp.MustCompile(`^[+-]?[0-9]+(?:\.[0-9]+)?$`)

func (*numerical) parse(v string) (any, string, error) {
	if !decimal.MatchString(v) {
		return nil, "", fmt.Errorf("%q is not a decimal number: let filterTags keep tags with numbers alone", v)
	}
	n, ok := new(big.Rat).SetString(v)
	if !ok {
		return nil, "", errors.New("not a number")
	}
	return n, "", nil
}

func (*numerical) admits(any) string { return "" }

func (n *numerical) compare(x, y any) int {
	return turn(x.(*big.Rat).Cmp(y.(*big.Rat)), n.descending)
}

func (n *numerical) describe() string {
	if n.descending {
		return "the least number"
	}
	return "the greatest number"
}

func turn(order int, descending bool) int {
	if descending {
		return -order
	}
	return order
}
