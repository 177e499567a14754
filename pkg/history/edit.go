package history

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// entryLine matches a line that is a whole entry of a dmap: its indentation, digest and
// list of tags.
var entryLine = regexp.MustCompile(`^( *)["']?(sha256:[0-9a-f]{64})["']?: *\[([\w.,"' -]*)\] *\r?$`)

// listTag matches a tag in such a list that is a string in YAML: 1.0 without quotes is
// a number.
var listTag = regexp.MustCompile(`^(?:"(\w[\w.-]{0,127})"|'(\w[\w.-]{0,127})'|(v\d[\w.-]{0,125}))$`)

// source is a version of a team's files, unparsed.
type source struct {
	other string // mode and hash of the file with the registries
	text  []byte // of the file with the images
}

// edited returns the tags of a team after a commit that changed only entries of lists
// that can be understood without the rest of the file.
//
// Most commits add a line to a long list. Parsing the list each time would take most
// of the time of a query.
func (w *walker) edited(c git.LogEntry, team string) (places, bool, error) {
	entries, err := w.repo.Subtrees(c.Tree, w.files(team))
	if err != nil {
		return nil, false, err
	}
	text, regular, err := w.repo.Text(entries[len(entries)-1])
	if err != nil {
		return nil, false, err
	}
	before := w.sources[team]
	delete(w.sources, team)
	if !regular {
		return nil, false, nil
	}
	now := source{text: text}
	if len(entries) > 1 {
		now.other = entries[0]
	}
	w.sources[team] = now
	if before.text == nil || before.other != now.other {
		return nil, false, nil
	}
	e, ok := compareLines(before.text, text)
	if !ok {
		return nil, false, nil
	}
	tags, ok := e.apply(w.query, w.teams[team])
	return tags, ok, nil
}

// edit is a difference of two texts: removed and added entries in one place.
type edit struct {
	first          int     // number of equal lines before it
	removed, added []entry // in lines that follow each other
	above, below   []byte  // the lines around them
	now            []byte  // the second text
}

// entry is a line that entryLine matches.
type entry struct{ indent, digest, tags []byte }

// list returns the tags of an entry; "" if it has none. It reports false if one of them
// may be something else in YAML.
func (e entry) list() ([]string, bool) {
	text := bytes.TrimSpace(e.tags)
	if len(text) == 0 {
		return []string{""}, true
	}
	var tags []string
	for part := range bytes.SplitSeq(text, []byte(",")) {
		m := listTag.FindSubmatch(bytes.TrimSpace(part))
		if m == nil {
			return nil, false
		}
		tags = append(tags, string(slices.Concat(m[1:]...)))
	}
	return tags, true
}

// compareLines returns the difference of two texts, unless they differ in other lines
// than entries.
func compareLines(before, now []byte) (edit, bool) {
	old, lines, e := bytes.Split(before, []byte("\n")), bytes.Split(now, []byte("\n")), edit{now: now}
	for len(old) > 0 && len(lines) > 0 && bytes.Equal(old[0], lines[0]) {
		e.above, old, lines, e.first = old[0], old[1:], lines[1:], e.first+1
	}
	for len(old) > 0 && len(lines) > 0 && bytes.Equal(old[len(old)-1], lines[len(lines)-1]) {
		e.below, old, lines = old[len(old)-1], old[:len(old)-1], lines[:len(lines)-1]
	}
	var ok, all bool
	e.removed, ok = parseEntries(old)
	e.added, all = parseEntries(lines)
	return e, ok && all
}

// parseEntries splits lines, if all of them are entries.
func parseEntries(lines [][]byte) (all []entry, ok bool) {
	for _, line := range lines {
		m := entryLine.FindSubmatch(line)
		if m == nil {
			return nil, false
		}
		all = append(all, entry{m[1], m[2], m[3]})
	}
	return all, true
}

// apply returns the selected tags of the second text, given those of the first. It
// reports false if the second text must be parsed.
func (e edit) apply(q Query, before places) (places, bool) {
	var added places
	if q.Digest == "" && q.Tag == "" {
		var ok bool
		if added, ok = e.tags(q, before); !ok {
			return nil, false
		}
	} else if slices.ContainsFunc(slices.Concat(e.removed, e.added), q.selects) {
		return nil, false
	}
	// Other entries change no tag that is selected: at worst the file is broken, and a
	// broken file changes nothing.
	after := make(places, len(before)+len(added))
	for tag, pos := range before {
		if e.removes(pos) {
			continue
		}
		if int(pos.Line) > e.first {
			pos.Line += int32(len(e.added) - len(e.removed))
		}
		after[tag] = pos
	}
	maps.Copy(after, added)
	return after, true
}

// removes reports whether a place is in a removed line.
func (e edit) removes(pos manifest.Pos) bool {
	return int(pos.Line) > e.first && int(pos.Line) <= e.first+len(e.removed)
}

// selects reports whether an entry has the digest or the tag of a query.
func (q Query) selects(e entry) bool {
	return q.Digest == string(e.digest) || slices.ContainsFunc(bytes.FieldsFunc(e.tags, between), func(tag []byte) bool { return q.Tag == string(tag) })
}

// between reports whether a character is not part of a tag.
func between(c rune) bool { return strings.ContainsRune(`,"' `, c) }

// tags returns the selected tags of the added entries. It reports false unless the second
// text is sure to have them and the tags of the first that are not removed.
func (e edit) tags(q Query, before places) (places, bool) {
	repository, file, ok := e.neighbors(before)
	if !ok || !e.unique() || repository == "" && q.Repository == "" {
		return nil, false
	}
	added := places{}
	for i, line := range e.added {
		tags, ok := line.list()
		if !ok {
			return nil, false
		}
		for _, tag := range tags {
			if repository != "" { // otherwise it is the list of an image that is not selected
				added[wanted{repository, string(line.digest), tag}] = manifest.Pos{File: file, Line: int32(e.first + 1 + i)}
			}
		}
	}
	return added, true
}

// neighbors returns the repository and the file of the entries above or below the edit.
// They are of the same list if all of them are indented alike. The repository is "" if
// no tag of the list is selected.
func (e edit) neighbors(before places) (repository, file string, ok bool) {
	lines := slices.Concat(e.removed, e.added)
	same := func(line []byte) bool {
		found, ok := parseEntries([][]byte{line})
		if !ok {
			return false
		}
		if _, ok = found[0].list(); !ok {
			return false // it may be refused
		}
		return !slices.ContainsFunc(lines, func(l entry) bool { return len(l.indent) != len(found[0].indent) })
	}
	above, below := same(e.above), same(e.below)
	for tag, pos := range before {
		line := int(pos.Line)
		if !(above && line == e.first || below && line == e.first+len(e.removed)+1) {
			continue
		}
		if repository != "" && repository != tag.repository {
			return "", "", false
		}
		repository, file = tag.repository, pos.File
	}
	return repository, file, above || below
}

// unique reports whether the second text has each added digest once and no other of
// the removed ones, and no YAML that could repeat or rewrite an entry.
func (e edit) unique() bool {
	if bytes.ContainsAny(e.now, `&\`) {
		return false
	}
	count := map[string]int{}
	for _, line := range e.removed {
		count[string(line.digest)] = 0
	}
	for _, line := range e.added {
		count[string(line.digest)]++
	}
	for digest, n := range count {
		if n > 1 || bytes.Count(e.now, []byte(digest)) != n {
			return false
		}
	}
	return true
}
