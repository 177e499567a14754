package check

import (
	"context"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Valid finds the faults of the files. Faults that the base has too are notes.
type Valid struct {
	Base []manifest.Fault // in the base, and between its files
}

// Name implements Rule.
func (Valid) Name() string { return "valid" }

// About implements Rule.
func (Valid) About() string { return "a manifest is broken, or an entry of it is refused" }

// Reach implements Rule.
func (Valid) Reach() Reach { return Files }

// Check implements Rule.
func (v Valid) Check(_ context.Context, in *Input) []Finding { return v.Judge(in.Faults) }

// Judge returns a finding for each fault.
func (v Valid) Judge(faults []manifest.Fault) []Finding {
	had := map[string]int{}
	for _, f := range v.Base {
		had[f.Key()]++
	}
	var found []Finding
	for _, f := range faults {
		finding := Finding{Level: Error, Pos: f.Pos, Message: f.Message, ID: f.ID, Old: had[f.Key()] > 0}
		had[f.Key()]--
		if finding.Old || f.Severity == manifest.Warning {
			finding.Level = Note
		}
		found = append(found, finding)
	}
	return found
}
