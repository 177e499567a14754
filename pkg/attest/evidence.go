package attest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Evidence is what is to be written about a set of subjects, and the outcome.
type Evidence struct {
	w      *Writer
	groups []*group
	more   []*group // about platforms; written after those of their indexes
}

// group is the evidence about one subject, in the order in which it is written.
type group struct {
	of     []*Subject // one; of a platform the indexes that have it
	pieces []*piece
}

// piece is one piece of evidence.
type piece struct {
	item  plan.Item
	write func(ctx context.Context, tags []string) error // nil: item has failed already
}

// Plan returns the evidence that is lacking. It reads what the subjects have already,
// unless they are absent.
func (w *Writer) Plan(ctx context.Context, subjects []Subject) *Evidence {
	e := &Evidence{w: w, groups: make([]*group, len(subjects))}
	platforms := newPlatforms(w, subjects)
	var all errgroup.Group
	all.SetLimit(inFlight)
	for i := range subjects {
		all.Go(func() error {
			e.groups[i] = w.group(ctx, &subjects[i], platforms)
			return nil
		})
	}
	_ = all.Wait() // no function returns an error
	e.more = platforms.groups(ctx)
	return e
}

// Items returns the items of all pieces.
func (e *Evidence) Items() []plan.Item {
	var items []plan.Item
	for _, g := range slices.Concat(e.groups, e.more) {
		for _, p := range g.pieces {
			items = append(items, p.item)
		}
	}
	return items
}

// Warnings returns why evidence was left out, sorted.
func (e *Evidence) Warnings() []string {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	return slices.Sorted(maps.Keys(e.w.warnings))
}

// Run writes the evidence, and records the outcome in its items. there are the subjects
// that are in their repositories by now, with the tags that they have there. step is
// called Steps times. Run returns soon after ctx has ended; what was not begun by then is
// skipped.
func (e *Evidence) Run(ctx context.Context, there []Subject, step func()) {
	promoted := map[place]*Subject{}
	for i := range there {
		promoted[there[i].place()] = &there[i]
	}
	for _, groups := range [][]*group{e.groups, e.more} {
		var all errgroup.Group
		all.SetLimit(inFlight)
		for _, g := range groups {
			all.Go(func() error {
				g.run(ctx, promoted)
				step()
				return nil
			})
		}
		_ = all.Wait() // no function returns an error
	}
}

// Steps returns how many times Run calls step.
func (e *Evidence) Steps() int { return len(e.groups) + len(e.more) }

// run writes the pieces of a group, one after the other.
func (g *group) run(ctx context.Context, promoted map[place]*Subject) {
	var tags []string
	there := false
	for _, s := range g.of {
		if p := promoted[s.place()]; p != nil {
			tags, there = p.Tags, true
		}
	}
	switch {
	case ctx.Err() != nil:
		g.skip("interrupted")
		return
	case !there:
		g.skip("not written: the image was not promoted")
		return
	}
	for _, p := range g.pieces {
		p.run(ctx, tags)
	}
}

// run writes a piece and records the outcome.
func (p *piece) run(ctx context.Context, tags []string) {
	if p.item.Status != plan.Planned {
		return
	}
	if ctx.Err() != nil {
		p.item.Status, p.item.Error = plan.Skipped, "interrupted"
		return
	}
	err := p.write(ctx, tags)
	switch why := registry.Interruption(ctx, err); {
	case err == nil:
		p.item.Status = plan.Done
	case why != "":
		p.item.Status, p.item.Error = plan.Skipped, why
	default:
		p.item.Fail(fmt.Sprintf("writing the %s: %v", p.item.What, err), nil) // up-to-date images cost no other run anything, so none would cure it
	}
}

func (g *group) skip(why string) {
	for _, p := range g.pieces {
		if p.item.Status == plan.Planned {
			p.item.Status, p.item.Error = plan.Skipped, why
		}
	}
}

// add adds a planned piece.
func (g *group) add(what plan.What, digest v1.Hash, write func(context.Context, []string) error) *piece {
	s := g.of[0]
	p := &piece{plan.Item{Action: plan.Attest, Status: plan.Planned, Kind: plan.Evidence, What: what, Destination: s.Repository, Digest: digest}, write}
	if digest != s.Digest {
		p.item.Subject = s.Digest
	}
	g.pieces = append(g.pieces, p)
	return p
}

