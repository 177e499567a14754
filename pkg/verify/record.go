package verify

import (
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// maxNotes is the number of notes of a chain. More are counted.
const maxNotes = 10

// record is a promotion record that verifies.
type record struct {
	*attest.Record
	signer string
	uri    string
	home   Home
}

// reading is what was read in one home.
type reading struct {
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
func judgeRecords(s *Subject, found []reading, signers []check.Signer) records {
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
func (r *records) add(by []*record, signers []check.Signer, a *provenance.Attestation, home Home, digest v1.Hash) {
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
		r.notes = append(r.notes, fmt.Sprintf("record %s is no proof: its signer is %s", a.URI, a.Signer))
	}
}

// parseRecord returns the record in a verified attestation, which must be about a digest
// under the production name of its home.
func parseRecord(a *provenance.Attestation, home Home, digest v1.Hash) (*record, error) {
	if a.Statement == nil {
		return nil, errors.New("the record has no statement")
	}
	r, err := attest.ParseRecord(a.Statement)
	switch {
	case err != nil:
		return nil, err
	case r.Digest != digest:
		return nil, fmt.Errorf("the record is about %s", r.Digest)
	case r.Name != home.Name:
		return nil, fmt.Errorf("the record is for %.200q, not for %q", r.Name, home.Name)
	}
	return &record{r, a.Signer.String(), a.URI, home}, nil
}

// String says who signed the record, when, and in which job.
func (r *record) String() string {
	text := fmt.Sprintf("signed by %s at %s", r.signer, r.Time.UTC().Format(time.RFC3339))
	if r.Job.Name != "" {
		text += ", job " + r.Job.Name
	}
	if r.Job.Build != "" {
		text += ", build " + r.Job.Build
	}
	return text + ": " + r.uri
}

// homes names the repositories that were read.
func homes(found []reading) string {
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
