// Package check has the rules about manifests and about the images that they are about
// to promote. cip check applies them to pull requests, cip run before it writes.
//
//	Set, Base, Plan ─ NewInput ─▶ Input ─ Run ─▶ Findings ─ Refuse ─▶ Plan
//
// A Rule is one small file. It reads image manifests, signatures and scanner reports
// through an interface that its file declares, so that this package needs no registry,
// git or command. What could not be read never passes a check: it is a finding.
package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Rule judges manifests and what they are about to promote.
type Rule interface {
	// Describe returns what is known of the rule before it runs.
	Describe() Description
	// Check returns the findings of the rule, in any order.
	Check(ctx context.Context, in *Input) []Finding
}

// Description describes a rule.
type Description struct {
	Name  string // one word
	About string // the meaning of a finding, for the help
	Reach Reach  // the input that the rule needs
}

// Reach is the input that a rule needs. A greater reach includes the smaller ones.
type Reach int

// The reaches.
const (
	Files      Reach = iota + 1 // only the files
	Images                      // the images about to be promoted; offline, all wanted images
	Registries                  // the contents of registries; the rule cannot run offline
)

// Level is the severity of a finding.
type Level int

// The levels.
const (
	Note   Level = iota + 1 // information, which does not fail the check
	Error                   // a violation of the rule
	Failed                  // the rule could not be applied
)

var levels = [...]string{"", "note", "error", "failed"}

// String returns the level's name in reports.
func (l Level) String() string { return levels[l] }

// Finding is a result of a rule.
type Finding struct {
	Rule    string
	Level   Level
	Pos     manifest.Pos
	Message string
	ID      string  // identifies the finding in its file without lines; empty: Message does
	Old     bool    // a note, because the base has it too
	Image   Image   // zero if the finding is about a file
	Places  []Place // that the finding is about; none: only Pos

	Warning   bool // a note that a run reports as a warning
	New       bool // the base does not have it, even if it wanted the same
	Retryable bool // something could not be read, and another run may cure that
}

// Place is a manifest's entry that a finding is about.
type Place struct {
	Pos       manifest.Pos
	Digest    v1.Hash // zero: not known
	SourceTag string  // of a retag entry
	Tag       string
}

// Idle is a rule that was not run, with reason.
type Idle struct {
	Name string
	Why  string
}

// Run applies rules. The findings are sorted by file, line, rule and message, without
// duplicates. What the base has too is a note. Parts of the plan that could not be read
// are findings of the first rule that needs a plan, because no rule can check them.
func Run(ctx context.Context, rules []Rule, in *Input) []Finding {
	var all []Finding
	first := slices.IndexFunc(rules, func(r Rule) bool { return r.Describe().Reach > Files })
	for i, r := range rules {
		d, found := r.Describe(), r.Check(ctx, in)
		if i == first {
			found = append(in.unread(), found...)
		}
		for _, f := range found {
			f.Rule = d.Name
			if d.Reach > Files && f.Level == Error && !f.New && in.had(&f) {
				f.Level, f.Old = Note, true
			}
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(a.Pos.Compare(b.Pos), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message))
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
	return []Rule{Valid{}, Removal{}, Exists{}, Tags{}, Size{}, Signature{}, Vulnerability{}, Platforms{}, Provenance{}}
}

// Candidate is a rule that can be chosen. If Rule is nil, Why is the reason why it cannot be run.
type Candidate struct {
	Name string
	Rule Rule
	Why  string
}

// Choose returns the rules to run and the rules that are not run. It chooses the names in
// only, or all if it is empty, except the names in skip. It is an error if a rule in only
// cannot be run.
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
			idle = append(idle, Idle{c.Name, "named by --skip"})
		case len(only) > 0 && !chosen:
			idle = append(idle, Idle{c.Name, "not named by --only"})
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
	return image.JoinNames(list, "or")
}

// atOnce is the number of images that a rule checks at the same time.
const atOnce = 16

// each calls judge for images, some at the same time, and returns all results in order.
func each[T any](ctx context.Context, images []Image, judge func(context.Context, Image) []T) []T {
	found := make([][]T, len(images))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, im := range images {
		g.Go(func() error {
			found[i] = judge(ctx, im)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	return slices.Concat(found...)
}
