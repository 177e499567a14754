package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"go.etcd.io/bbolt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// driftKind is a kind of difference between a destination and the manifests.
type driftKind string

// The kinds of drift.
const (
	extraTag    driftKind = "extra tag"    // a tag that no manifest wants
	extraDigest driftKind = "extra digest" // an untagged digest that neither is wanted nor belongs to a wanted one
	movedTag    driftKind = "moved tag"    // a wanted tag that points to another digest
	missingTag  driftKind = "missing"      // a wanted tag or digest that is not there
	lostChild   driftKind = "lost child"   // a child of a wanted index that is not there
	unread      driftKind = "unread"       // the registry could not be read
)

// finding is one difference.
type finding struct {
	Kind       driftKind `json:"kind"`
	Repository string    `json:"repository"`
	Tag        string    `json:"tag,omitempty"`
	Digest     v1.Hash   `json:"digest,omitzero"` // the digest that is there, or the wanted one if none is
	Wanted     v1.Hash   `json:"wanted,omitzero"` // of a moved tag: the digest that the manifests want
	Line       string    `json:"line,omitempty"`  // of the manifest file that wants it
	Reason     string    `json:"reason,omitempty"`
}

// drift has the findings of a sweep about one destination.
type drift struct {
	Destination string    `json:"destination"`
	Swept       time.Time `json:"swept"`
	Commit      string    `json:"commit,omitempty"`
	Held        int       `json:"held"`  // tags that are there
	Count       int       `json:"count"` // of findings, including those that are not listed
	Findings    []finding `json:"findings"`
}

// maxFindings is the number of findings that are listed.
const maxFindings = 1000

// add adds a finding.
func (d *drift) add(f finding) {
	d.Count++
	if len(d.Findings) < 10*maxFindings {
		d.Findings = append(d.Findings, f)
	}
}

// finish sorts the findings and drops those above maxFindings.
func (d *drift) finish() {
	slices.SortFunc(d.Findings, func(a, b finding) int {
		return strings.Compare(a.Repository+"\x00"+a.Tag+"\x00"+a.Digest.String()+string(a.Kind), b.Repository+"\x00"+b.Tag+"\x00"+b.Digest.String()+string(b.Kind))
	})
	d.Findings = append([]finding{}, d.Findings[:min(len(d.Findings), maxFindings)]...) // never nil, which is null in JSON
}

// news returns the findings that old does not have.
func (d *drift) news(old *drift) []finding {
	known := map[finding]struct{}{}
	if old != nil {
		for _, f := range old.Findings {
			known[f.plain()] = struct{}{}
		}
	}
	var fresh []finding
	for _, f := range d.Findings {
		if _, ok := known[f.plain()]; !ok {
			fresh = append(fresh, f)
		}
	}
	return fresh
}

// plain returns the finding without fields that vary between sweeps.
func (f finding) plain() finding {
	f.Line, f.Reason = "", ""
	return f
}

// putDrift stores the drift of one destination.
//
// It adds an alert if there are new findings.
func (s *store) putDrift(d drift) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketDrift))
		var old *drift
		if was := b.Get([]byte(d.Destination)); was != nil {
			old = &drift{}
			if err := json.Unmarshal(was, old); err != nil {
				return fmt.Errorf("reading the last sweep: %w", err)
			}
		}
		if fresh := d.news(old); len(fresh) > 0 {
			if err := s.alert(tx, event.Fingerprint{}, driftAlert(d, fresh, s.page)); err != nil {
				return err
			}
		}
		return b.Put([]byte(d.Destination), raw)
	})
}

// String returns the kind and the reference.
func (f finding) String() string {
	return string(f.Kind) + " " + image.JoinReference(f.Repository, f.Tag, f.Digest)
}

// drifts returns the drift of all destinations, sorted by name.
func (s *store) drifts() ([]drift, error) {
	out := []drift{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketDrift)).ForEach(func(_, raw []byte) error {
			var d drift
			if err := json.Unmarshal(raw, &d); err != nil {
				return fmt.Errorf("reading the last sweep: %w", err)
			}
			out = append(out, d)
			return nil
		})
	})
	return out, err
}

// forgetDrift removes the drift of all destinations except keep.
func (s *store) forgetDrift(keep []image.Registry) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketDrift)).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if slices.ContainsFunc(keep, func(r image.Registry) bool { return r.String() == string(k) }) {
				continue
			}
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}
