package promote

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Job says what to promote and how.
type Job struct {
	Set       *manifest.Set // what is wanted; it must not be broken
	Selection Selection     // the part of it that is promoted

	Referrers    bool // promote signatures, attestations and other referrers, too
	Deep         bool // look into what is up to date, and copy again what is lost
	AllowMissing bool // a missing image is not refused
	FailFast     bool // write nothing if anything is refused or unreadable

	// IfExists says, for each repository of a native file, what happens to a
	// tag that points to another digest. Without it such a tag is a conflict.
	IfExists func(name.Repository) plan.IfExists

	// Rules judge what is about to be promoted. A finding refuses that image.
	// Reader is what the rules read registries with; New connects it.
	Rules  []check.Rule
	Reader *RuleReader

	Registry registry.Options // of the client; New sets its Sites
	Progress Progress         // nil: none is shown

	// What the report is to say from the start, and who hears what as soon as it is known. All may be nil.
	Warnings []string
	Warn     func(string)
	Fault    func(manifest.Fault)
	Note     func(check.Finding) // notes of rules, which refuse nothing
}

// Progress shows how far a phase is. *output.Progress implements it.
type Progress interface {
	Start(phase string, steps int)
	Step()
	Finish()
}

// Promotion plans a job and carries it out. One promotion makes one plan.
type Promotion struct {
	job     Job
	client  *registry.Client
	sources *Sources
	began   time.Time
	wanted  *plan.Wanted
	faults  []manifest.Fault // of all manifests

	mu       sync.Mutex
	warnings []string
}

// New returns a promotion, which the caller must Close. It sends no request yet.
func New(job Job) (*Promotion, error) {
	if job.Set.Broken() {
		return nil, errors.New("a manifest file is broken")
	}
	if job.Progress == nil {
		job.Progress = silent{}
	}
	p := &Promotion{job: job, began: time.Now()}
	sites := plan.SitesOf(job.Set)
	job.Registry.Sites = sites
	p.warn(append(slices.Clone(job.Warnings), sites.Warnings...)...)
	var err error
	if p.client, err = registry.New(job.Registry); err != nil {
		return nil, err
	}
	p.sources = NewSources(p.client, func(text string) { p.warn(text) })
	return p, nil
}

// Close closes connections and removes temporary files.
func (p *Promotion) Close() error {
	p.client.Close()
	return p.sources.Close()
}

// Plan reads the registries and returns what has to be done, and what is refused.
// Reads that fail are items of the plan with the action plan.Unreadable. After
// ctx has ended, all reads fail.
func (p *Promotion) Plan(ctx context.Context) *plan.Plan {
	wanted, faults, all := p.job.Wanted(func(tags []plan.SourceTag) map[plan.SourceTag]plan.Resolution {
		return ResolveTags(ctx, p.sources, tags)
	})
	p.wanted, p.faults, faults = wanted, all, append(faults, wanted.Faults...)
	for _, f := range faults {
		if p.job.Fault != nil {
			p.job.Fault(f)
		}
	}
	if p.job.IfExists != nil {
		wanted.SetIfExists(p.job.IfExists)
	}
	result := Survey(ctx, p.client, p.sources, wanted, p.phase("reading repositories", len(wanted.Targets)))
	if p.job.Deep {
		SurveyDeep(ctx, p.client, p.sources, wanted, result, p.phase("looking into repositories", len(wanted.Targets)))
	}
	if p.job.Selection.referrers(p.job.Referrers) {
		SurveyReferrers(ctx, p.client, p.sources, wanted, result, p.phase("reading referrers", len(wanted.Targets)))
	}
	p.job.Progress.Finish()
	if approval := p.job.Selection.Approval; approval != nil {
		approval.Hold(result, wanted)
	}
	result.Faults = append(result.Faults, faults...)
	p.judge(ctx, result)
	return result
}

// Outside returns how many edges are wanted but left out by the job's selection.
func (p *Promotion) Outside() int { return p.wanted.Outside }

// AllFaults returns the faults of all manifests, with no regard to the job's
// selection. Plan must have returned.
func (p *Promotion) AllFaults() []manifest.Fault { return p.faults }

// phase begins the next phase of the progress, and returns what is called after each of its steps.
func (p *Promotion) phase(name string, steps int) (step func()) {
	p.job.Progress.Finish()
	p.job.Progress.Start(name, steps)
	return p.job.Progress.Step
}

// judge applies the job's rules to what the plan would write, and refuses what they find.
func (p *Promotion) judge(ctx context.Context, result *plan.Plan) {
	if len(p.job.Rules) == 0 {
		return
	}
	findings := p.Check(ctx, p.job.Rules, nil, result)
	if ctx.Err() != nil {
		return // rules that were interrupted find too much
	}
	for _, f := range findings {
		if f.Level == check.Note && p.job.Note != nil {
			p.job.Note(f)
		}
	}
	check.Refuse(result, findings)
}

// Check returns what rules find about a plan. faults are those of the manifests.
func (p *Promotion) Check(ctx context.Context, rules []check.Rule, faults []manifest.Fault, result *plan.Plan) []check.Finding {
	if p.job.Reader != nil {
		p.job.Reader.client, p.job.Reader.sources, p.job.Reader.wanted = p.client, p.sources, p.wanted
	}
	return check.Run(ctx, rules, check.NewInput(p.job.Set, faults, p.wanted, result))
}

// Run carries out a plan and records in it the outcome of each item. It returns
// soon after ctx has ended; what was not begun by then is skipped.
func (p *Promotion) Run(ctx context.Context, result *plan.Plan) {
	switch {
	case ctx.Err() != nil:
		Skip(result, "interrupted")
	case p.job.FailFast && result.Refused(p.job.AllowMissing):
		Skip(result, "not tried: something is refused (--fail-fast)")
	default:
		Run(ctx, p.client, p.sources, result, p.phase("promoting", Units(result)))
		p.job.Progress.Finish()
	}
}

// Report returns the report of a plan, carried out or not, with what it cost. It adds
// the warnings so far to those of the plan. The report of a dry run has an estimate
// of what Run would cost.
func (p *Promotion) Report(result *plan.Plan, dryRun bool) *plan.Report {
	p.mu.Lock()
	result.Warnings = append(slices.Clone(p.warnings), result.Warnings...)
	p.mu.Unlock()
	result.Sort()
	r := result.Report(dryRun)
	if dryRun {
		r.Estimate = p.estimate(result)
	}
	r.Requests, r.Bytes = p.client.Requests(), p.client.BytesCopied()
	r.Seconds = time.Since(p.began).Seconds()
	return r
}

// estimate returns what a real run would ask of each host: what has been read, and the writes.
func (p *Promotion) estimate(result *plan.Plan) map[string]plan.Estimate {
	all := result.EstimateWrites(func(d v1.Hash) plan.Weight {
		content := p.sources.Content(d.String())
		if content == nil {
			return plan.Weight{}
		}
		w := plan.Weight{Children: len(content.Children)}
		for _, b := range content.Blobs {
			w.Blobs = append(w.Blobs, plan.BlobWeight{Digest: b.Digest, Size: b.Size})
		}
		return w
	})
	for host, n := range p.client.Requests() {
		e := all[host]
		e.Requests += n
		all[host] = e
	}
	return all
}

// warn passes warnings on and keeps them for the report.
func (p *Promotion) warn(texts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range texts {
		if p.job.Warn != nil {
			p.job.Warn(t)
		}
		p.warnings = append(p.warnings, t)
	}
}

// silent shows no progress.
type silent struct{}

func (silent) Start(string, int) {}
func (silent) Step()             {}
func (silent) Finish()           {}
