package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Approval is the plan of an earlier dry run, which is to be carried out unchanged.
type Approval struct {
	Origin    Origin // of the dry run
	Refused   int    // number of edges that the dry run refused or could not read: they are not approved
	Referrers bool   // the plan has referrers
	edges     map[edgeKey]*approved
}

// edgeKey identifies an edge or referrer: a tag, or a digest without a tag.
type edgeKey struct {
	repository name.Repository
	reference  string // tag or digest
	referrer   bool
}

// approved is one approved edge.
type approved struct {
	item    Item // the planned item
	matched bool // the new plan has the edge
}

// key identifies the edge of the item.
func (it *Item) key() edgeKey {
	if it.Tag == "" {
		return edgeKey{it.Destination, it.Digest.String(), it.Kind == Referrer}
	}
	return edgeKey{it.Destination, it.Tag, it.Kind == Referrer}
}

// Approve returns the plan of a dry run's report. It returns an error if the report is
// of another kind or version, or has items that cannot be carried out.
func (r *Report) Approve() (*Approval, error) {
	switch {
	case r.Version == 0:
		return nil, errors.New("it has no version: it is not a report of cip run")
	case r.Version != ReportVersion:
		return nil, fmt.Errorf("it has the unknown version %d: want %d", r.Version, ReportVersion)
	case !r.DryRun:
		return nil, errors.New("it is the report of a real run: want one of a dry run")
	case r.Items == nil:
		return nil, errors.New("it has no promotions: it is not a report of cip run")
	}
	a := &Approval{Origin: r.Manifests, edges: map[edgeKey]*approved{}}
	for i := range r.Items {
		if err := a.add(&r.Items[i]); err != nil {
			return nil, fmt.Errorf("promotions[%d]: %w", i, err)
		}
	}
	return a, nil
}

// add adds the edges of a planned item.
func (a *Approval) add(r *ReportItem) error {
	items, err := r.items()
	if err != nil {
		return err
	}
	for _, it := range items {
		switch {
		case it.Kind == Evidence: // the flags of the run say what it writes
		case it.Status != Planned && it.Kind == 0:
			a.Refused++
		case it.Status != Planned:
		case !it.Action.Writes():
			return fmt.Errorf("%s cannot be planned", it.Action)
		case a.edges[it.key()] != nil:
			return fmt.Errorf("%s is planned twice", it.key())
		default:
			a.edges[it.key()] = &approved{item: it}
			a.Referrers = a.Referrers || it.Kind == Referrer
		}
	}
	return nil
}

// String returns the reference of the tag or digest.
func (s edgeKey) String() string {
	if image.CheckTag(s.reference) == nil {
		return s.repository.Tag(s.reference).String()
	}
	return s.repository.Digest(image.Hash(s.reference).String()).String()
}

// items returns the items of a report item. Only planned items have a Destination.
func (r *ReportItem) items() ([]Item, error) {
	action, status := slices.Index(actions[1:], r.Action)+1, slices.Index(statuses[1:], r.Status)+1
	kind, what := slices.Index(kinds[:], r.Kind), slices.Index(whats[:], r.What)
	switch {
	case action == 0:
		return nil, fmt.Errorf("unknown action %.100q", r.Action)
	case status == 0:
		return nil, fmt.Errorf("unknown status %.100q", r.Status)
	case kind < 0:
		return nil, fmt.Errorf("unknown kind %.100q", r.Kind)
	case what < 0:
		return nil, fmt.Errorf("unknown evidence %.100q", r.What)
	case (Kind(kind) == Evidence) != (what > 0), (Kind(kind) == Evidence) != (Action(action) == Attest):
		return nil, fmt.Errorf("kind %q, action %q and evidence %q do not belong together", r.Kind, r.Action, r.What)
	}
	it := Item{
		Action: Action(action), Status: Status(status), Digest: image.Hash(r.Digest), Previous: image.Hash(r.PreviousDigest),
		Source: r.Source, Kind: Kind(kind), What: What(what), Subject: image.Hash(r.Subject),
	}
	if it.Status == Planned {
		var err error
		if it.Destination, err = image.ParseRepository(r.Destination); err != nil {
			return nil, err
		}
		if err := it.check(r.Tags); err != nil {
			return nil, err
		}
	}
	if len(r.Tags) == 0 {
		return []Item{it}, nil
	}
	items := make([]Item, len(r.Tags))
	for i, tag := range r.Tags {
		items[i] = it
		items[i].Tag = tag
	}
	return items, nil
}

// check returns an error if an item with these tags has a malformed digest or tag, or is
// incomplete.
func (it *Item) check(tags []string) error {
	for _, d := range []v1.Hash{it.Digest, it.Previous, it.Subject} {
		if _, err := image.ParseDigest(d.String()); err != nil && (d != (v1.Hash{}) || it.Digest == (v1.Hash{})) {
			return err
		}
	}
	for _, t := range tags {
		if err := image.CheckTag(t); err != nil {
			return err
		}
	}
	switch {
	case it.Kind == Referrer && it.Subject == (v1.Hash{}):
		return errors.New("a referrer without subject")
	case it.Action == Move && (it.Previous == (v1.Hash{}) || len(tags) == 0):
		return errors.New("a move without tags or previousDigest")
	}
	return nil
}

// Selection returns the part of the manifests that was approved.
func (a *Approval) Selection() *Selection {
	s := &Selection{parts: map[name.Repository]*part{}, invalid: map[string]struct{}{}}
	for at, e := range a.edges {
		p := s.parts[at.repository]
		if p == nil {
			p = newPart()
			s.parts[at.repository] = p
		}
		switch {
		case at.referrer:
			p.subjects[e.item.Subject] = struct{}{}
		case e.item.Tag == "":
			p.digests[e.item.Digest] = struct{}{}
		default:
			p.tags[e.item.Tag] = struct{}{}
		}
	}
	return s
}

// Shard keeps the repositories that Wanted.Shard keeps.
func (a *Approval) Shard(shards *Shards, index int) {
	for at := range a.edges {
		if !shards.Has(index, at.repository) {
			delete(a.edges, at)
		}
	}
}
