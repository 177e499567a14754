// Package check holds the rules that guard a pull request and a run: what is wrong
// with manifests, and with the images that they are about to promote.
//
//	Set, Base, Plan ─ NewInput ─▶ Input ─ Run ─▶ Findings ─ Refuse ─▶ Plan
//
// A Rule is one small file. What a rule reads of the world (manifests at the base,
// manifests of images, signatures, a scanner's reports) comes through an interface
// that its own file names, so that nothing here knows a registry, git or a command.
// A rule that cannot read what it judges by says so in a finding: nothing unread is
// taken for good.
package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Rule judges manifests and what they are about to promote.
type Rule interface {
	// Name returns the rule's name, one word.
	Name() string
	// About returns what a finding of the rule says, in one sentence.
	About() string
	// Reach returns how far the rule looks.
	Reach() Reach
	// Check returns what the rule finds, in any order.
	Check(ctx context.Context, in *Input) []Finding
}

// Reach says how far a rule looks, the nearest first.
type Reach int

// The reaches.
const (
	Files      Reach = iota + 1 // no further than the files: a plan is nothing to it
	Images                      // what is about to be promoted; offline, all that is wanted
	Registries                  // what registries say: nothing can be judged offline
)

// Level says what a finding means.
type Level int

// The levels.
const (
	Note   Level = iota + 1 // to be known, stops nothing
	Error                   // the rule is broken
	Failed                  // the rule could not be applied
)

var levels = [...]string{"", "note", "error", "failed"}

// String returns the level's name in reports.
func (l Level) String() string { return levels[l] }

// Finding is one thing that a rule found.
type Finding struct {
	Rule    string
	Level   Level
	Pos     manifest.Pos
	Message string
	Image   Image // what it is about; the zero value: a place in a file
}

// Idle is a rule that was not run.
type Idle struct {
	Name string
	Why  string
}

// Run applies rules and returns their findings by file, line, rule and message,
// none of them twice. What of the plan could not be read no rule can judge: the
// first that looks at it says so.
func Run(ctx context.Context, rules []Rule, in *Input) []Finding {
	var all []Finding
	first := slices.IndexFunc(rules, func(r Rule) bool { return r.Reach() > Files })
	for i, r := range rules {
		found := r.Check(ctx, in)
		if i == first {
			found = append(in.unread(), found...)
		}
		for _, f := range found {
			f.Rule = r.Name()
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(
			strings.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column),
			strings.Compare(a.Rule, b.Rule),
			strings.Compare(a.Message, b.Message),
		)
	})
	return slices.CompactFunc(all, func(a, b Finding) bool {
		return a.Rule == b.Rule && a.Pos == b.Pos && a.Message == b.Message
	})
}

// Bad reports whether any finding is more than a note.
func Bad(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Level > Note })
}

// All returns all rules in the order in which they run. They only describe themselves:
// most need more than their zero value to check anything.
func All() []Rule {
	return []Rule{Valid{}, Removal{}, Exists{}, Size{}, &Signature{}, Vulnerability{}}
}

// Candidate is a rule that may be run. Without Rule, Why says why it cannot be.
type Candidate struct {
	Name string
	Rule Rule
	Why  string
}

// Choose returns the candidates to run, which are those of only, or all if it is
// empty, but for those of skip; and those not to run, each with why. A rule that
// only names and that cannot be run is an error.
func Choose(all []Candidate, only, skip []string) (rules []Rule, idle []Idle, err error) {
	for _, list := range [][]string{only, skip} {
		for _, name := range list {
			if !slices.ContainsFunc(all, func(c Candidate) bool { return c.Name == name }) {
				return nil, nil, fmt.Errorf("there is no rule %q: want %s", name, names(all))
			}
		}
	}
	for _, c := range all {
		chosen := slices.Contains(only, c.Name)
		switch {
		case chosen && slices.Contains(skip, c.Name):
			return nil, nil, fmt.Errorf("rule %s is both chosen and skipped", c.Name)
		case chosen && c.Rule == nil:
			return nil, nil, fmt.Errorf("rule %s cannot be run: %s", c.Name, c.Why)
		case slices.Contains(skip, c.Name):
			idle = append(idle, Idle{c.Name, "skipped"})
		case len(only) > 0 && !chosen:
			idle = append(idle, Idle{c.Name, "not chosen"})
		case c.Rule == nil:
			idle = append(idle, Idle{c.Name, c.Why})
		default:
			rules = append(rules, c.Rule)
		}
	}
	return rules, idle, nil
}

func names(all []Candidate) string {
	list := make([]string, len(all))
	for i, c := range all {
		list[i] = c.Name
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// atOnce is how many images are judged at once: each is a few requests, or a scanner's run.
const atOnce = 16

// each judges images side by side and returns what is found.
func each(ctx context.Context, images []Image, most int, judge func(context.Context, Image) []Finding) []Finding {
	found := make([][]Finding, len(images))
	var g errgroup.Group
	g.SetLimit(most)
	for i, im := range images {
		g.Go(func() error {
			found[i] = judge(ctx, im)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	return slices.Concat(found...)
}
