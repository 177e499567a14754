package history

import (
	"maps"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// name is a tag in a repository, whatever its digest.
type name struct{ repository, tag string }

// join makes one event of a tag that one digest lost and another one got.
func (w *walker) join(c git.LogEntry, teams []string, events []Event) ([]Event, error) {
	lost, got := map[name]Event{}, map[name]Event{}
	for _, e := range events {
		if e.Tag == "" {
			continue
		}
		if e.Action == Removed {
			lost[name{e.Repository, e.Tag}] = e
		} else {
			got[name{e.Repository, e.Tag}] = e
		}
	}
	if w.query.Digest != "" { // the other digest was not looked for
		if err := w.partners(c, teams, lost, got); err != nil {
			return nil, err
		}
	}
	var all []Event
	for _, e := range events {
		key := name{e.Repository, e.Tag}
		from, wasThere := lost[key]
		to, isThere := got[key]
		switch {
		case e.Tag == "" || !wasThere || !isThere || from.Digest == to.Digest:
			all = append(all, e)
		case e.Action == Added, w.query.Digest != "":
			to.Action, to.Previous = Moved, from.Digest
			all = append(all, to)
		}
	}
	slices.SortFunc(all, compare)
	return all, nil
}

// partners adds the digests that tags had before c, or have in c.
func (w *walker) partners(c git.LogEntry, teams []string, lost, got map[name]Event) error {
	moved := slices.Concat(slices.Collect(maps.Keys(lost)), slices.Collect(maps.Keys(got)))
	for _, key := range moved {
		for _, team := range teams {
			if err := w.partner(w.past[team], c, team, key, lost); err != nil {
				return err
			}
			if err := w.partner([]git.LogEntry{c}, c, team, key, got); err != nil {
				return err
			}
		}
	}
	return nil
}

// partner adds the other digest that a tag has in the last commit that is not broken.
func (w *walker) partner(past []git.LogEntry, c git.LogEntry, team string, key name, into map[name]Event) error {
	if _, known := into[key]; known {
		return nil
	}
	for _, at := range slices.Backward(past) {
		v, err := w.version(at, team, Query{Repository: key.repository, Tag: key.tag}, true)
		if err != nil {
			return err
		}
		if v.broken {
			continue
		}
		for tag, pos := range v.tags {
			if tag.digest == w.query.Digest {
				continue
			}
			e := event(Added, c, team, tag, pos)
			if other, ok := into[key]; !ok || compare(e, other) < 0 { // several entries may want the tag
				into[key] = e
			}
		}
		return nil
	}
	return nil
}
