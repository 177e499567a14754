package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Directories of teams in a thin manifest directory.
const (
	manifestsDir = "manifests"
	imagesDir    = "images"
)

// linkMode is the mode of a link in git.
const linkMode = "120000 "

// maxKept is the number of tags of versions that are kept, about 200 MB.
const maxKept = 1_000_000

// places are tags with their places.
type places map[wanted]manifest.Pos

// version is what was read of a version of a team's files.
type version struct {
	tags   places
	broken bool
}

// listing is a directory of a commit.
type listing struct {
	tree    string            // its mode and hash
	entries map[string]string // their modes and hashes by name
}

// walker follows tags from commit to commit.
type walker struct {
	query Query
	first bool // only the first destination of each manifest

	repo   *git.Repository
	path   string // of the manifests, as the user wrote it
	dir    string // the same in the git repository: a directory or a file
	isFile bool

	versions map[string]version // by the hashes of the files
	kept     int                // number of tags in versions
	teams    map[string]places
	sources  map[string]source         // of teams; none if the last version was broken
	past     map[string][]git.LogEntry // the commits that changed the files of a team, the oldest first
	counts   map[wanted]int            // number of teams that have a tag
	live     map[wanted]Event          // with first: the events by which tags are there
	events   []Event                   // without first
	cut      *git.ShallowError         // the history is not complete
	broken   map[string]bool           // teams that are broken since it is cut
	repaired map[string]string         // the commits that repaired them
}

// run reads the history of the manifests.
func (w *walker) run(ctx context.Context, at load.Manifests) (err error) {
	w.path, w.isFile = at.Path(), at.File != ""
	if w.repo, err = git.Open(w.path); err != nil {
		return err
	}
	if w.dir, err = w.repo.Named(w.path); err != nil {
		return err
	}
	w.versions, w.teams, w.past = map[string]version{}, map[string]places{}, map[string][]git.LogEntry{}
	w.sources, w.broken, w.repaired = map[string]source{}, map[string]bool{}, map[string]string{}
	w.counts, w.live = map[wanted]int{}, map[wanted]Event{}
	commits, err := w.commits(ctx)
	if err != nil {
		return err
	}
	var before [2]listing
	var root string
	for i, c := range commits {
		if err := ctx.Err(); err != nil {
			return err
		}
		found, err := w.repo.Subtrees(c.Tree, []string{w.dir})
		if err != nil {
			return err
		}
		if i > 0 && found[0] == root {
			continue
		}
		now, err := w.list(c.Tree, before)
		if err == nil {
			err = w.step(c, differing(before, now))
		}
		if err != nil {
			return fmt.Errorf("reading %s in commit %s: %w", w.path, c.ID, err)
		}
		before, root = now, found[0]
	}
	return nil
}

// list returns the directories of all teams in a tree, given those of the commit before:
// most commits change only those below one of manifestsDir and imagesDir.
func (w *walker) list(tree string, before [2]listing) (now [2]listing, err error) {
	if w.isFile {
		return now, nil
	}
	dirs := []string{path.Join(w.dir, manifestsDir), path.Join(w.dir, imagesDir)}
	found, err := w.repo.Subtrees(tree, dirs)
	if err != nil {
		return now, err
	}
	for i, dir := range dirs {
		if now[i] = before[i]; now[i].tree == found[i] {
			continue
		}
		now[i].tree = found[i]
		if now[i].entries, err = w.repo.Entries(tree, dir); err != nil {
			return now, err
		}
	}
	return now, nil
}

