package check

import (
	"context"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Valid finds the faults of the files. Faults that the base has too are notes.
type Valid struct {
	Base []manifest.Fault // in the base, and between its files
}

// Describe implements Rule.
func (Valid) Describe() Description {
	return Description{"valid", "a manifest is broken, or an entry of it is refused", Files}
}

// Check implements Rule.
func (v Valid) Check(_ context.Context, in *Input) []Finding { return v.Judge(in.Faults) }

// Judge returns a finding for each fault, and one for all faults of a contradiction. Its
// position is the first one that is new.
func (v Valid) Judge(faults []manifest.Fault) []Finding {
	had := map[string]int{}
	for _, f := range v.Base {
		had[f.Key()]++
	}
	sorted := slices.Clone(faults)
	manifest.SortFaults(sorted)
	var found []Finding
	for _, group := range manifest.Contradictions(sorted) {
		var one Finding
		places := make([]Place, len(group))
		for i, f := range group {
			next := Finding{Level: Error, Pos: f.Pos, Message: f.Message, ID: f.ID, Old: had[f.Key()] > 0}
			had[f.Key()]--
			if next.Old || f.Severity == manifest.Warning {
				next.Level = Note
			}
			if i == 0 || next.Level > one.Level {
				one = next
			}
			places[i].Pos = f.Pos
		}
		if len(group) > 1 {
			one.Places = places
		}
		found = append(found, one)
	}
	return found
}
