package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Approval is what an earlier dry run planned, to be carried out as it was shown.
type Approval struct {
	Origin    Origin // the manifests that it was made from
	Refused   int    // edges that were refused or could not be read then: they are not approved
	Referrers bool   // referrers are among it
	edges     map[spot]*approved
}

// spot is what one edge or referrer sets: a tag, or a digest without one.
type spot struct {
	repository name.Repository
	reference  string // tag or digest
	referrer   bool
}

// approved is one approved edge.
type approved struct {
	item Item // that it was in; its tags are not to be used
	tag  string
	met  bool // the plan made now has it, too
}

// Approve returns what a dry run's report planned to do. It returns an error if the
// report is none, or not one that can be carried out.
func (r *Report) Approve() (*Approval, error) {
	switch {
	case r.Version == 0:
		return nil, errors.New("it has no version: it is no report of cip run")
	case r.Version != ReportVersion:
		return nil, fmt.Errorf("it has the unknown version %d: want %d", r.Version, ReportVersion)
	case !r.DryRun:
		return nil, errors.New("it is the report of a real run: want one of a dry run")
	case r.Items == nil:
		return nil, errors.New("it has no promotions: it is no report of cip run")
	}
	a := &Approval{Origin: r.Manifests, edges: map[spot]*approved{}}
	for i := range r.Items {
		if err := a.add(&r.Items[i]); err != nil {
			return nil, fmt.Errorf("promotions[%d]: %w", i, err)
		}
	}
	return a, nil
}

// add approves an item that was planned.
func (a *Approval) add(r *ReportItem) error {
	it, err := r.item()
	if err != nil {
		return err
	}
	if it.Status != Planned {
		if !it.Referrer {
			a.Refused += it.Edges()
		}
		return nil
	}
	if it.Action > Move {
		return fmt.Errorf("%s cannot be planned", it.Action)
	}
	if err := it.check(); err != nil {
		return err
	}
	tags := it.Tags
	if len(tags) == 0 {
		tags = []string{""}
	}
	for _, tag := range tags {
		at := spot{it.Destination, tag, it.Referrer}
		if tag == "" {
			at.reference = it.Digest.String()
		}
		if a.edges[at] != nil {
			return fmt.Errorf("%s is planned twice", at)
		}
		a.edges[at] = &approved{item: it, tag: tag}
	}
	a.Referrers = a.Referrers || it.Referrer
	return nil
}

// String returns the reference that the spot is.
func (s spot) String() string {
	if image.CheckTag(s.reference) == nil {
		return s.repository.Tag(s.reference).String()
	}
	return s.repository.Digest(image.Hash(s.reference).String()).String()
}

// item reads an item back. Names are not looked into.
func (r *ReportItem) item() (Item, error) {
	action, status := slices.Index(actions[1:], r.Action)+1, slices.Index(statuses[1:], r.Status)+1
	switch {
	case action == 0:
		return Item{}, fmt.Errorf("unknown action %.100q", r.Action)
	case status == 0:
		return Item{}, fmt.Errorf("unknown status %.100q", r.Status)
	case r.Kind != "" && r.Kind != referrerKind:
		return Item{}, fmt.Errorf("unknown kind %.100q", r.Kind)
	}
	it := Item{
		Action: Action(action), Status: Status(status), Digest: image.Hash(r.Digest), Tags: r.Tags, Previous: image.Hash(r.PreviousDigest),
		Source: r.Source, Referrer: r.Kind == referrerKind, Subject: image.Hash(r.Subject),
	}
	if it.Status != Planned {
		return it, nil
	}
	var err error
	it.Destination, err = image.ParseRepository(r.Destination)
	return it, err
}

// check returns what is wrong with the names of an item that is to be carried out.
func (it *Item) check() error {
	for _, d := range []v1.Hash{it.Digest, it.Previous, it.Subject} {
		if _, err := image.ParseDigest(d.String()); err != nil && (d != (v1.Hash{}) || it.Digest == (v1.Hash{})) {
			return err
		}
	}
	for _, t := range it.Tags {
		if err := image.CheckTag(t); err != nil {
			return err
		}
	}
	switch {
	case it.Referrer && it.Subject == (v1.Hash{}):
		return errors.New("a referrer without subject")
	case it.Action == Move && (it.Previous == (v1.Hash{}) || len(it.Tags) == 0):
		return errors.New("a move without tags or previousDigest")
	}
	return nil
}

// Selection returns the part of what is wanted that has to be looked at.
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
		case e.tag == "":
			p.digests[e.item.Digest] = struct{}{}
		default:
			p.tags[e.tag] = struct{}{}
		}
	}
	return s
}

// Shard keeps the part of what is approved that Wanted.Shard keeps of what is wanted.
func (a *Approval) Shard(index, count int) {
	for at := range a.edges {
		if shardOf(at.repository, count) != index {
			delete(a.edges, at)
		}
	}
}

// Edges returns how many edges are approved, referrers not counted.
func (a *Approval) Edges() int {
	n := 0
	for at := range a.edges {
		if !at.referrer {
			n++
		}
	}
	return n
}
