package propose

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// maxOption is the size of a push option in bytes. One line of git's protocol has up to
// 65,516 bytes.
const maxOption = 60_000

// mergeRequestRE matches the URL of a merge request in what GitLab prints about a push.
var mergeRequestRE = regexp.MustCompile(`https?://\S+/-/merge_requests/[0-9]+`)

// gitLab opens merge requests with push options, which need no token for its API.
type gitLab struct {
	push git.Address
	base Site
	fork bool
}

func newGitLab(p Place) Forge {
	return &gitLab{push: p.Push, base: SiteOf(p.Base.Fetch), fork: p.Push.Pushed() != p.Base.Pushed()}
}

// Opens implements Forge.
func (*gitLab) Opens() bool { return true }

// Requests implements Forge. Push options cannot ask for merge requests.
func (*gitLab) Requests(context.Context, Head) ([]Request, error) { return nil, nil }

// PushOptions implements Forge.
func (g *gitLab) PushOptions(p Proposal, h Head) []string {
	options := []string{
		"merge_request.create", "merge_request.target=" + h.Into,
		"merge_request.title=" + oneOption(p.Title), "merge_request.description=" + oneOption(p.Body),
	}
	if g.fork {
		options = append(options, "merge_request.target_project="+g.base.Path)
	}
	if p.Draft {
		options = append(options, "merge_request.draft")
	}
	return options
}

// oneOption returns text as a push option, in which \n is a new line. Of a long text it
// is the beginning, up to the end of a line.
func oneOption(text string) string {
	const cut = `\n\n(shortened)`
	text = strings.ReplaceAll(strings.TrimRight(strings.ReplaceAll(text, "\r", ""), "\n"), "\n", `\n`)
	if len(text) <= maxOption {
		return text
	}
	return text[:max(strings.LastIndex(text[:maxOption-len(cut)], `\n`), 0)] + cut
}

// Open implements Forge: the push has opened the merge request.
func (g *gitLab) Open(_ context.Context, _ Proposal, h Head) (Opened, error) {
	if at := strings.Index(h.Said, "Error encountered with push option"); at >= 0 {
		line, _, _ := strings.Cut(h.Said[at:], "\n")
		return Opened{}, errors.New(line)
	}
	if at := mergeRequestRE.FindString(h.Said); at != "" {
		return Opened{URL: at}, nil
	}
	note := "branch %s of %s has the change: see its merge requests there"
	if !h.Pushed {
		note = "branch %s of %s had the change already: see its merge requests there"
	}
	note = fmt.Sprintf(note, h.Branch, g.push.Pushed())
	if g.base.Host != "" {
		note += ", or at " + (&url.URL{
			Scheme: "https", Host: g.base.Host, Path: "/" + g.base.Path + "/-/merge_requests", RawQuery: url.Values{"source_branch": {h.Branch}}.Encode(),
		}).String()
	}
	return Opened{Note: note}, nil
}