// fail adds a piece that cannot be written, because it is not known whether it is there.
func (g *group) fail(what plan.What, digest v1.Hash, err error) {
	p := g.add(what, digest, nil)
	p.item.Fail(fmt.Sprintf("reading what is there before writing the %s: %v", what, err), nil)
}

// group plans the evidence about a subject.
func (w *Writer) group(ctx context.Context, s *Subject, platforms *platforms) *group {
	g := &group{of: []*Subject{s}}
	verdicts := w.verdicts(ctx, s)
	if s.Carries {
		w.planCarried(ctx, g, verdicts)
	}
	if !s.Attested {
		return g
	}
	if w.o.Signatures && len(s.Tags) > 0 {
		w.planSignature(ctx, g)
	}
	if w.o.Records {
		w.planRecord(ctx, g)
	}
	if w.o.Summaries {
		w.planSummary(ctx, g, w.summary(s, s.Digest, OutcomeOf(verdicts), s.Wants), v1.Descriptor{})
		platforms.add(ctx, s, verdicts)
	}
	return g
}

// planRecord plans the promotion record of a subject.
func (w *Writer) planRecord(ctx context.Context, g *group) {
	s := g.of[0]
	var said func(*Record) bool
	if !s.Absent {
		earlier, err := w.earlier(ctx, s.Repository, s.Digest, RecordType)
		if err != nil {
			g.fail(plan.PromotionRecord, s.Digest, err)
			return
		}
		said = func(r *Record) bool { return slices.ContainsFunc(earlier, r.saidBy) }
	}
	if said != nil && said(w.record(s, s.Tags)) {
		return
	}
	g.add(plan.PromotionRecord, s.Digest, func(ctx context.Context, tags []string) error {
		r := w.record(s, tags)
		if said != nil && said(r) {
			return nil // without the tags that could not be put, it is there
		}
		statement, err := r.Statement()
		if err != nil {
			return err
		}
		return w.attach(ctx, s, v1.Descriptor{}, RecordType, statement)
	})
}

// record returns the record of a subject that was promoted with tags.
func (w *Writer) record(s *Subject, tags []string) *Record {
	r := &Record{Name: s.Name, Digest: s.Digest, Tags: tags, Time: w.o.Time, Builder: w.o.Builder, Promoter: w.o.Promoter, Job: w.o.Job}
	if !s.Known && len(s.Wants) > 0 {
		r.Source, r.Manifest = s.Wants[0].Source, w.o.Origin.file(s.Wants[0].Images)
	}
	return r
}

// summary returns the summary of an outcome for an image that manifests want.
func (w *Writer) summary(s *Subject, digest v1.Hash, o Outcome, wants []Want) *Summary {
	return &Summary{
		Name: s.Name, Digest: digest, Time: w.o.Time, Verifier: w.o.Verifier, Level: w.o.Level, Outcome: o, Policy: w.o.Origin.file(policyFile(wants, o.Files)),
	}
}

// policyFile returns the manifest that wants an image, if no other one wants it or has a
// policy that was applied.
func policyFile(wants []Want, applied []string) string {
	if len(wants) == 0 {
		return ""
	}
	own := wants[0].Policies
	if slices.ContainsFunc(wants, func(w Want) bool { return w.Policies != own }) || slices.ContainsFunc(applied, func(f string) bool { return f != own }) {
		return ""
	}
	return own
}

// planSummary plans a summary in the repository of the group. of is the descriptor of its
// subject; the zero value stands for that of the group.
func (w *Writer) planSummary(ctx context.Context, g *group, v *Summary, of v1.Descriptor) {
	s := g.of[0]
	if v.Policy.URI == "" || v.Policy.Commit == "" {
		w.warn("no verification summaries: the manifests are not an unchanged commit of a git repository with an https address")
		return
	}
	if !s.Absent {
		earlier, err := w.earlier(ctx, s.Repository, v.Digest, SummaryType)
		if err != nil {
			g.fail(plan.VerificationSummary, v.Digest, err)
			return
		}
		if v.saidBy(earlier) {
			return
		}
	}
	g.add(plan.VerificationSummary, v.Digest, func(ctx context.Context, _ []string) error {
		statement, err := v.Statement()
		if err != nil {
			return err
		}
		return w.attach(ctx, s, of, SummaryType, statement)
	})
}
