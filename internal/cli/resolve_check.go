package cli

import (
	"fmt"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// check checks that selectors, locks and images lists agree, without requests.
func (r *resolution) check() error {
	var stale []manifest.Fault
	for _, file := range r.files {
		faults, err := r.stale(file)
		if err != nil {
			return err
		}
		stale = append(stale, faults...)
	}
	logFaults(r.log, stale)
	if len(stale) > 0 || !r.set.OK() {
		return &exitError{code: exitFailed}
	}
	return nil
}

// stale returns a fault for every disagreement between a file of selectors, its lock and its list.
func (r *resolution) stale(file *selector.File) ([]manifest.Fault, error) {
	if left := leftLocks(r.set, []*selector.File{file}); len(left) > 0 && len(r.only) == 0 {
		return left, nil
	}
	var wants map[string][]string
	if file.Images != "" {
		raw, err := readIn(r.tree, file.Images)
		if err == nil {
			wants, err = manifest.NewImagesText(raw, file.Images != file.Name).Wants()
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", r.at(file.Images), cause(err))
		}
	}
	var faults []manifest.Fault
	used := map[*selector.Lock]bool{}
	readers := resolve.Readers{ReadFile: r.reader(file)}
	for _, p := range file.Entries {
		used[file.Find(p)] = true
		if !r.asked(p) {
			continue
		}
		if err := resolve.Stale(file, p, wants, readers); err != nil {
			faults = append(faults, manifest.Fault{Pos: p.Pos, Severity: manifest.Refused, Message: err.Error() + ": run cip resolve --write"})
		}
	}
	for i := range file.Locked {
		if l := &file.Locked[i]; !used[l] && len(r.only) == 0 {
			message := fmt.Sprintf("%s is in the lock, but in no selector: run cip resolve --write", l.Name)
			faults = append(faults, manifest.Fault{Pos: l.Pos, Severity: manifest.Refused, Message: message})
		}
	}
	return faults, nil
}

// leftLocks returns a fault for every lock file whose selectors were all removed.
//
// Selectors that cannot be read may still exist, and are not reported.
func leftLocks(set *manifest.Set, files []*selector.File) []manifest.Fault {
	var faults []manifest.Fault
	for _, file := range files {
		unread := func(f manifest.Fault) bool { return f.Pos.File == file.File && f.Severity != manifest.Warning }
		if len(file.Entries) > 0 || len(file.Locked) == 0 || slices.ContainsFunc(set.Faults, unread) {
			continue
		}
		faults = append(faults, manifest.Fault{
			Pos:      manifest.Pos{File: file.Locked[0].Pos.File, Line: 1, Column: 1},
			Severity: manifest.Refused, Message: "the selectors of this lock were removed: run cip resolve --write",
		})
	}
	return faults
}
