package plan

import (
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// ReportVersion is the version of the report's format. It grows with each incompatible
// change.
const ReportVersion = 1

// Plan is the difference between the manifests and the registries.
type Plan struct {
	Items    []Item // sorted by Compare
	UpToDate int    // number of edges that are as wanted
	Faults   []manifest.Fault
	Warnings []string
}

// Sort sorts items and warnings. Repeated warnings are dropped.
func (p *Plan) Sort() {
	slices.SortFunc(p.Items, Compare)
	slices.Sort(p.Warnings)
	p.Warnings = slices.Compact(p.Warnings)
}

// Refused reports whether anything was refused, has failed or could not be read.
// With allowMissing, missing images do not count.
func (p *Plan) Refused(allowMissing bool) bool {
	for i := range p.Items {
		switch it := &p.Items[i]; {
		case it.Action == Missing && allowMissing:
		case it.Status == Refused, it.Status == Failed:
			return true
		}
	}
	return slices.ContainsFunc(p.Faults, func(f manifest.Fault) bool { return f.Severity > manifest.Warning })
}

// Report is a plan with its outcome and its cost. It has the same structure in JSON and
// YAML.
type Report struct {
	Version   int                 `json:"version"`
	DryRun    bool                `json:"dryRun"`
	Manifests Origin              `json:"manifests"`
	Summary   Summary             `json:"summary"`
	Items     []ReportItem        `json:"promotions"`
	Faults    []ReportFault       `json:"faults"`
	Warnings  []string            `json:"warnings"`
	Estimate  map[string]Estimate `json:"estimate,omitempty"`
	Requests  map[string]int      `json:"requests"`
	Bytes     int64               `json:"bytesCopied"`
	Seconds   float64             `json:"durationSeconds"`

	AllowMissing bool `json:"allowMissing,omitempty"` // missing images are no failure
	Interrupted  bool `json:"interrupted,omitempty"`
}

// Origin identifies the manifests of a report, and the selected part of them.
type Origin struct {
	Path   string `json:"path,omitempty"`
	Digest string `json:"digest,omitempty"`      // of the names and bytes of the files
	Commit string `json:"commit,omitempty"`      // git commit of their work tree; with "-dirty" if a file differs
	Since  string `json:"since,omitempty"`       // the revision that was given
	Base   string `json:"sinceCommit,omitempty"` // the commit of that revision
	Shard  string `json:"shard,omitempty"`
}

// Summary counts edges by their action. A digest without tags is one edge. An edge that
// failed is counted under its action and in Failed.
type Summary struct {
	UpToDate int `json:"upToDate"`
	Copy     int `json:"copy"`
	Tag      int `json:"tag"`
	Move     int `json:"move"`
	Conflict int `json:"conflict"`
	Missing  int `json:"missing"`
	Invalid  int `json:"invalid"`
	Unknown  int `json:"unknown,omitempty"`
	Existing int `json:"existing,omitempty"`
	Failed   int `json:"failed"`
}

// ReportItem is a Group in a report.
type ReportItem struct {
	Kind           string   `json:"kind,omitempty"` // "referrer", "evidence", or empty for a wanted image
	What           string   `json:"what,omitempty"` // of evidence: "record", "summary", "signature" or "attestation"
	Action         string   `json:"action"`
	Status         string   `json:"status"`
	Source         string   `json:"source"`
	Destination    string   `json:"destination"`
	Digest         string   `json:"digest"`
	Tags           []string `json:"tags"`
	PreviousDigest string   `json:"previousDigest"`
	Error          string   `json:"error"`
	Retryable      bool     `json:"retryable,omitempty"` // see Item
	Subject        string   `json:"subject,omitempty"`   // the wanted digest that a referrer or the evidence about a platform belongs to
	WantedBy       []string `json:"wantedBy"`            // up to 10 positions in manifests, sorted
}

// ReportFault is a fault of a file.
type ReportFault struct {
	File    string `json:"file"`
	Line    int32  `json:"line"`
	Column  int32  `json:"column"`
	Message string `json:"message"`
}

func (f ReportFault) pos() manifest.Pos {
	return manifest.Pos{File: f.File, Line: f.Line, Column: f.Column}
}

// Report returns a report of the plan. The caller adds the cost of the run. The items
// get their positions from wanted, from which the plan was made.
func (p *Plan) Report(dryRun bool, wanted *Wanted) *Report {
	l := &locator{wanted, map[manifest.Pos]string{}}
	r := &Report{
		Version: ReportVersion, DryRun: dryRun, Requests: map[string]int{},
		Items: []ReportItem{}, Faults: []ReportFault{}, Warnings: append([]string{}, p.Warnings...),
	}
	r.Summary.UpToDate = p.UpToDate
	for i := range p.Items {
		r.Summary.count(&p.Items[i])
	}
	for g := range Groups(p.Items) {
		it := g.report()
		it.WantedBy = l.wantedBy(g)
		r.Items = append(r.Items, it)
	}
	for _, f := range p.Faults {
		if f.Severity == manifest.Warning {
			r.Warnings = append(r.Warnings, f.String())
			continue
		}
		r.Faults = append(r.Faults, ReportFault{f.Pos.File, f.Pos.Line, f.Pos.Column, f.Message})
	}
	slices.Sort(r.Warnings)
	r.Warnings = slices.Compact(r.Warnings)
	return r
}

func (it *Group) report() ReportItem {
	r := ReportItem{
		Action: it.Action.String(), Status: it.Status.String(), Source: it.SourceRef(), Destination: strings.TrimSuffix(it.Destination.String(), "/"), // an invalid name may have no path
		Digest: image.DigestString(it.Digest), Tags: it.Tags, PreviousDigest: image.DigestString(it.Previous), Error: it.Error, Retryable: it.Retryable,
	}
	if it.Kind != 0 {
		r.Kind, r.What, r.Subject = it.Kind.String(), it.What.String(), image.DigestString(it.Subject)
	}
	if r.Tags == nil {
		r.Tags = []string{}
	}
	return r
}

func (s *Summary) count(it *Item) {
	if it.Kind != 0 {
		return
	}
	if at := s.of(it.Action); at != nil {
		*at++
	}
	if it.Status == Failed {
		s.Failed++
	}
}

func (s *Summary) of(a Action) *int {
	switch a {
	case Copy:
		return &s.Copy
	case TagOnly:
		return &s.Tag
	case Move:
		return &s.Move
	case Conflict:
		return &s.Conflict
	case Missing:
		return &s.Missing
	case Invalid:
		return &s.Invalid
	case Unreadable:
		return &s.Unknown
	case Existing:
		return &s.Existing
	}
	return nil
}

// Estimate is the cost of carrying out a plan at one host.
type Estimate struct {
	Requests int     `json:"requests"`
	Bytes    int64   `json:"bytes"`             // blob bodies, read and written
	AtLeast  bool    `json:"atLeast,omitempty"` // blobs of the children of indexes, referrers or evidence are not counted
	Seconds  float64 `json:"seconds,omitempty"` // the time that the requests take; only if it was asked for
}
