package resolve

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// policy orders tags by value. The best is selected.
type policy interface {
	// parse converts a value to a rank. It returns a reason if the tag is not a
	// candidate, and an error if no choice is possible with this tag.
	parse(value string) (rank any, reason string, err error)
	// admits returns the reason why a rank cannot be selected, or "" if it can.
	admits(rank any) string
	// compare compares two ranks. The greater one is better.
	compare(a, b any) int
	// describe returns the reason for the best tag, such as "the greatest number".
	describe() string
	// note returns a hint about rejected tags, or "". best is nil if no tag can be
	// selected.
	note(rejected []ranked, best *ranked) string
}

// unlimited is the part of policies that admit every rank.
type unlimited struct{}

func (unlimited) admits(any) string { return "" }

func (unlimited) note([]ranked, *ranked) string { return "" }

// ranked is a candidate with its rank.
type ranked struct {
	tag, value string
	rank       any
}

// ordered selects the best tag of a policy.
//
// Among tags of equal rank the greater name is better, so that the choice does not
// depend on the order in which the registry lists tags.
func (j *job) ordered(ctx context.Context, p policy) (*Choice, error) {
	tags, err := j.Registry.Tags(ctx, j.Repository)
	if err != nil {
		return nil, err
	}
	values, out := j.filter(tags)
	slices.SortFunc(values, func(a, b value) int { return strings.Compare(a.tag, b.tag) })
	in, rejected, reasons, failure := rank(p, values)
	out = sorted(append(out, reasons...))
	if failure != nil {
		return &Choice{Candidates: out}, failure
	}
	if len(in) == 0 {
		return &Choice{Candidates: out, Notes: orderNotes(p, nil, rejected)}, errNoCandidate(j.Repository.String(), tags, out)
	}
	slices.SortFunc(in, func(a, b ranked) int {
		return cmp.Or(p.compare(b.rank, a.rank), strings.Compare(b.tag, a.tag))
	})
	best := in[0]
	c := &Choice{Tag: best.tag, Default: []string{best.tag}, Fields: selector.TagFields{Value: best.value}, Notes: orderNotes(p, in, rejected)}
	c.Candidates = append(c.Candidates, Candidate{Tag: best.tag, Reason: p.describe()})
	for _, r := range in[1:] {
		reason := "ranks below " + best.tag
		if p.compare(r.rank, best.rank) == 0 {
			reason = "is equal to " + best.tag + ", whose name is greater"
		}
		c.Candidates = append(c.Candidates, Candidate{Tag: r.tag, Reason: reason})
	}
	c.Candidates = append(c.Candidates, out...)
	if err := j.checkRollback(p, best); err != nil {
		return c, err
	}
	if c.Digest, err = j.pin(ctx, best.tag); err != nil {
		return c, err
	}
	c.Candidates[0].Digest, c.Candidates[0].Chosen = c.Digest, true
	return c, nil
}

// rank ranks the values of tags. It returns those that can be selected, those that the
// policy rejects by their rank, and all rejected tags with reasons. With an error, no
// tag can be selected.
func rank(p policy, values []value) (in, rejected []ranked, out []Candidate, failure error) {
	for _, v := range values {
		rank, reason, err := p.parse(v.value)
		switch {
		case err != nil:
			failure = cmp.Or(failure, fmt.Errorf("tag %q: %w", v.tag, err))
			reason = err.Error()
		case reason == "":
			if reason = p.admits(rank); reason != "" {
				rejected = append(rejected, ranked{v.tag, v.value, rank})
			}
		}
		if reason != "" {
			out = append(out, Candidate{Tag: v.tag, Reason: reason})
			continue
		}
		in = append(in, ranked{v.tag, v.value, rank})
	}
	if failure != nil {
		for _, r := range in {
			out = append(out, Candidate{Tag: r.tag, Reason: "not compared, because another tag has no valid value"})
		}
	}
	return in, rejected, out, failure
}

