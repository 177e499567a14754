package audit

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// maxListed bounds the number of findings in the text of an alert.
const maxListed = 10

// rejectionAlert returns the alert about a rejected change.
//
// page is the URL of the page, or empty.
func rejectionAlert(r *record, page string) alert {
	by := "reported by " + r.Source + ", received at " + r.Received.Format(time.RFC3339)
	if r.Actor != "" {
		by = "by user " + r.Actor + ", " + by
	}
	a := alert{Verdict: r}
	if page != "" {
		q := r.Repository
		switch {
		case r.Tag != "":
			q += ":" + r.Tag
		case r.Digest != (v1.Hash{}):
			q = image.DigestString(r.Digest)
		}
		a.Page = page + "?" + url.Values{"verdict": {string(rejected)}, "span": {"all"}, "q": {q}}.Encode()
	}
	a.Text = chatText(r.Text, by, a.Page)
	return a
}

// driftAlert returns the alert about findings of a sweep that the last one did not have.
//
// page is the URL of the page, or empty.
func driftAlert(d drift, fresh []finding, page string) alert {
	d.Findings = fresh
	a := alert{Drift: &d}
	var lines []string
	for _, f := range fresh {
		line := f.String()
		switch f.Kind {
		case movedTag:
			line += ", wanted " + f.Wanted.String()
		case unread:
			line += ": " + f.Reason
		}
		lines = append(lines, line)
	}
	lines = listed(lines, maxListed)
	if page != "" {
		a.Page = page + "#drift"
		lines = append(lines, a.Page)
	}
	differences := "differences"
	if d.Count == 1 {
		differences = "difference"
	}
	head := fmt.Sprintf("DRIFT in %s: %d %s from the manifests, %d new:", d.Destination, d.Count, differences, len(fresh))
	a.Text = chatText(append([]string{head}, lines...)...)
	return a
}

// listed returns up to limit texts, and how many more there are.
func listed(texts []string, limit int) []string {
	more := len(texts) - limit
	if more <= 0 {
		return texts
	}
	return append(slices.Clone(texts[:limit]), fmt.Sprintf("and %d more", more))
}

// chatText returns lines for a chat system. Empty ones are left out.
//
// Each is escaped, so that text of senders cannot add a line.
func chatText(lines ...string) string {
	var out []string
	for _, line := range lines {
		if line != "" {
			out = append(out, output.Escape(line))
		}
	}
	return strings.Join(out, "\n")
}
