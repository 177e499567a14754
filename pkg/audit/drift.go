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

// kind is a way in which a destination is not as the manifests want it.
type driftKind string

// The kinds of drift.
const (
	extraTag    driftKind = "extra tag"    // no manifest wants it
	extraDigest driftKind = "extra digest" // untagged, and belongs to nothing that is wanted
	movedTag    driftKind = "moved tag"    // points to another digest than wanted
	missingTag  driftKind = "missing"      // wanted, and not there
	lostChild   driftKind = "lost child"   // a wanted index names it, and it is gone
	unread      driftKind = "unread"       // the registry could not be read
)

// finding is one thing that is not as wanted.
type finding struct {
	Kind       driftKind `json:"kind"`
	Repository string    `json:"repository"`
	Tag        string    `json:"tag,omitempty"`
	Digest     v1.Hash   `json:"digest,omitzero"` // that is there; of what is not, that is wanted
	Wanted     v1.Hash   `json:"wanted,omitzero"` // by the manifests, of a moved tag
	Line       string    `json:"line,omitempty"`  // of the manifest
	Reason     string    `json:"reason,omitempty"`
}

// drift is what one sweep found of one destination.
type drift struct {
	Destination string    `json:"destination"`
	Swept       time.Time `json:"swept"`
	Commit      string    `json:"commit,omitempty"`
	Held        int       `json:"held"`  // edges that are there
	Count       int       `json:"count"` // of findings, those beyond what is listed too
	Findings    []finding `json:"findings"`
}

// maxFindings is how many findings of a destination are listed.
const maxFindings = 1000

// add adds a finding.
func (d *drift) add(f finding) {
	d.Count++
	if len(d.Findings) < 10*maxFindings {
		d.Findings = append(d.Findings, f)
	}
}

// finish orders the findings and keeps those that are listed.
func (d *drift) finish() {
	slices.SortFunc(d.Findings, func(a, b finding) int {
		return strings.Compare(a.Repository+"\x00"+a.Tag+"\x00"+a.Digest.String()+string(a.Kind), b.Repository+"\x00"+b.Tag+"\x00"+b.Digest.String()+string(b.Kind))
	})
	d.Findings = append([]finding{}, d.Findings[:min(len(d.Findings), maxFindings)]...) // never null
}

// news returns the findings that an older drift does not have.
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

// plain leaves out what may differ from sweep to sweep.
func (f finding) plain() finding {
	f.Line, f.Reason = "", ""
	return f
}

// PutDrift stores what a sweep found of one destination, and an alert if there is news.
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
			told := d
			told.Findings = fresh
			text := fmt.Sprintf("DRIFT: %s: %d not as the manifests want it, %d of them new: %s", d.Destination, d.Count, len(fresh), fresh[0])
			if err := s.alert(tx, event.Fingerprint{}, alert{Text: text, Drift: &told}); err != nil {
				return err
			}
		}
		return b.Put([]byte(d.Destination), raw)
	})
}

// String returns the finding in a few words.
func (f finding) String() string {
	ref := f.Repository
	if f.Tag != "" {
		ref += ":" + f.Tag
	}
	if f.Digest != (v1.Hash{}) {
		ref += "@" + f.Digest.String()
	}
	return string(f.Kind) + " " + ref
}

// Drifts returns what the last sweep found, by destination.
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

// ForgetDrift removes destinations that manifests no longer name.
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
