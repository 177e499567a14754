package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const (
	// settleTime is how long a wanted tag may still point to its previous digest.
	// Registries send notifications before they write the tag.
	settleTime = 2 * time.Second
	// patience is how long a wanted tag or digest may be unreadable after its push.
	patience = 10 * time.Minute
)

// unsettledError is the error about a push that is not visible yet.
//
// It does not mean that the registry has a problem.
type unsettledError struct{ reason string }

func (e *unsettledError) Error() string { return e.reason }

// inquirer judges events by what it reads from registries.
type inquirer struct {
	client    *registry.Client
	relations *relations
	now       func() time.Time
}

func newInquirer(c *registry.Client) *inquirer {
	return &inquirer{client: c, relations: newRelations(c), now: time.Now}
}

// judge returns the verdict on an event.
//
// It is an error if there cannot be a verdict yet.
func (q *inquirer) judge(ctx context.Context, e event.Event, r *rules) (verdict, error) {
	v, open := r.consider(e)
	var err error
	switch open.read {
	case nothing:
	case theTag:
		v, err = q.tag(ctx, v, open.want, r.pos(e.Repository, open.want, e.Tag))
	case theSource:
		v, err = q.source(ctx, v, r.retags(e.Repository, e.Tag))
	case theDigest:
		v, err = q.digest(ctx, v, r.pos(e.Repository, e.Digest, ""), "wanted there")
	case theRelations:
		v, err = q.related(ctx, v, r)
	case attached:
		v, err = q.attached(ctx, v, r, open)
	case theWhole:
		v, err = q.whole(ctx, v, r)
	}
	v.Judged = q.now()
	return v, err
}

// young reports whether an event was received within a limit.
func (q *inquirer) young(e event.Event, limit time.Duration) bool {
	return q.now().Sub(e.Received) < limit
}

// unseen judges a wanted push that the registry lacks.
//
// Up to patience after the push, it is an error.
func (q *inquirer) unseen(v verdict) (verdict, error) {
	if q.young(v.Event, patience) {
		return v, &unsettledError{v.Event.Ref() + " is wanted, but the registry does not serve it yet"}
	}
	v.Outcome = ignored
	v.Reason = fmt.Sprintf("wanted, but the registry has not served it for %s: there is nothing to compare with the manifests", patience)
	return v, nil
}

// tag judges a wanted tag by the digest that it points to.
func (q *inquirer) tag(ctx context.Context, v verdict, want v1.Hash, pos manifest.Pos) (verdict, error) {
	e := v.Event
	found, state, err := q.client.Resolve(ctx, e.Repository, e.Tag)
	switch {
	case state == inventory.Unknown:
		return v, fmt.Errorf("reading destination %s: %w", e.Repository.Tag(e.Tag).String(), err)
	case state == inventory.Absent:
		return q.unseen(v)
	}
	v.Found = found
	if found == want {
		v.Outcome, v.Allowed, v.Reason = verified, pos, "agrees with manifest "+pos.String()
		return v, nil
	}
	v.Reason = fmt.Sprintf("%s wants %s under this tag, and it points to %s", pos, want, found)
	if q.young(e, settleTime) {
		return v, &unsettledError{v.Reason}
	}
	return v, nil
}

// source judges a tag that must have the digest of a source tag.
func (q *inquirer) source(ctx context.Context, v verdict, open []plan.Retag) (verdict, error) {
	for _, t := range open {
		want, state, err := q.client.Resolve(ctx, t.From.Repository, t.From.Tag)
		switch {
		case state == inventory.Unknown:
			return v, fmt.Errorf("reading source tag %s: %w", t.From.Repository.Tag(t.From.Tag).String(), err)
		case state == inventory.Present && (v.Event.Digest == (v1.Hash{}) || v.Event.Digest == want):
			return q.tag(ctx, v, want, t.Pos)
		}
		v.Reason = fmt.Sprintf("%s wants the digest of %s, and this is another one", t.Pos, t.From.Repository.Tag(t.From.Tag).String())
	}
	return v, nil
}

// digest judges a digest that a line allows.
//
// The repository must have it.
func (q *inquirer) digest(ctx context.Context, v verdict, pos manifest.Pos, why string) (verdict, error) {
	e := v.Event
	state, err := q.client.Has(ctx, e.Repository, e.Digest)
	switch state {
	case inventory.Unknown:
		return v, fmt.Errorf("reading destination %s: %w", e.Repository.Digest(e.Digest.String()).String(), err)
	case inventory.Absent:
		return q.unseen(v)
	}
	v.Outcome, v.Allowed, v.Found = verified, pos, e.Digest
	v.Reason = fmt.Sprintf("agrees with manifest %s: %s", pos, why)
	return v, nil
}

// related judges an untagged digest that no line names.
//
// It must belong to a wanted digest.
func (q *inquirer) related(ctx context.Context, v verdict, r *rules) (verdict, error) {
	e := v.Event
	entries, err := q.entries(ctx, e.Repository, r)
	if err != nil {
		return v, err
	}
	link, err := q.relations.explain(ctx, e.Repository, e.Digest, entries, maxDepth)
	if err != nil {
		return v, err
	}
	if link == nil {
		v.Reason = "no manifest wants this digest here, or an index that contains it, or an image that it belongs to"
		return v, nil
	}
	return q.digest(ctx, v, link.to.line(r, e.Repository), link.how)
}

// wantedEntry is a digest that a repository should have.
type wantedEntry struct {
	plan.Entry
	pos manifest.Pos // of a retag entry without a pin
}

// line returns the line that wants the digest.
func (e *wantedEntry) line(r *rules, repo name.Repository) manifest.Pos {
	if e.pos.File != "" {
		return e.pos
	}
	return r.pos(repo, e.Digest, "")
}

// entries returns all digests that a repository should have.
//
// It reads the source tags of retag entries without a pin.
func (q *inquirer) entries(ctx context.Context, repo name.Repository, r *rules) ([]wantedEntry, error) {
	var all []wantedEntry
	if t := r.wanted.Target(repo); t != nil {
		for _, e := range t.Want.Entries {
			all = append(all, wantedEntry{Entry: e})
		}
	}
	for _, t := range r.retags(repo, "") {
		d, state, err := q.client.Resolve(ctx, t.From.Repository, t.From.Tag)
		if state == inventory.Unknown {
			return nil, fmt.Errorf("reading source tag %s: %w", t.From.Repository.Tag(t.From.Tag).String(), err)
		}
		if state == inventory.Present {
			e := plan.Entry{Digest: d, Tags: []string{t.Tag}, Sources: []*plan.Source{{Repository: t.From.Repository}}}
			all = append(all, wantedEntry{e, t.Pos})
		}
	}
	return all, nil
}
