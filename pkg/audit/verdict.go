package audit

import (
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Outcome is what was found about an event.
type Outcome string

// The outcomes.
const (
	Verified Outcome = "VERIFIED" // the manifests want what is there now
	Rejected Outcome = "REJECTED" // they do not
	Ignored  Outcome = "IGNORED"  // it is none of our business
)

// Verdict is what became of an event.
type Verdict struct {
	Event   event.Event
	Outcome Outcome
	Reason  string
	Allowed manifest.Pos // the line that allows it
	Found   v1.Hash      // what the registry has there, as far as it was read
	Commit  string       // of the manifests
	Judged  time.Time
}

// Text returns the verdict as a sentence for answers and logs.
func (v Verdict) Text() string {
	if v.Event.Action == "" {
		return fmt.Sprintf("TRANSACTION %s: %s", v.Outcome, v.Reason)
	}
	return fmt.Sprintf("TRANSACTION %s: %s of %s: %s", v.Outcome, v.Event.Action, v.Event.Ref(), v.Reason)
}

// Record is a verdict as the store keeps it, and as the API and the log show it.
type Record struct {
	Seq        uint64       `json:"seq"` // in the order of the verdicts
	Verdict    Outcome      `json:"verdict"`
	Source     string       `json:"source"`
	ID         string       `json:"id,omitempty"`
	Action     event.Action `json:"action"`
	Repository string       `json:"repository"`
	Tag        string       `json:"tag,omitempty"`
	Digest     v1.Hash      `json:"digest,omitzero"`
	Found      v1.Hash      `json:"found,omitzero"`
	Actor      string       `json:"actor,omitempty"`
	Reason     string       `json:"reason"`
	AllowedBy  string       `json:"allowedBy,omitempty"`
	Commit     string       `json:"commit,omitempty"`
	Received   time.Time    `json:"received"`
	Judged     time.Time    `json:"judged"`
	Text       string       `json:"text"`
}

// Record returns the verdict in its flat form.
//
// Text of senders and registries is not escaped: that is done where it is printed.
func (v Verdict) Record() Record {
	e := v.Event
	r := Record{
		Verdict: v.Outcome, Source: e.Source, ID: e.ID, Action: e.Action, Tag: e.Tag, Digest: e.Digest,
		Found: v.Found, Actor: e.Actor, Reason: v.Reason, Commit: v.Commit,
		Received: e.Received.UTC(), Judged: v.Judged.UTC(), Text: v.Text(),
	}
	if e.Repository != (name.Repository{}) {
		r.Repository = e.Repository.String()
	}
	if v.Allowed.File != "" {
		r.AllowedBy = v.Allowed.String()
	}
	return r
}
