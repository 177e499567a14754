package verify

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// RecordType is the predicate type of promotion records.
const RecordType = "https://k8s.io/promo-tools/promotion/v1"

// maxNotes is the number of notes of a chain. More are counted.
const maxNotes = 10

// record is the predicate of a promotion record, as far as a chain needs it. A record
// that was written later has neither source nor manifest.
type record struct {
	SourceRef   string    `json:"srcRef"`
	Destination string    `json:"dstRef"`
	Digest      string    `json:"digest"`
	Time        time.Time `json:"timestamp"`
	Source      resource  `json:"source"`
	Target      resource  `json:"destination"`
	Manifest    resource  `json:"manifest"`
	Job         struct {
		Name    string `json:"name"`
		BuildID string `json:"buildId"`
	} `json:"job"`

	from   name.Repository // Source
	signer string
	uri    string
	home   Home
}

// resource is something that a record names.
type resource struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// commit returns the commit of a manifest, or "".
func (r resource) commit() string { return r.Digest["gitCommit"] }

// evidence is what was read in one home.
type evidence struct {
	home         Home
	attestations []provenance.Attestation // promotion records
	err          error
}

// records are the records about a subject.
type records struct {
	newest   *record // that counts; nil: none
	link     Link
	notes    []string
	rejected []string // reasons of records that are by a signer who counts, and do not verify
}

// judgeRecords finds the newest valid record of each signer.
func judgeRecords(s *Subject, found []evidence, signers []Signer) records {
	var r records
	by := make([]*record, len(signers))
	var unread []error
	for _, e := range found {
		if e.err != nil {
			unread = append(unread, e.err)
			continue
		}
		for i := range e.attestations {
			r.add(by, signers, &e.attestations[i], e.home, s.Digest)
		}
	}
	var absent []string
	for i, signer := range signers {
		if by[i] == nil {
			absent = append(absent, signer.Name)
		} else if r.newest == nil || by[i].Time.After(r.newest.Time) {
			r.newest = by[i]
		}
	}
	switch {
	case len(absent) == 0:
		r.link = good(KindRecord, "%s", r.newest)
		for _, why := range r.rejected {
			r.notes = append(r.notes, "record "+why)
		}
	case len(r.rejected) > 0:
		r.link = invalid(KindRecord, "no record of %s verifies: %s", list(absent), list(r.rejected))
	case len(unread) > 0:
		r.link = missing(KindRecord, "reading the records: %v", errors.Join(unread...))
	case len(found) == 0:
		r.link = missing(KindRecord, "no destination of the manifests gets records of it")
	default:
		r.link = missing(KindRecord, "no record of %s in %s", list(absent), homes(found))
	}
	if len(absent) > 0 {
		r.newest = nil
	}
	if n := len(r.notes); n > maxNotes {
		r.notes = append(r.notes[:maxNotes], fmt.Sprintf("and %d more such notes", n-maxNotes))
	}
	return r
}

// add judges one attestation. by has the newest record of each signer.
func (r *records) add(by []*record, signers []Signer, a *provenance.Attestation, home Home, digest v1.Hash) {
	if a.State == provenance.Failed {
		r.rejected = append(r.rejected, fmt.Sprintf("%s: %s", a.URI, a.Reason))
		return
	}
	if a.State != provenance.Verified {
		r.notes = append(r.notes, fmt.Sprintf("record %s is no proof: %s", a.URI, a.Reason))
		return
	}
	counts := false
	for i, signer := range signers {
		if !signer.Matches(a.Signer) {
			continue
		}
		counts = true
		rec, err := parseRecord(a, home, digest)
		if err != nil {
			r.rejected = append(r.rejected, fmt.Sprintf("%s: %v", a.URI, err))
			return
		}
		if by[i] == nil || rec.Time.After(by[i].Time) {
			by[i] = rec
		}
	}
	if !counts {
		r.notes = append(r.notes, fmt.Sprintf("record %s is no proof: its signer is %s", a.URI, signedBy(a.Signer)))
	}
}

