package attest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// ParseRecord returns the record in a statement.
//
// A record says some things twice, such as its digest. It is an error if it contradicts
// itself: readers would see different records.
func ParseRecord(s *provenance.Statement) (*Record, error) {
	if s.PredicateType != RecordType {
		return nil, fmt.Errorf("the statement is a %.80q, not a %q", s.PredicateType, RecordType)
	}
	if len(s.Subjects) != 1 {
		return nil, fmt.Errorf("the statement has %d subjects, not one", len(s.Subjects))
	}
	digest, err := image.ParseDigest("sha256:" + s.Subjects[0].Digest["sha256"])
	if err != nil {
		return nil, fmt.Errorf("parsing the subject of the record: %w", err)
	}
	var p recordPredicate
	if err := strictjson.Unmarshal(s.Predicate, &p); err != nil {
		return nil, fmt.Errorf("parsing the record: %w", err)
	}
	r := &Record{Name: s.Subjects[0].Name, Digest: digest, Tags: p.Tags, Builder: p.Builder}
	if err := r.agree(&p); err != nil {
		return nil, err
	}
	if err := r.from(&p); err != nil {
		return nil, err
	}
	if r.Time, err = time.Parse(time.RFC3339, p.Timestamp); err != nil {
		return nil, fmt.Errorf("parsing the time of the record: %w", err)
	}
	if p.Manifest != nil {
		r.Manifest = File{Name: p.Manifest.Name, URI: p.Manifest.URI, Commit: p.Manifest.Digest["gitCommit"]}
	}
	if p.Promoter != nil {
		r.Promoter = *p.Promoter
	}
	if p.Job != nil {
		r.Job = *p.Job
	}
	return r, nil
}

// agree compares what a predicate says about the image with the subject.
func (r *Record) agree(p *recordPredicate) error {
	switch {
	case p.Digest != r.Digest.String():
		return fmt.Errorf("the record is about %s, and its digest is %.80q", r.Digest, p.Digest)
	case p.Destination != r.Name:
		return fmt.Errorf("the record is for %.200q, and its dstRef is %.200q", r.Name, p.Destination)
	case p.Target != nil && (p.Target.Name != r.Name || !p.Target.has(r.Digest)):
		return fmt.Errorf("the record is for %.200q, and its destination is %.200q with digest %.80q", r.Name, p.Target.Name, p.Target.Digest[r.Digest.Algorithm])
	case p.Source != nil && !p.Source.has(r.Digest):
		return fmt.Errorf("the record is about %s, and the digest of its source is %.80q", r.Digest, p.Source.Digest[r.Digest.Algorithm])
	}
	return nil
}

// has reports whether a resource has a digest.
func (r *resource) has(d v1.Hash) bool { return r.Digest[d.Algorithm] == d.Hex }

// from sets the source. Old records have it in one field only.
func (r *Record) from(p *recordPredicate) error {
	source, suffix := p.SourceRef, "@"+r.Digest.String()
	switch {
	case p.Source != nil && source != "" && source != p.Source.Name+suffix:
		return fmt.Errorf("the record has two sources: %.300q and %.200q", source, p.Source.Name)
	case p.Source != nil:
		source = p.Source.Name + suffix
	case source == "":
		return nil
	}
	name, ok := strings.CutSuffix(source, suffix)
	err := errors.New("the record names another digest of it")
	if ok {
		r.Source, err = image.ParseRepository(name)
	}
	if err != nil {
		return fmt.Errorf("parsing the source %.300q of the record: %w", source, err)
	}
	return nil
}
