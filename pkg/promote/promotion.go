// Package promote plans the promotion of a set of manifests and carries it out.
//
//	Job ─ New ─▶ Promotion ─ Plan ─▶ plan: what has to be done, and what is refused
//	plan ─ Run ─▶ the same plan with the outcome of each item
//
// Plan reads the destination repositories, and asks the sources for what they do not
// have. Run writes in an order that never leaves an image half visible: blobs, then
// children by digest, then the manifest, and tags last. What several items need is
// read and written once. An item that fails stops no other item.
//
// This package decides about order, sharing and concurrency. Package plan decides what
// to do, package transfer moves blobs, and package registry sends the requests.
package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Job describes a promotion.
type Job struct {
	Set       *manifest.Set // the manifests; must not be broken
	Selection Selection     // the part to promote

	Referrers    bool // also promote signatures, attestations and other referrers, unless a manifest says otherwise
	Deep         bool // verify the content of digests that are up to date, and repair it
	AllowMissing bool // do not count missing images as refused
	FailFast     bool // write nothing if anything is refused or unreadable

	Estimate *Estimate // of a dry run; nil: an estimate without what is below indexes

	// IfExists says, for each repository of a native file, what happens to a
	// tag that points to another digest. Without it such a tag is a conflict.
	IfExists func(name.Repository) plan.IfExists

	// Rules check the images to be promoted. A finding refuses its image.
	// The rules read registries with Reader; New connects it.
	Rules  []check.Rule
	Reader *RuleReader

	// Evidence is judged by the policies of the manifests, with no need of a rule. It is
	// read only of images that a policy binds. nil: there is none that is trusted.
	Evidence check.Evidence
	// Unjudged leaves out the rules and policies. The caller applies them with Check, and
	// the plan cannot be carried out.
	Unjudged bool

	Registry registry.Options // of the client; New sets its Sites
	Progress Progress         // nil: none is shown

	// Warnings are the first warnings of the report. The functions are called as soon as
	// something is known. All may be nil. Faults gets those of the selection, and the
	// number of the others.
	Warnings []string
	Warn     func(string)
	Faults   func(faults []manifest.Fault, elsewhere int)
	Note     func(check.Finding) // for findings that refuse nothing
}

// Progress shows the progress of a phase. *output.Progress implements it.
type Progress interface {
	Start(phase string, steps int)
	Step()
	Finish()
}

// Promotion plans a job and carries it out, once.
type Promotion struct {
	job     Job
	client  *registry.Client
	sources *sources
	began   time.Time
	wanted  *plan.Wanted
	faults  []manifest.Fault       // of all manifests
	running atomic.Pointer[engine] // of Run; nil before it writes

	mu       sync.Mutex
	warnings []string
	unsent   map[string]int // requests of reads that were left out, by host
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
	sites := registry.EntriesOf(job.Set)
	job.Registry.Sites = sites
	p.warn(append(slices.Clone(job.Warnings), sites.Warnings...)...)
	var err error
	if p.client, err = registry.New(job.Registry); err != nil {
		return nil, err
	}
	p.sources = newSources(p.client, func(text string) { p.warn(text) })
	if job.Reader != nil {
		job.Reader.Source, job.Reader.client, job.Reader.sources = evidence.Direct(p.client), p.client, p.sources
	}
	return p, nil
}

// Client returns the client of the promotion.
func (p *Promotion) Client() *registry.Client { return p.client }

// Close closes connections and removes temporary files.
func (p *Promotion) Close() error {
	p.client.Close()
	return p.sources.close()
}

// Plan reads the registries and returns the plan.
// Reads that fail are items of the plan with the action plan.Unreadable. After
// ctx has ended, all reads fail.
func (p *Promotion) Plan(ctx context.Context) *plan.Plan {
	wanted, faults, all := p.job.Wanted(func(tags []plan.SourceTag) map[plan.SourceTag]plan.Resolution {
		return p.sources.resolveTags(ctx, tags)
	})
	p.wanted, p.faults, faults = wanted, all, slices.Concat(faults, wanted.Faults)
	manifest.SortFaults(faults)
	if p.job.Faults != nil {
		p.job.Faults(OfSelection(faults, all))
	}
	if p.job.IfExists != nil {
		wanted.SetIfExists(p.job.IfExists)
	}
	result := p.survey(ctx, wanted, p.phase("reading repositories", len(wanted.Targets)))
	if p.job.Deep {
		surveyDeep(ctx, p.client, p.sources, wanted, result, p.phase("looking into repositories", len(wanted.Targets)))
	}
	if targets := p.job.Selection.referrers(wanted.Targets, p.job.Referrers); len(targets) > 0 {
		surveyReferrers(ctx, p.client, p.sources, targets, result, p.phase("reading referrers", len(targets)))
	}
	p.job.Progress.Finish()
	if approval := p.job.Selection.Approval; approval != nil {
		approval.Hold(result, wanted)
	}
	result.Faults = append(result.Faults, faults...)
	p.judge(ctx, result)
	if p.job.Estimate != nil {
		p.readBelow(ctx, result)
	}
	return result
}