// orderNotes returns hints about a choice: other tags with the rank of the best, and
// what the policy says about rejected ones. in is sorted, the best first.
func orderNotes(p policy, in, rejected []ranked) (notes []string) {
	var best *ranked
	if len(in) > 0 {
		best = &in[0]
		var equal []string
		for _, r := range in[1:] {
			if p.compare(r.rank, best.rank) == 0 {
				equal = append(equal, r.tag)
			}
		}
		if len(equal) > 0 {
			notes = append(notes, fmt.Sprintf("%s and %s have the same value: %s is selected, because its name is greater", best.tag, first(equal), best.tag))
		}
	}
	if note := p.note(rejected, best); note != "" {
		notes = append(notes, note)
	}
	return notes
}

// maxListed is the number of tags or commits that a message lists.
const maxListed = 5

// first lists the first tags or commits in a message.
func first(list []string) string { return image.FirstNames(list, maxListed) }

// checkRollback refuses a tag that ranks below the tag in the lock.
//
// Such a result can mean that the registry returned an incomplete list of tags.
func (j *job) checkRollback(p policy, best ranked) error {
	if j.previous == nil || j.previous.Tag == "" || j.previous.Tag == best.tag || j.AllowRollback {
		return nil
	}
	values, _ := j.filter([]string{j.previous.Tag})
	if len(values) == 0 {
		return nil
	}
	locked, reason, err := p.parse(values[0].value)
	if err != nil || reason != "" || p.compare(locked, best.rank) <= 0 {
		return nil //nolint:nilerr // a tag that is not a candidate any longer cannot be compared
	}
	return fmt.Errorf("refusing to roll back from tag %s in the lock to %s (--allow-rollback)", j.previous.Tag, best.tag)
}

// value is a tag and the part of it that is compared.
type value struct{ tag, value string }

func tagsOf(values []value) []string {
	tags := make([]string, len(values))
	for i, v := range values {
		tags[i] = v.tag
	}
	return tags
}

// filter applies filterTags and exclude of the selector.
//
// It returns the candidates with their values, and the rejected tags with reasons.
func (j *job) filter(tags []string) (in []value, out []Candidate) {
	exclude := make([]*regexp.Regexp, len(j.Exclude))
	for i, text := range j.Exclude {
		exclude[i] = regexp.MustCompile(text) // package selector has validated it
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
		case image.IsAttached(tag):
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

// errNoCandidate returns the error that no tag of a repository can be selected. It has
// the reasons of the first few tags.
func errNoCandidate(repo string, tags []string, out []Candidate) error {
	if len(tags) == 0 {
		return fmt.Errorf("source %s has no tags", repo)
	}
	const maxReasons = 3
	why := make([]string, len(out))
	for i, c := range out {
		why[i] = c.Tag + " " + c.Reason
	}
	return fmt.Errorf("none of the %d tags of source %s can be selected: %s", len(tags), repo, few(why, maxReasons, "; "))
}

// sorted sorts rejected candidates by tag.
func sorted(out []Candidate) []Candidate {
	slices.SortFunc(out, func(a, b Candidate) int { return strings.Compare(a.Tag, b.Tag) })
	return out
}

// alphabetical implements the policy alphabetical. It compares values as bytes.
type alphabetical struct {
	unlimited
	descending bool
}

func (*alphabetical) parse(v string) (any, string, error) { return v, "", nil }

func (a *alphabetical) compare(x, y any) int {
	return reverseIf(strings.Compare(x.(string), y.(string)), a.descending)
}

func (a *alphabetical) describe() string {
	if a.descending {
		return "first alphabetically"
	}
	return "last alphabetically"
}

// numerical implements the policy numerical. It compares decimal numbers of any length.
type numerical struct {
	unlimited
	descending bool
}

var decimal = regexp.MustCompile(`^[+-]?[0-9]+(?:\.[0-9]+)?$`)

func (*numerical) parse(v string) (any, string, error) {
	if !decimal.MatchString(v) {
		return nil, "", fmt.Errorf("%q is not a decimal number: use filterTags to select tags with numbers", v)
	}
	n, _ := new(big.Rat).SetString(v)
	return n, "", nil
}

func (n *numerical) compare(x, y any) int {
	return reverseIf(x.(*big.Rat).Cmp(y.(*big.Rat)), n.descending)
}

func (n *numerical) describe() string {
	if n.descending {
		return "the least number"
	}
	return "the greatest number"
}

func reverseIf(order int, descending bool) int {
	if descending {
		return -order
	}
	return order
}
