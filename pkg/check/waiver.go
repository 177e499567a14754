package check

import (
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Waiver accepts vulnerabilities for a time. Each of its keys that is not empty must match.
type Waiver struct {
	ID      string    // of the vulnerability
	Package string    // name of the package
	Digest  string    // of the image, or of the index that it is in
	Until   time.Time // last day, at midnight in UTC
	Reason  string
	Pos     manifest.Pos
}

// expired reports whether a waiver's last day is over.
func (w *Waiver) expired(now time.Time) bool { return !now.Before(w.Until.AddDate(0, 0, 1)) }

// matches reports whether a waiver is about a vulnerability of an image with one of the digests.
func (w *Waiver) matches(v weakness, digests ...string) bool {
	return (w.ID == "" || w.ID == v.id) && (w.Package == "" || w.Package == v.name) &&
		(w.Digest == "" || slices.Contains(digests, w.Digest))
}

// expired returns a finding for each waiver that has expired.
func (v Vulnerability) expired() []Finding {
	var found []Finding
	for i := range v.Waivers {
		if w := &v.Waivers[i]; w.expired(v.Now) {
			message := fmt.Sprintf("the waiver expired on %s: remove it, or review it again (%s)", w.Until.Format(time.DateOnly), w.Reason)
			found = append(found, Finding{Level: Error, Pos: w.Pos, Message: message})
		}
	}
	return found
}

// waiver returns a waiver for a vulnerability that has not expired, or nil.
func (v Vulnerability) waiver(of weakness, digests ...string) *Waiver {
	for i := range v.Waivers {
		if w := &v.Waivers[i]; !w.expired(v.Now) && w.matches(of, digests...) {
			return w
		}
	}
	return nil
}
