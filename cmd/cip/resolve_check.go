package main

import (
	"fmt"

	"cip/pkg/manifest"
	"cip/pkg/resolve"
)

// check says whether what was asked for of sources, lock and list of images agree, without asking anybody.
func (r *resolution) check() error {
	var stale []manifest.Fault
	for _, file := range r.files {
		faults, err := r.stale(file)
		if err != nil {
			return err
		}
		stale = append(stale, faults...)
	}
	tell(r.log, stale)
	if len(stale) > 0 || !r.set.OK() {
		return &exitError{code: exitFailed}
	}
	return nil
}

// stale returns what does not agree in one file of producers and those beside it.
func (r *resolution) stale(file *manifest.Producers) ([]manifest.Fault, error) {
	var wants map[string][]string
	if file.Images != "" {
		raw, err := readFile(r.at(file.Images), maxFile)
		if err == nil {
			wants, err = manifest.NewImagesText(raw, file.Images != file.Name).Wants()
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", r.at(file.Images), err)
		}
	}
	var faults []manifest.Fault
	used := map[*manifest.Lock]bool{}
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
			message := fmt.Sprintf("%s is in the lock, but in no source: run cip resolve --write", l.Name)
			faults = append(faults, manifest.Fault{Pos: l.Pos, Severity: manifest.Refused, Message: message})
		}
	}
	return faults, nil
}