// parseRecord returns the record in a verified attestation, which must be about a digest
// under the production name of its home.
func parseRecord(a *provenance.Attestation, home Home, digest v1.Hash) (*record, error) {
	s := a.Statement
	switch {
	case s == nil:
		return nil, fmt.Errorf("parsing the statement: %s", a.Reason)
	case s.PredicateType != RecordType:
		return nil, fmt.Errorf("the statement is a %.80q, not a %q", s.PredicateType, RecordType)
	case len(s.Subjects) != 1:
		return nil, fmt.Errorf("the statement has %d subjects, not one", len(s.Subjects))
	case s.Subjects[0].Digest[digest.Algorithm] != digest.Hex:
		return nil, fmt.Errorf("the record is about %s:%.80s", digest.Algorithm, s.Subjects[0].Digest[digest.Algorithm])
	case s.Subjects[0].Name != home.Name:
		return nil, fmt.Errorf("the record is for %.200q, not for %q", s.Subjects[0].Name, home.Name)
	}
	rec := &record{signer: signedBy(a.Signer), uri: a.URI, home: home}
	if err := strictjson.Unmarshal(s.Predicate, rec); err != nil {
		return nil, fmt.Errorf("parsing the record: %w", err)
	}
	return rec, rec.check(home, digest)
}

// check compares the fields of a record that repeat its subject, or each other. It sets from.
func (r *record) check(home Home, digest v1.Hash) error {
	switch {
	case r.Digest != digest.String():
		return fmt.Errorf("the record's digest is %.80q", r.Digest)
	case r.Destination != home.Name:
		return fmt.Errorf("the record's dstRef is %.200q, not %q", r.Destination, home.Name)
	case r.Time.IsZero():
		return errors.New("the record has no timestamp")
	case r.Target.Name != "" && (r.Target.Name != home.Name || r.Target.Digest[digest.Algorithm] != digest.Hex):
		return fmt.Errorf("the record's destination is %.200q with digest %.80q", r.Target.Name, r.Target.Digest[digest.Algorithm])
	case r.Source.Name != "" && r.Source.Digest[digest.Algorithm] != digest.Hex:
		return fmt.Errorf("the record's source has the digest %.80q", r.Source.Digest[digest.Algorithm])
	case r.Source.Name != "" && r.SourceRef != "" && r.SourceRef != r.Source.Name+"@"+digest.String():
		return fmt.Errorf("the record has two sources: %.300q and %.200q", r.SourceRef, r.Source.Name)
	}
	if r.Source.Name == "" {
		return nil
	}
	var err error
	if r.from, err = image.ParseRepository(r.Source.Name); err != nil {
		return fmt.Errorf("parsing the record's source: %w", err)
	}
	return nil
}

// String says who signed the record, when, and in which job.
func (r *record) String() string {
	text := fmt.Sprintf("signed by %s at %s", r.signer, r.Time.UTC().Format(time.RFC3339))
	if r.Job.Name != "" {
		text += ", job " + r.Job.Name
	}
	if r.Job.BuildID != "" {
		text += ", build " + r.Job.BuildID
	}
	return text + ": " + r.uri
}

// homes names the repositories that were read.
func homes(found []evidence) string {
	var names []string
	for _, e := range found {
		names = append(names, e.home.Repository.String())
	}
	return list(names)
}

// list joins texts, each once.
func list(texts []string) string {
	const most = 5
	var kept []string
	for _, t := range texts {
		if !slices.Contains(kept, t) {
			kept = append(kept, t)
		}
	}
	text := ""
	for i, t := range kept {
		switch {
		case i == most:
			return text + fmt.Sprintf("; and %d more", len(kept)-most)
		case i > 0:
			text += "; "
		}
		text += t
	}
	return text
}
