package output

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// checkVersion is the version of the JSON format of a check. It grows with incompatible changes.
const checkVersion = 1

// CheckReport is the result of a check.
type CheckReport struct {
	Manifests plan.Origin
	Base      string // commit that the manifests were compared with; empty: none
	Rules     []check.Rule
	Idle      []check.Idle
	Findings  []check.Finding // in order
	Plan      *plan.Report    // what would be promoted; nil: the registries were not read

	// URI returns the path of a file in the repository, for code scanning.
	URI func(file string) string
}

// SARIF is the format of code scanning, only for checks.
const SARIF Format = "sarif"

// CheckFormat parses the format of a check, in any case. The default is Text.
func CheckFormat(s string) (Format, error) {
	return choose(s, "check", Text, JSON, Markdown, SARIF)
}

// WriteCheck writes the result of a check. Only Text has colors.
func WriteCheck(w io.Writer, r *CheckReport, f Format, color bool) error {
	switch f {
	case Text:
		return writeCheckLines(w, r, color)
	case JSON:
		return WriteJSON(w, r.document())
	case Markdown:
		return writeCheckComment(w, r)
	case SARIF:
		return WriteJSON(w, r.sarif())
	}
	return fmt.Errorf("a check has no output format %q", f)
}

// place returns the position of a finding, "file:line" or "file".
func place(f check.Finding) string {
	if f.Pos.Line == 0 {
		return f.Pos.File
	}
	return f.Pos.File + ":" + strconv.Itoa(int(f.Pos.Line))
}

// says returns the message of a finding. Levels other than Error are named.
func says(f check.Finding) string {
	switch f.Level {
	case check.Note:
		if f.Old {
			return "note: was there before: " + f.Message
		}
		return "note: " + f.Message
	case check.Failed:
		return "not checked: " + f.Message
	}
	return f.Message
}

// count returns the number of findings of each level.
func (r *CheckReport) count() (errors, failed, notes int) {
	for _, f := range r.Findings {
		switch f.Level {
		case check.Error:
			errors++
		case check.Failed:
			failed++
		default:
			notes++
		}
	}
	return errors, failed, notes
}

// problems returns the numbers that matter to a reviewer.
func (r *CheckReport) problems() list {
	errors, failed, _ := r.count()
	var l list
	l.add(errors, "finding", "findings")
	l.add(failed, "not checked", "not checked")
	if len(l) == 0 {
		return list{"no findings"}
	}
	return l
}

// sentence returns the result of the check in one line.
func (r *CheckReport) sentence() string {
	_, _, notes := r.count()
	l := r.problems()
	l.add(notes, "note", "notes")
	l.add(len(r.Rules), "rule run", "rules run")
	l.add(len(r.Idle), "rule skipped", "rules skipped")
	return l.String()
}

func writeCheckLines(w io.Writer, r *CheckReport, color bool) error {
	b := newBuffer(w)
	t := palette(color)
	paint := map[check.Level]string{check.Note: yellow, check.Error: red, check.Failed: red}
	bad, notes := r.condensed()
	for _, f := range slices.Concat(bad, notes) {
		b.put(Escape(place(f.Finding)), ": ", t.paint(paint[f.Level], f.Rule), ": ", Escape(says(f.Finding)), "\n")
		if f.more > 0 {
			b.put("  ", f.like(), "\n")
		}
	}
	for _, i := range r.skipped() {
		b.put("skipped ", i.Name, ": ", Escape(i.Why), "\n")
	}
	b.put(r.sentence(), "\n")
	return b.Flush()
}

// skipped returns the rules that were not run, those with the same reason as one.
func (r *CheckReport) skipped() []check.Idle {
	var all []check.Idle
	for _, i := range r.Idle {
		if n := slices.IndexFunc(all, func(other check.Idle) bool { return other.Why == i.Why }); n >= 0 {
			all[n].Name += ", " + i.Name
			continue
		}
		all = append(all, i)
	}
	return all
}

// checkDocument is the JSON format of a check.
type checkDocument struct {
	Version   int            `json:"version"`
	Manifests plan.Origin    `json:"manifests"`
	Base      string         `json:"base,omitempty"`
	Summary   checkSummary   `json:"summary"`
	Rules     []checkRule    `json:"rules"`
	Findings  []checkFinding `json:"findings"`
	Plan      *plan.Report   `json:"plan,omitempty"`
}

type checkSummary struct {
	Findings   int `json:"findings"`
	NotChecked int `json:"notChecked"`
	Notes      int `json:"notes"`
}

type checkRule struct {
	Name string `json:"name"`
	Run  bool   `json:"run"`
	Why  string `json:"why,omitempty"`
}

type checkFinding struct {
	Rule         string   `json:"rule"`
	Level        string   `json:"level"`
	File         string   `json:"file"`
	Line         int32    `json:"line"`
	Column       int32    `json:"column"`
	Message      string   `json:"message"`
	InBase       bool     `json:"inBase,omitempty"`
	Digest       string   `json:"digest"`
	Tags         []string `json:"tags"`
	Destinations []string `json:"destinations"`

	Places []checkPlace `json:"places,omitempty"`
}

// checkPlace is one of the entries of a finding.
type checkPlace struct {
	File      string `json:"file"`
	Line      int32  `json:"line"`
	Column    int32  `json:"column"`
	Digest    string `json:"digest,omitempty"`
	SourceTag string `json:"sourceTag,omitempty"`
	Tag       string `json:"tag,omitempty"`
}

func (r *CheckReport) document() checkDocument {
	d := checkDocument{Version: checkVersion, Manifests: r.Manifests, Base: r.Base, Rules: []checkRule{}, Findings: make([]checkFinding, len(r.Findings))}
	d.Summary.Findings, d.Summary.NotChecked, d.Summary.Notes = r.count()
	for _, rule := range r.Rules {
		d.Rules = append(d.Rules, checkRule{Name: rule.Describe().Name, Run: true})
	}
	for _, i := range r.Idle {
		d.Rules = append(d.Rules, checkRule{Name: i.Name, Why: i.Why})
	}
	for i, f := range r.Findings {
		c := checkFinding{
			Rule: f.Rule, Level: f.Level.String(), File: f.Pos.File, Line: f.Pos.Line, Column: f.Pos.Column, Message: f.Message, InBase: f.Old,
			Digest: image.DigestString(f.Image.Digest), Tags: append([]string{}, f.Image.Tags...), Destinations: []string{},
		}
		for _, repo := range f.Image.Destinations {
			c.Destinations = append(c.Destinations, repo.String())
		}
		for _, p := range f.Places {
			c.Places = append(c.Places, checkPlace{p.Pos.File, p.Pos.Line, p.Pos.Column, image.DigestString(p.Digest), p.SourceTag, p.Tag})
		}
		d.Findings[i] = c
	}
	if r.Plan != nil {
		d.Plan = complete(r.Plan)
	}
	return d
}

// RuleList returns one line of help for each rule, wrapped at 80 columns.
func RuleList(rules []check.Rule) string {
	const names = 16 // columns
	var b strings.Builder
	t := text{buffer: newBuffer(&b), width: 80}
	for _, r := range rules {
		d := r.Describe()
		t.put(fmt.Sprintf("  %-*s", names-2, d.Name))
		t.wrap(names, names, strings.Fields(d.About))
		t.put("\n")
	}
	_ = t.Flush() // a Builder does not fail
	return b.String()
}
