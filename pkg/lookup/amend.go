package lookup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// Change is the change of one file.
type Change struct {
	Name   string // relative to the root of the manifests
	Before []byte // nil: the file does not exist yet
	After  []byte
}

// Amend computes the changes of the lists of images and the locks. It writes nothing.
func (s *Selectors) Amend(all []*Resolved) error {
	for _, r := range all {
		if len(s.only) > 0 && !slices.ContainsFunc(r.File.Entries, s.Named) {
			continue // a lock whose selectors were removed, for example, is not part of this run
		}
		if err := s.amend(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Selectors) amend(r *Resolved) error {
	var list Change
	var text *manifest.ImagesText
	var err error
	if r.File.Images != "" {
		list.Name = r.File.Images
		if list.Before, err = s.read(list.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		text = manifest.NewImagesText(list.Before, r.File.Images != r.File.Name)
	}
	lock := Change{Name: r.File.Lock}
	locks := resolve.Amend(r.File, r.Results, text)
	if lock.Before, err = s.read(lock.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(locks) > 0 || lock.Before != nil {
		if lock.After, err = selector.EncodeLocks(locks); err != nil {
			return fmt.Errorf("encoding %s: %w", s.Path(lock.Name), err)
		}
	}
	if text != nil {
		list.After = text.Bytes()
	}
	for _, c := range []Change{list, lock} { // lists before locks: Write keeps this order
		if !bytes.Equal(c.Before, c.After) {
			r.Changes = append(r.Changes, c)
		}
	}
	return nil
}

// WriteDiff writes the changes as unified diffs.
func (s *Selectors) WriteDiff(w io.Writer, all []*Resolved, color bool) error {
	for _, r := range all {
		for _, c := range r.Changes {
			if err := output.WriteFileDiff(w, filepath.ToSlash(s.Path(c.Name)), c.Before, c.After, color); err != nil {
				return err
			}
		}
	}
	return nil
}

// Count returns the numbers of selectors whose result changed, did not change, and failed.
func Count(all []*Resolved) (changed, same, failed int) {
	for _, r := range all {
		for _, result := range r.Ran() {
			switch {
			case result.Err != nil:
				failed++
			case result.Lock != r.File.Find(result.Selector):
				changed++
			default:
				same++
			}
		}
	}
	return changed, same, failed
}

// Write writes the changes and calls wrote with the path of each file. Lists are written
// before locks, so that a lock never has a digest that the list does not have.
func (s *Selectors) Write(all []*Resolved, wrote func(path string)) error {
	for _, r := range all {
		for _, c := range r.Changes {
			if err := s.tree.Replace(c.Name, c.After); err != nil {
				return fmt.Errorf("writing %s: %w", s.Path(c.Name), load.Cause(err))
			}
			wrote(s.Path(c.Name))
		}
	}
	return nil
}

// Stale returns a fault for each selector, lock and list entry that do not agree. Those of
// broken manifests are unknown, except locks without selectors. It sends no request.
func (s *Selectors) Stale() ([]manifest.Fault, error) {
	if s.Set.Broken() {
		return orphanLocks(s.Set, s.Files), nil
	}
	var stale []manifest.Fault
	for _, file := range s.Files {
		faults, err := s.stale(file)
		if err != nil {
			return nil, err
		}
		stale = append(stale, faults...)
	}
	return stale, nil
}

func (s *Selectors) stale(file *selector.File) ([]manifest.Fault, error) {
	if left := orphanLocks(s.Set, []*selector.File{file}); len(left) > 0 && len(s.only) == 0 {
		return left, nil
	}
	var wants map[string][]string
	if file.Images != "" {
		raw, err := s.read(file.Images)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if wants, err = manifest.NewImagesText(raw, file.Images != file.Name).Wants(); err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.Path(file.Images), load.Cause(err))
		}
	}
	var faults []manifest.Fault
	used := map[*selector.Lock]bool{}
	for _, p := range file.Suspended {
		used[file.Find(p)] = true
	}
	readers := resolve.Readers{ReadFile: s.reader(file)}
	for _, p := range file.Entries {
		used[file.Find(p)] = true
		if !s.Named(p) {
			continue
		}
		if err := resolve.Stale(file, p, wants, readers); err != nil {
			f := refusal(p.Pos, err.Error())
			f.ID = f.Message + "\n" + p.Intent() // another change of a selector is another fault
			faults = append(faults, f)
		}
	}
	for i := range file.Locked {
		if l := &file.Locked[i]; !used[l] && len(s.only) == 0 {
			faults = append(faults, refusal(l.Pos, l.Name+" is in the lock, but no selector has this name"))
		}
	}
	return faults, nil
}

// orphanLocks returns a fault for each lock file whose selectors were all removed. A file
// of selectors that cannot be read does not count as removed.
func orphanLocks(set *manifest.Set, files []*selector.File) []manifest.Fault {
	var faults []manifest.Fault
	for _, file := range files {
		unread := func(f manifest.Fault) bool { return f.Pos.File == file.File && f.Severity != manifest.Warning }
		if len(file.Entries)+len(file.Suspended) > 0 || len(file.Locked) == 0 || slices.ContainsFunc(set.Faults, unread) {
			continue
		}
		faults = append(faults, refusal(manifest.Pos{File: file.Locked[0].Pos.File, Line: 1, Column: 1}, "the selectors of this lock were removed"))
	}
	return faults
}

func refusal(at manifest.Pos, message string) manifest.Fault {
	return manifest.Fault{Pos: at, Severity: manifest.Refused, Message: message + ": run cip resolve --write"}
}
