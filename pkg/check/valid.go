package check

import (
	"context"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Valid finds the faults of the files.
type Valid struct{}

// Name implements Rule.
func (Valid) Name() string { return "valid" }

// About implements Rule.
func (Valid) About() string { return "a manifest is broken, or an entry of it is refused" }

// Reach implements Rule.
func (Valid) Reach() Reach { return Files }

// Check implements Rule.
func (Valid) Check(_ context.Context, in *Input) []Finding {
	var found []Finding
	for _, f := range in.Faults {
		level := Error
		if f.Severity == manifest.Warning {
			level = Note
		}
		found = append(found, Finding{Level: level, Pos: f.Pos, Message: f.Message})
	}
	return found
}
