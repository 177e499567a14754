package audit

import (
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// outcome is the result of judging an event.
type outcome string

// The outcomes.
const (
	verified outcome = "VERIFIED" // the manifests want what the registry has
	rejected outcome = "REJECTED" // they do not want it
	ignored  outcome = "IGNORED"  // it is not about a destination
)

// verdict is the outcome for an event, and the reason.
type verdict struct {
	Event   event.Event
	Outcome outcome
	Reason  string
	Allowed manifest.Pos // line that allows the change
	Found   v1.Hash      // digest that the registry has; zero if it was not read
	Commit  string       // of the manifests
	Judged  time.Time
}

// Text returns the verdict's sentence for answers and logs.
func (v verdict) Text() string {
	if v.Event.Action == "" {
		return fmt.Sprintf("TRANSACTION %s: %s", v.Outcome, v.Reason)
	}
	return fmt.Sprintf("TRANSACTION %s: %s of %s: %s", v.Outcome, v.Event.Action, v.Event.Ref(), v.Reason)
}

// record is a verdict in the store, the API and the log.
type record struct {
	Seq        uint64       `json:"seq"` // increases with each verdict
	Verdict    outcome      `json:"verdict"`
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

// record returns the verdict in its flat form.
//
// Text of senders and registries is not escaped: that is done where it is printed.
func (v verdict) record() record {
	e := v.Event
	r := record{
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
