package attest

import (
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// RecordType is the predicate type of promotion records.
const RecordType = "https://k8s.io/promo-tools/promotion/v1"

// Record is a promotion record: an image was promoted.
type Record struct {
	Name     string          // production name
	Digest   v1.Hash         // of the image
	Source   name.Repository // zero: not known, because it was promoted earlier
	Tags     []string        // sorted; none: the image was promoted by digest
	Manifest File            // that wants the image; zero: not known
	Time     time.Time
	Builder  string // builderId: who promotes
	Promoter Promoter
	Job      Job
}

// Promoter is the program that promotes.
type Promoter struct {
	Version string `json:"version,omitempty"`
	Commit  string `json:"gitCommit,omitempty"`
}

// Job is the job of a CI system that promotes. It is zero elsewhere.
type Job struct {
	Name  string `json:"name,omitempty"`
	Type  string `json:"type,omitempty"`
	Build string `json:"buildId,omitempty"`
	Prow  string `json:"prowJobId,omitempty"`
}

// recordPredicate is the JSON of a record. Fields are only ever added.
type recordPredicate struct {
	SourceRef   string    `json:"srcRef,omitempty"`
	Destination string    `json:"dstRef,omitempty"`
	Digest      string    `json:"digest,omitempty"`
	Timestamp   string    `json:"timestamp,omitempty"`
	Builder     string    `json:"builderId,omitempty"`
	Tags        []string  `json:"tags,omitempty"`
	Source      *resource `json:"source,omitempty"`
	Target      *resource `json:"destination,omitempty"`
	Manifest    *resource `json:"manifest,omitempty"`
	Promoter    *Promoter `json:"promoter,omitempty"`
	Job         *Job      `json:"job,omitempty"`
}

// Statement returns the in-toto statement of the record.
func (r *Record) Statement() ([]byte, error) {
	p := recordPredicate{
		Destination: r.Name, Digest: r.Digest.String(), Timestamp: r.Time.UTC().Format(time.RFC3339Nano), Builder: r.Builder, Tags: r.Tags,
		Target: &resource{Name: r.Name, Digest: digests(r.Digest)}, Manifest: r.Manifest.resource(),
	}
	if r.Source != (name.Repository{}) {
		p.SourceRef = r.Source.Digest(r.Digest.String()).String()
		p.Source = &resource{Name: r.Source.String(), Digest: digests(r.Digest)}
	}
	if r.Promoter != (Promoter{}) {
		p.Promoter = &r.Promoter
	}
	if r.Job != (Job{}) {
		p.Job = &r.Job
	}
	return newStatement(r.Name, r.Digest, RecordType, p)
}

// saidBy reports whether an earlier statement of the same signer says what the record
// says: that the image was promoted from its source, with all its tags. The time, the
// job, the commit and the version of the promoter are those of the earlier run.
func (r *Record) saidBy(s *provenance.Statement) bool {
	earlier, err := ParseRecord(s)
	return err == nil && earlier.Name == r.Name && earlier.Digest == r.Digest && (r.Source == (name.Repository{}) || earlier.Source == r.Source) &&
		!slices.ContainsFunc(r.Tags, func(tag string) bool { return !slices.Contains(earlier.Tags, tag) })
}

// isAbout reports whether a statement has one subject, of the given name and digest.
func isAbout(s *provenance.Statement, name string, digest v1.Hash) bool {
	return len(s.Subjects) == 1 && s.Subjects[0].Name == name && s.Subjects[0].Digest[digest.Algorithm] == digest.Hex
}