// Outside returns the number of wanted edges outside the selection.
func (p *Promotion) Outside() int { return p.wanted.Outside }

// AllFaults returns the faults of all manifests, with no regard to the job's
// selection. Plan must have returned.
func (p *Promotion) AllFaults() []manifest.Fault { return p.faults }

// phase begins the next phase of the progress, and returns a function to call after each
// step.
func (p *Promotion) phase(name string, steps int) (step func()) {
	p.job.Progress.Finish()
	p.job.Progress.Start(name, steps)
	return p.job.Progress.Step
}

// judge applies the rules of the job to a plan, and refuses the images they object to.
func (p *Promotion) judge(ctx context.Context, result *plan.Plan) {
	rules := p.rules()
	if len(rules) == 0 || p.job.Unjudged {
		return
	}
	findings := p.Check(ctx, rules, nil, nil, result)
	if ctx.Err() != nil {
		return // interrupted rules have false findings
	}
	for _, f := range findings {
		refuses := f.Level > check.Note && f.Image.Digest != (v1.Hash{})
		switch {
		case f.Warning:
			p.warn(fmt.Sprintf("%s: %s: %s", f.Pos, f.Rule, f.Message))
		case !refuses && p.job.Note != nil:
			p.job.Note(f)
		}
	}
	check.Refuse(result, findings)
}

// rules returns the rules of the job and, if the manifests have a policy, the one that
// enforces it. No selection and no flag leaves that one out.
func (p *Promotion) rules() []check.Rule {
	if !p.job.Set.Policies().Any() {
		return p.job.Rules
	}
	evidence := p.job.Evidence
	if evidence == nil {
		evidence = noEvidence{}
	}
	return append(slices.Clone(p.job.Rules), check.Provenance{Evidence: evidence})
}

// Check returns the findings of rules about a plan. faults are those of the manifests,
// base is what they wanted earlier, or nil.
func (p *Promotion) Check(ctx context.Context, rules []check.Rule, faults []manifest.Fault, base *plan.Wanted, result *plan.Plan) []check.Finding {
	if p.job.Reader != nil {
		p.job.Reader.wanted = p.wanted
	}
	in := check.NewInput(p.job.Set, faults, p.wanted, result)
	in.Base = base
	return check.Run(ctx, rules, in)
}

// Run carries out a plan and records in it the outcome of each item. It returns
// soon after ctx has ended; what was not begun by then is skipped.
func (p *Promotion) Run(ctx context.Context, result *plan.Plan) {
	switch {
	case ctx.Err() != nil:
		skip(result, "interrupted")
	case p.job.FailFast && result.Refused(p.job.AllowMissing):
		skip(result, "not tried: something is refused (--fail-fast)")
	case p.job.Unjudged:
		skip(result, "not tried: the plan was not checked")
	default:
		p.carryOut(ctx, result, p.phase("promoting", countUnits(result)))
		p.job.Progress.Finish()
	}
}

// Report returns the report of a plan with its cost. It adds the warnings so far to
// those of the plan. The report of a dry run has an estimate of the cost of Run.
func (p *Promotion) Report(result *plan.Plan, dryRun bool) *plan.Report {
	p.mu.Lock()
	result.Warnings = append(slices.Clone(p.warnings), result.Warnings...)
	p.mu.Unlock()
	result.Sort()
	r := result.Report(dryRun, p.wanted)
	if dryRun {
		r.Estimate = p.estimate(result)
	}
	r.Requests, r.Bytes = p.client.Requests(), p.client.BytesCopied()
	r.Seconds = time.Since(p.began).Seconds()
	return r
}

// warn reports warnings and keeps them for the report.
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

// silent is a Progress that shows nothing.
type silent struct{}

func (silent) Start(string, int) {}
func (silent) Step()             {}
func (silent) Finish()           {}
