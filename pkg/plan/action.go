package plan

// Action is what has to be done for an item, or why nothing can be done.
type Action uint8

// The actions, in the order in which reports list the items of a digest.
const (
	Copy       Action = iota + 1 // copy the digest, then put its tags
	TagOnly                      // put tags: the destination has the digest
	Move                         // put tags that point to another digest and may move; copy first if necessary
	Conflict                     // the tags point to another digest and may not move
	Missing                      // neither a source nor the destination has the digest
	Invalid                      // the entry is invalid, or contradicts another one
	Unreadable                   // a registry could not be read
	Existing                     // the tags point to another digest, and stay there (IfExists)
	Attest                       // write evidence
)

var actions = [...]string{"", "copy", "tag", "move", "conflict", "missing", "invalid", "unknown", "existing", "attest"}

// String returns the name of the action in reports.
func (a Action) String() string { return actions[a] }

// Writes reports whether the action writes to a registry.
func (a Action) Writes() bool { return a == Copy || a == TagOnly || a == Move || a == Attest }

// Refused reports whether the action is a refusal.
func (a Action) Refused() bool { return a == Conflict || a == Missing || a == Invalid }

// Status returns the status of an item of the action before the plan is carried out.
func (a Action) Status() Status {
	switch {
	case a.Writes():
		return Planned
	case a.Refused():
		return Refused
	case a == Existing:
		return Done
	}
	return Failed
}

// Status is the outcome of an item.
type Status uint8

// The statuses.
const (
	Planned Status = iota + 1 // a dry run would do it
	Done                      // the destination is as wanted
	Failed                    // it was tried in vain, or a registry could not be read
	Refused                   // it must not be done: conflict, missing, invalid, or a finding
	Skipped                   // it was not tried: --fail-fast or an interrupt
)

var statuses = [...]string{"", "planned", "done", "failed", "refused", "skipped"}

// String returns the name of the status in reports.
func (s Status) String() string { return statuses[s] }
