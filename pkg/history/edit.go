package history

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// entryLine matches a line that is a whole entry of a dmap.
//
// Adding or removing such lines changes no other entry of the file: at worst the file
// is broken, and a broken file changes nothing.
var entryLine = regexp.MustCompile(`^ *["']?sha256:[0-9a-f]{64}["']?: *\[[\w.,"' -]*\] *\r?$`)

// source is a version of a team's files, unparsed.
type source struct {
	other string // mode and hash of the file with the registries
	text  []byte // of the file with the images
}

// moved returns the tags of a team if a commit only moved their lines.
//
// Most commits add a line to a long list. Parsing the list each time would take most
// of the time of a query.
func (w *walker) moved(c git.LogEntry, team string) (places, bool, error) {
	if w.query.Digest == "" && w.query.Tag == "" {
		return nil, false, nil
	}
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
	first, delta, ok := w.query.edit(before.text, text)
	if !ok {
		return nil, false, nil
	}
	tags := make(places, len(w.teams[team]))
	for tag, pos := range w.teams[team] {
		if int(pos.Line) > first {
			pos.Line += int32(delta)
		}
		tags[tag] = pos
	}
	return tags, true, nil
}

// edit reports whether two texts differ only in entries that the query does not select.
//
// first is the number of equal lines before them, delta the number of additional lines.
func (q Query) edit(before, now []byte) (first, delta int, ok bool) {
	old, lines := bytes.Split(before, []byte("\n")), bytes.Split(now, []byte("\n"))
	delta = len(lines) - len(old)
	for len(old) > 0 && len(lines) > 0 && bytes.Equal(old[0], lines[0]) {
		old, lines, first = old[1:], lines[1:], first+1
	}
	for len(old) > 0 && len(lines) > 0 && bytes.Equal(old[len(old)-1], lines[len(lines)-1]) {
		old, lines = old[:len(old)-1], lines[:len(lines)-1]
	}
	for _, side := range [][][]byte{old, lines} {
		for _, line := range side {
			if !entryLine.Match(line) || slices.ContainsFunc(bytes.FieldsFunc(line, between), q.selects) {
				return 0, 0, false
			}
		}
	}
	return first, delta, true
}

// between reports whether a character is neither of a tag nor of a digest.
func between(c rune) bool { return strings.ContainsRune("[],\"' \r", c) }

// selects reports whether a word of an entry is the digest or the tag of the query. The
// digest may be followed by a colon.
func (q Query) selects(word []byte) bool {
	text := strings.TrimSuffix(string(word), ":")
	return text != "" && (text == q.Digest || text == q.Tag)
}
