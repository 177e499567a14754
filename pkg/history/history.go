// Package history finds the commits that put tags into manifests and moved them.
//
// It reads git alone: it never asks a registry, and never reads the work tree. It is
// a package of its own because package git knows no manifests, and package load knows
// no histories.
//
// The history is that of first parents: a merge is one change, at the time when it
// reached the branch. Only files that differ between two commits are parsed, each
// version once, and only those whose text can have an answer. Where a commit changed
// only entries of lists, as most do, these are read without the rest of the file.
package history

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// The actions of events.
const (
	Added   = "added"
	Moved   = "moved" // the tag had another digest before
	Removed = "removed"
)

// Event is a change of one tag, or of a digest without tags.
//
// Its place is that in the commit, or the last one if it was removed.
type Event struct {
	Action      string    `json:"action"`
	Digest      string    `json:"digest,omitempty"`
	Previous    string    `json:"previousDigest,omitempty"`
	Repository  string    `json:"repository"`
	Tag         string    `json:"tag,omitempty"`
	Team        string    `json:"team,omitempty"` // the directory below manifests
	File        string    `json:"file"`           // below the root of the git repository
	Line        int       `json:"line"`
	Commit      string    `json:"commit"`
	Date        time.Time `json:"date"`
	Author      string    `json:"author"`
	PullRequest int       `json:"pullRequest,omitempty"`
}

// Query selects tags. Empty fields select all.
type Query struct{ Digest, Repository, Tag string }

// Parse parses a digest, or a reference with a tag, a digest, both or neither.
func Parse(text string) (Query, error) {
	if d, err := image.ParseDigest(text); err == nil {
		return Query{Digest: image.DigestString(d)}, nil
	}
	var q Query
	rest, digest, hasDigest := strings.Cut(text, "@")
	if hasDigest {
		d, err := image.ParseDigest(digest)
		if err != nil {
			return q, err
		}
		q.Digest = image.DigestString(d)
	}
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		rest, q.Tag = rest[:i], rest[i+1:]
		if err := image.CheckTag(q.Tag); err != nil {
			return q, err
		}
	}
	repo, err := image.ParseRepository(rest)
	switch {
	case rest == "sha256": // a short digest
		_, err = image.ParseDigest(text)
		return q, err
	case err != nil:
		return q, err
	}
	q.Repository = repo.String()
	return q, nil
}

// matches reports whether the query selects a tag.
func (q Query) matches(w wanted) bool {
	return (q.Digest == "" || q.Digest == w.digest) && (q.Tag == "" || q.Tag == w.tag) && (q.Repository == "" || q.Repository == w.repository)
}

// possible reports whether a file with this text can have an answer. YAML may escape
// characters with a backslash.
func (q Query) possible(text []byte) bool {
	if bytes.IndexByte(text, '\\') >= 0 {
		return true
	}
	base := q.Repository[strings.LastIndexByte(q.Repository, '/')+1:]
	for _, part := range []string{q.Digest, q.Tag, base} {
		if !bytes.Contains(text, []byte(part)) {
			return false
		}
	}
	return true
}

// Of returns the events of the tags that a query selects, the oldest first.
func Of(ctx context.Context, at load.Manifests, q Query) ([]Event, error) {
	w := &walker{query: q}
	if err := w.run(ctx, at); err != nil {
		return nil, err
	}
	if len(w.events) == 0 && w.cut != nil {
		return nil, fmt.Errorf("reading the history of %s: %w", w.path, w.cut)
	}
	return w.events, w.complete(w.events...)
}

// OlderThan returns the event that each tag is there by, if it was before a time.
//
// They are sorted by team and date. A tag is listed in the first destination only.
func OlderThan(ctx context.Context, at load.Manifests, start time.Time) ([]Event, error) {
	w := &walker{first: true}
	if err := w.run(ctx, at); err != nil {
		return nil, err
	}
	events := []Event{}
	for _, e := range w.live {
		if err := w.complete(e); err != nil {
			return nil, err // it may have been there before start, whatever its date is
		}
		if e.Date.Before(start) {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(strings.Compare(a.Team, b.Team), a.Date.Compare(b.Date), compare(a, b))
	})
	return events, nil
}

// compare orders events of one commit.
func compare(a, b Event) int {
	return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Repository, b.Repository),
		strings.Compare(a.Tag, b.Tag), strings.Compare(a.Digest, b.Digest), strings.Compare(a.Action, b.Action))
}

// complete returns an error if an event is at the end of a shallow clone: what the first
// commit has may be much older. So may what a team has that is broken there, once it is
// repaired.
func (w *walker) complete(events ...Event) error {
	first := func(e Event) bool { return e.Commit == w.cut.At || e.Commit == w.repaired[cmp.Or(e.Team, ".")] }
	if w.cut != nil && slices.ContainsFunc(events, first) {
		return fmt.Errorf("reading the history of %s: %w", w.path, w.cut)
	}
	return nil
}

// commits returns the first-parent history of HEAD, the oldest first.
func (w *walker) commits(ctx context.Context) ([]git.LogEntry, error) {
	head, err := w.repo.Resolve("HEAD")
	if err != nil {
		return nil, err
	}
	var all []git.LogEntry
	for c, err := range w.repo.Walk(ctx, head, false) {
		if errors.As(err, &w.cut) {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	slices.Reverse(all)
	return all, nil
}

// pullRE matches the number of a pull request in the first line of a message.
var pullRE = regexp.MustCompile(`^Merge pull request #(\d{1,9})\b|\(#(\d{1,9})\)`)

// pullRequest returns the number of the pull request of a commit, or 0. The last one
// in the line counts: a revert names the reverted one first.
func pullRequest(subject string) int {
	all := pullRE.FindAllStringSubmatch(subject, -1)
	if len(all) == 0 {
		return 0
	}
	m := all[len(all)-1]
	if all[0][1] != "" {
		m = all[0]
	}
	n, err := strconv.Atoi(m[1] + m[2])
	if err != nil {
		return 0
	}
	return n
}

// wanted is a tag of a digest at a destination.
type wanted struct{ repository, digest, tag string }

// images calls f for each tag in a set and its place. With first, only the first
// destination of each manifest counts.
func images(set *manifest.Set, first bool, f func(wanted, manifest.Pos)) {
	for _, m := range set.Manifests {
		for i := range m.Images {
			for _, repo := range repositories(m, &m.Images[i], first) {
				for _, d := range m.Images[i].Digests {
					digest := image.DigestString(d.Digest)
					for _, t := range d.Tags {
						f(wanted{repo, digest, t.Name}, t.Pos)
					}
					if len(d.Tags) == 0 {
						f(wanted{repo, digest, ""}, d.Pos)
					}
				}
				for _, t := range m.Images[i].Retags {
					digest := ""
					if t.Digest.Hex != "" {
						digest = image.DigestString(t.Digest)
					}
					f(wanted{repo, digest, t.Tag}, t.Pos)
				}
			}
		}
	}
}

// repositories returns the names of an image at the destinations.
func repositories(m *manifest.Manifest, img *manifest.Image, first bool) (names []string) {
	if m.Native {
		return []string{img.Repository.String()}
	}
	for _, d := range m.Destinations {
		if repo, err := d.Name.Repository(img.Name); err == nil && !(first && len(names) > 0) {
			names = append(names, repo.String())
		}
	}
	return names
}