// differing returns the teams with different entries, sorted.
func differing(before, now [2]listing) []string {
	names := map[string]bool{}
	for i := range now {
		for name, entry := range now[i].entries {
			if before[i].entries[name] != entry || strings.HasPrefix(entry, linkMode) { // a link may lead to what has changed
				names[name] = true
			}
		}
		for name := range before[i].entries {
			if _, ok := now[i].entries[name]; !ok {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// step compares the tags of a commit with those of the one before.
func (w *walker) step(c git.LogEntry, teams []string) error {
	if w.isFile {
		teams = []string{"."}
	}
	delta, added, removed := map[wanted]int{}, map[wanted]Event{}, map[wanted]Event{}
	for _, team := range teams {
		tags, ok, err := w.edited(c, team)
		if err != nil {
			return err
		}
		if !ok {
			if tags, ok, err = w.parsed(c, team); err != nil {
				return err
			}
		}
		if !ok {
			continue // not promoted: what was wanted before stays as it was
		}
		old := w.teams[team]
		for tag, pos := range tags {
			if _, had := old[tag]; !had {
				delta[tag]++
				added[tag] = event(Added, c, team, tag, pos)
			}
		}
		for tag, pos := range old {
			if _, has := tags[tag]; !has {
				delta[tag]--
				removed[tag] = event(Removed, c, team, tag, pos)
			}
		}
		w.teams[team] = tags
	}
	events, err := w.join(c, teams, w.count(delta, added, removed))
	if err != nil {
		return err
	}
	for _, team := range teams {
		w.past[team] = append(w.past[team], c)
	}
	if len(events) == 0 {
		return nil
	}
	return w.keep(c, events)
}

// parsed returns the tags of a team in a commit. It reports false if a file is broken.
func (w *walker) parsed(c git.LogEntry, team string) (places, bool, error) {
	atCut := w.cut != nil && c.ID == w.cut.At
	v, err := w.version(c, team, w.query, atCut || len(w.teams[team]) > 0)
	if err != nil {
		return nil, false, err
	}
	if v.broken {
		w.broken[team] = w.broken[team] || atCut
		delete(w.sources, team)
	} else if w.broken[team] {
		w.broken[team], w.repaired[team] = false, c.ID
	}
	return v.tags, !v.broken, nil
}

// count changes the numbers of teams that have tags, and returns the events of tags
// that the first team got or the last one lost, in the order of their places.
func (w *walker) count(delta map[wanted]int, added, removed map[wanted]Event) []Event {
	var events []Event
	for tag, n := range delta {
		before := w.counts[tag]
		w.counts[tag] += n
		switch {
		case before == 0 && n > 0:
			events = append(events, added[tag])
		case before > 0 && before+n == 0:
			events = append(events, removed[tag])
			delete(w.live, tag)
			delete(w.counts, tag)
		}
	}
	slices.SortFunc(events, compare)
	return events
}

// keep keeps the events of a commit.
func (w *walker) keep(c git.LogEntry, events []Event) error {
	author, err := w.repo.Author(c.ID)
	if err != nil {
		return err
	}
	for _, e := range events {
		e.Author = author
		if e.Action != Removed && w.first {
			w.live[wanted{e.Repository, e.Digest, e.Tag}] = e
		} else if !w.first {
			w.events = append(w.events, e)
		}
	}
	return nil
}

// event returns an event of a tag.
func event(action string, c git.LogEntry, team string, tag wanted, pos manifest.Pos) Event {
	if team == "." {
		team = ""
	}
	return Event{
		Action: action, Digest: tag.digest, Repository: tag.repository, Tag: tag.tag, Team: team, File: pos.File, Line: int(pos.Line),
		Commit: c.ID, Date: c.When.UTC(), PullRequest: pullRequest(c.Subject),
	}
}

// files returns the paths of a team's files, the one with the images last.
func (w *walker) files(team string) []string {
	if w.isFile {
		return []string{w.dir}
	}
	images, registries := manifest.TeamFiles(team)
	return []string{path.Join(w.dir, registries), path.Join(w.dir, images)}
}

// version reads the tags of a team in a commit that a query selects.
//
// If all is false, files that cannot have an answer are not parsed: they may be broken.
func (w *walker) version(c git.LogEntry, team string, q Query, all bool) (version, error) {
	files := w.files(team)
	entries, err := w.repo.Subtrees(c.Tree, files)
	if err != nil {
		return version{}, err
	}
	key := team + "\x00" + strings.Join(entries, " ") + "\x00" + fmt.Sprint(q)
	text, regular, err := w.repo.Text(entries[len(entries)-1])
	switch {
	case err != nil:
		return version{}, err
	case regular && !all && !q.possible(text):
		return version{}, nil
	case !regular || !git.IsRegular(entries[0]):
		key = c.Tree + key // a link: what it leads to is not in the key
	}
	if v, ok := w.versions[key]; ok {
		return v, nil
	}
	v, err := w.parse(c, team, files, q)
	if w.kept += len(v.tags); w.kept <= maxKept {
		w.versions[key] = v
	}
	return v, err
}

// parse parses the files of a team in a commit.
func (w *walker) parse(c git.LogEntry, team string, files []string, q Query) (v version, err error) {
	var set *manifest.Set
	if w.isFile {
		all, err := w.repo.FS(c.ID, path.Dir(w.dir))
		if err != nil {
			return v, err
		}
		if _, err := fs.Stat(all, path.Base(w.dir)); err != nil {
			return v, absent(err)
		}
		set = manifest.Plain(all, path.Base(w.dir), w.dir)
	} else {
		all, err := w.repo.FS(c.ID, w.dir)
		if err != nil {
			return v, err
		}
		_, registries := manifest.TeamFiles(team)
		if _, err := fs.Stat(all, registries); err != nil {
			return v, absent(err)
		}
		set = manifest.Team(all, w.dir, team)
	}
	for _, f := range files {
		v.broken = v.broken || set.Part(f).Broken
	}
	v.tags = places{}
	images(set, w.first, func(tag wanted, pos manifest.Pos) {
		if _, has := v.tags[tag]; !has && q.matches(tag) {
			v.tags[tag] = pos
		}
	})
	return v, nil
}

// absent returns nil if a file does not exist, or cannot be one of a manifest. An
// object that the clone does not have is an error.
func absent(err error) error {
	if errors.Is(err, git.ErrUnreadable) {
		return err
	}
	return nil
}
