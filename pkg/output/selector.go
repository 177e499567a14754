package output

import (
	"fmt"
	"io"
	"text/tabwriter"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// ResolvedSelector is the result of one selector.
type ResolvedSelector struct {
	File    string   `json:"file"`
	Line    int32    `json:"line"`
	Name    string   `json:"name"`
	Tag     string   `json:"tag,omitempty"`
	Digest  v1.Hash  `json:"digest,omitzero"`
	Tags    []string `json:"tags"`
	Was     v1.Hash  `json:"was,omitzero"` // in the lock
	Changed bool     `json:"changed"`
	Notes   []string `json:"notes,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Explanation lists the candidates of one selector.
type Explanation struct {
	Source     string              `json:"source"` // file:line:column
	Name       string              `json:"name"`
	Policy     string              `json:"policy,omitempty"` // namespace/name of the ImagePolicy
	Repository string              `json:"repository"`
	Tag        string              `json:"tag,omitempty"`
	Digest     v1.Hash             `json:"digest,omitzero"`
	Locked     v1.Hash             `json:"locked,omitzero"` // in the lock
	Notes      []string            `json:"notes"`
	Commits    []Commit            `json:"commits,omitempty"` // newer commits without an image, newest first
	Candidates []resolve.Candidate `json:"candidates"`
	Error      string              `json:"error,omitempty"`
}

// Commit is a commit without an image.
type Commit struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
}

// DescribeResult returns the description of a result. file has the selector and its lock.
func DescribeResult(file *selector.File, result *resolve.Result) ResolvedSelector {
	p := result.Selector
	d := ResolvedSelector{File: p.Pos.File, Line: p.Pos.Line, Name: p.Name, Tags: []string{}}
	if result.Choice != nil {
		d.Notes = result.Choice.Notes
	}
	previous := file.Find(p)
	if previous != nil {
		d.Was = previous.Digest
	}
	if result.Err != nil {
		d.Error = result.Err.Error()
		return d
	}
	d.Tag, d.Digest, d.Tags = result.Lock.Tag, result.Lock.Digest, result.Lock.Tags
	d.Changed = previous != result.Lock
	return d
}

// Explain returns the explanation of a result. file has the selector and its lock.
func Explain(file *selector.File, result *resolve.Result) Explanation {
	p := result.Selector
	e := Explanation{
		Source: p.Pos.String(), Name: p.Name, Policy: p.Policy, Repository: p.Repository.String(),
		Notes: []string{}, Candidates: []resolve.Candidate{},
	}
	if l := file.Find(p); l != nil {
		e.Locked = l.Digest
	}
	if c := result.Choice; c != nil {
		for _, commit := range c.Passed {
			reason := "has no image"
			if !commit.Counted {
				reason = "has no image, and changes no files of it"
			}
			e.Commits = append(e.Commits, Commit{commit.ID, commit.Subject, reason})
		}
		e.Tag, e.Digest, e.Notes, e.Candidates = c.Tag, c.Digest, append(e.Notes, c.Notes...), append(e.Candidates, c.Candidates...)
	}
	if result.Err != nil {
		e.Error = result.Err.Error()
	}
	return e
}

// WriteExplanations writes explanations as Text or JSON.
func WriteExplanations(w io.Writer, all []Explanation, f Format) error {
	if f == JSON {
		return WriteJSON(w, all)
	}
	for i := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := all[i].write(w); err != nil {
			return err
		}
	}
	return nil
}

// maxCommits is the number of commits without an image that the text lists.
const maxCommits = 20

func (e *Explanation) write(w io.Writer) error {
	policy := ""
	if e.Policy != "" {
		policy = " (ImagePolicy " + e.Policy + ")"
	}
	fmt.Fprintf(w, "%s: %s%s\n", Escape(e.Source), Escape(e.Repository), Escape(policy))
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-7s %s\n", label, Escape(text))
		}
	}
	line("chosen", e.Tag)
	line("digest", image.DigestString(e.Digest))
	line("locked", image.DigestString(e.Locked))
	for _, note := range e.Notes {
		line("note", note)
	}
	line("error", e.Error)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range e.Commits[:min(maxCommits, len(e.Commits))] {
		fmt.Fprintf(table, "  %s\t%s: %s\n", c.ID[:min(12, len(c.ID))], c.Reason, Escape(c.Subject))
	}
	if n := len(e.Commits) - maxCommits; n > 0 {
		fmt.Fprintf(table, "  and %d more\thave no image\n", n)
	}
	for _, c := range e.Candidates {
		mark, name := " ", c.Tag
		if c.Chosen {
			mark = "*"
		}
		if name == "" {
			name = c.Digest.String()
		}
		fmt.Fprintf(table, "%s %s\t%s\n", mark, Escape(name), Escape(c.Reason))
	}
	return table.Flush()
}
