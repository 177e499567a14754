package output

import (
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/propose"
)

// Promoted is a digest with the tags that a proposal adds to it.
type Promoted struct {
	Image  string
	Digest string
	Tags   []string
}

const (
	shortDigest  = 12    // hexadecimal digits, as in a table
	titleTags    = 3     // tags in a title
	proposalSize = 4_000 // bytes of the list in the text of a proposal, which is followed by a page
)

// label returns the image and its first tags.
func (p Promoted) label() string {
	switch n := len(p.Tags); {
	case n == 0:
		return p.Image + " " + short(p.Digest)
	case n > titleTags:
		return p.Image + " " + strings.Join(p.Tags[:titleTags], ", ") + " and " + Plural(n-titleTags, "more tag")
	}
	return p.Image + " " + strings.Join(p.Tags, ", ")
}

// short returns the beginning of a digest.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(len(hex), shortDigest)]
}

// ProposalTitle returns the title of a proposal to promote images.
func ProposalTitle(all []Promoted) string {
	if len(all) == 0 {
		return "Update the manifests"
	}
	images := map[string]struct{}{}
	for _, p := range all {
		images[p.Image] = struct{}{}
	}
	title := "Promote " + all[0].label()
	if n := len(images) - 1; n > 0 {
		title += " and " + Plural(n, "more image")
	}
	return title
}

// ProposalBranch returns the name of a branch for a proposal.
func ProposalBranch(all []Promoted) string {
	if len(all) == 0 {
		return "cip/manifests"
	}
	tag := short(all[0].Digest)
	if len(all[0].Tags) > 0 {
		tag = all[0].Tags[0]
	}
	name := strings.ReplaceAll("cip/"+all[0].Image+"-"+tag, "..", "--")
	if whole, ok := strings.CutSuffix(name, ".lock"); ok { // a suffix that git keeps for itself
		name = whole + "-lock"
	}
	return strings.TrimSuffix(name, ".")
}

// ProposalList returns a list of what is promoted, in markdown.
func ProposalList(all []Promoted) string {
	var b strings.Builder
	for i, p := range all {
		line := "- " + code(p.Image, cellSize) + ": "
		var tags []string
		for _, tag := range p.Tags {
			tags = append(tags, code(tag, cellSize))
		}
		if len(tags) == 0 {
			line += "by digest, "
		} else {
			line += strings.Join(tags, ", ") + ", "
		}
		line += code(p.Digest, cellSize) + "\n"
		if b.Len()+len(line) > proposalSize {
			b.WriteString("- and " + Plural(len(all)-i, "more digest") + "\n")
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

// WriteProposal writes what a plan would do: the branch, the change, in colors if
// colored is set, and the text.
func WriteProposal(w io.Writer, p *propose.Plan, from string, colored bool) error {
	state := "new"
	switch {
	case p.URL != "":
		state = "open: " + p.URL
	case p.Commit != "":
		state = "has this change already"
	}
	if _, err := fmt.Fprintf(w, "branch: %s (%s)\nfrom: %s\ntitle: %s\n\n", Escape(p.Branch), Escape(state), Escape(from), Escape(p.Title)); err != nil {
		return err
	}
	for _, f := range p.Files {
		if err := WriteFileDiff(w, f.Path, f.Before, f.After, colored); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\n%s", escapeLines([]byte(p.Body)))
	return err
}
