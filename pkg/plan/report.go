package plan

import (
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// ReportVersion is the version of the report's form; it grows when a reader of the last form would go wrong.
const ReportVersion = 1

// Plan is everything one run found that is not as the manifests want it.
type Plan struct {
	Items    []Item // in order (Compare)
	UpToDate int    // edges that are as wanted
	Faults   []manifest.Fault
	Warnings []string
}

// Sort puts the items in their order. Repeated warnings are dropped.
func (p *Plan) Sort() {
	slices.SortFunc(p.Items, Compare)
	slices.Sort(p.Warnings)
	p.Warnings = slices.Compact(p.Warnings)
}

// Refused reports whether anything is not going to be as wanted: a refused
// entry, an unreadable repository. Missing images do not count with allowMissing.
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

// Changes reports whether carrying out the plan would write anything.
func (p *Plan) Changes() bool {
	return slices.ContainsFunc(p.Items, func(it Item) bool { return it.Writes() })
}

// Report is what a run tells: the plan, what became of it and what it cost. Its
// JSON and YAML forms are the same tree.
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
}

// Origin says which manifests a report is about, and what part of them.
type Origin struct {
	Path   string `json:"path,omitempty"`
	Digest string `json:"digest,omitempty"`      // of the files' names and bytes
	Commit string `json:"commit,omitempty"`      // git commit of the work tree they are in; "-dirty" when it differs
	Since  string `json:"since,omitempty"`       // revision, as given
	Base   string `json:"sinceCommit,omitempty"` // the commit that it named
	Shard  string `json:"shard,omitempty"`
}

// Summary counts edges: (destination repository, digest, tag), a tagless digest being one.
// An edge is counted under its action whatever became of it; Failed counts again those that failed.
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

// ReportItem is an Item as reports show it.
type ReportItem struct {
	Kind           string   `json:"kind,omitempty"` // "referrer", or empty for a wanted image
	Action         string   `json:"action"`
	Status         string   `json:"status"`
	Source         string   `json:"source"`
	Destination    string   `json:"destination"`
	Digest         string   `json:"digest"`
	Tags           []string `json:"tags"`
	PreviousDigest string   `json:"previousDigest"`
	Error          string   `json:"error"`
	Subject        string   `json:"subject,omitempty"` // of a referrer: the wanted digest that it belongs to
}

// referrerKind is the kind of items that are referrers.
const referrerKind = "referrer"

// ReportFault is a fault of a file.
type ReportFault struct {
	File    string `json:"file"`
	Line    int32  `json:"line"`
	Column  int32  `json:"column"`
	Message string `json:"message"`
}

// Report returns the plan, carried out or not, as a report. The caller adds what the run cost.
func (p *Plan) Report(dryRun bool) *Report {
	r := &Report{
		Version: ReportVersion, DryRun: dryRun, Requests: map[string]int{},
		Items: make([]ReportItem, len(p.Items)), Faults: []ReportFault{}, Warnings: append([]string{}, p.Warnings...),
	}
	r.Summary.UpToDate = p.UpToDate
	for i := range p.Items {
		it := &p.Items[i]
		r.Summary.count(it)
		r.Items[i] = it.report()
	}
	for _, f := range p.Faults {
		if f.Severity == manifest.Warning {
			r.Warnings = append(r.Warnings, f.String())
			continue
		}
		r.Faults = append(r.Faults, ReportFault{f.Pos.File, f.Pos.Line, f.Pos.Column, f.Message})
	}
	return r
}

func (it *Item) report() ReportItem {
	r := ReportItem{
		Action: it.Action.String(), Status: it.Status.String(), Source: it.SourceRef(), Destination: strings.TrimSuffix(it.Destination.String(), "/"), // a bad name may lack a path
		Digest: image.DigestString(it.Digest), Tags: it.Tags, PreviousDigest: image.DigestString(it.Previous), Error: it.Error,
	}
	if it.Referrer {
		r.Kind, r.Subject = referrerKind, image.DigestString(it.Subject)
	}
	if r.Tags == nil {
		r.Tags = []string{}
	}
	return r
}

func (s *Summary) count(it *Item) {
	if it.Referrer {
		return
	}
	n := it.Edges()
	if at := s.of(it.Action); at != nil {
		*at += n
	}
	if it.Status == Failed {
		s.Failed += n
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

// Estimate is what carrying out a plan would ask of one host.
type Estimate struct {
	Requests int   `json:"requests"`
	Bytes    int64 `json:"bytes"`             // blob bodies, read and written
	AtLeast  bool  `json:"atLeast,omitempty"` // indexes are among it whose children's blobs are not counted
}
