package plan

// Verdict says how a run has ended. Commands turn it into their exit code.
type Verdict int

// The verdicts.
const (
	Succeeded    Verdict = iota // all that was wanted is so, or would be
	Changes                     // a dry run would write something
	Retry                       // of a real run: another run may cure all that failed or was refused
	Unsuccessful                // something is not so, for another reason
	Interrupted                 // the run was stopped before its end
)

// Verdict returns how the run has ended.
func (r *Report) Verdict() Verdict {
	changes, failed, skipped, final := false, false, false, len(r.Faults) > 0
	for i := range r.Items {
		it := &r.Items[i]
		switch {
		case it.Action == Missing.String() && r.AllowMissing:
		case it.Retryable && (it.Status == Failed.String() || it.Status == Refused.String()):
			failed = true // an image is refused, too, if its evidence could not be read
		case it.Status == Failed.String(), it.Status == Refused.String():
			final = true
		case it.Status == Skipped.String():
			skipped = true
		case it.Status == Planned.String():
			changes = true
		}
	}
	switch {
	case r.Interrupted:
		return Interrupted
	case !final && failed && !r.DryRun:
		return Retry // with --fail-fast the rest was skipped because of the failures
	case final, failed, skipped:
		return Unsuccessful
	case changes && r.DryRun:
		return Changes
	}
	return Succeeded
}
