package promote_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// What the mix runs, unless the variable names other seeds, FIRST-LAST.
const (
	mixVariable = "CIP_TEST_MIX"
	mixSeeds    = 300
	mixAtOnce   = 16              // most of the time they wait
	mixLimit    = 2 * time.Minute // for one promotion
)

// TestMix promotes random images between registries that behave oddly in random ways, and
// compares what the registries hold before and after, read from their stores. Whatever the
// registries do: no tag moves that may not, nothing is written that the manifests do not
// want, every item that is done is true, success means that all is as wanted, and every
// run ends.
func TestMix(t *testing.T) {
	t.Parallel()
	first, last := 1, mixSeeds
	if v := os.Getenv(mixVariable); v != "" {
		if _, err := fmt.Sscanf(v, "%d-%d", &first, &last); err != nil {
			t.Fatalf("%s=%s: want FIRST-LAST: %v", mixVariable, v, err)
		}
	} else if testing.Short() {
		last = mixSeeds / 5
	}
	var tally mixTally
	seeds := make(chan int)
	var workers sync.WaitGroup
	for range mixAtOnce {
		workers.Go(func() {
			for seed := range seeds {
				t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { tally.add(runMix(t, uint64(seed))) })
			}
		})
	}
	for seed := first; seed <= last; seed++ {
		seeds <- seed
	}
	close(seeds)
	workers.Wait()
	tally.judge(t)
}

// mixTally says whether the mix tried what it is meant to try.
type mixTally struct {
	mu                sync.Mutex
	runs, successes   int
	done, upToDate    int
	chosen, requested map[string]int // by behavior: promotions that had it, and in which it met a request
}

func (y *mixTally) add(m *mix) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.chosen == nil {
		y.chosen, y.requested = map[string]int{}, map[string]int{}
	}
	y.runs++
	if m.success {
		y.successes++
	}
	y.upToDate += m.plan.UpToDate
	for i := range m.plan.Items {
		if m.plan.Items[i].Status == plan.Done {
			y.done++
		}
	}
	for _, o := range m.oddities {
		y.chosen[o.name]++
		if slices.ContainsFunc(o.injections, func(i *registrytest.Injection) bool { return i.Hits() > 0 }) {
			y.requested[o.name]++
		}
	}
}

// judge fails if a full mix left a behavior out, or never came to a success.
func (y *mixTally) judge(t *testing.T) {
	t.Helper()
	t.Logf("%d promotions, %d of them with success; %d items done, %d edges up to date", y.runs, y.successes, y.done, y.upToDate)
	if y.runs < mixSeeds {
		return
	}
	for _, b := range behaviors() {
		t.Logf("%-40s chosen %3d, met a request %3d", b.name, y.chosen[b.name], y.requested[b.name])
		if y.requested[b.name] == 0 {
			t.Errorf("%s: got no request, chosen %d times, want some", b.name, y.chosen[b.name])
		}
	}
	if y.successes < y.runs/10 || y.successes == y.runs {
		t.Errorf("got %d of %d promotions with success, want a tenth of them or more, not all", y.successes, y.runs)
	}
}

// mix is one promotion between registries that behave oddly.
type mix struct {
	t    *testing.T
	seed uint64
	rnd  *rand.Rand

	hosts     []*registrytest.Server // that the manifests name
	decoys    []*registrytest.Server // that only answers name
	manifests []string
	sources   []mixRepo
	targets   []*mixTarget
	deep      bool
	referrers bool
	interrupt func() // ends the promotion early

	oddities []oddity
	notes    []string
	groups   map[string]bool  // of behaviors that were chosen
	unlisted map[mixRepo]bool // source repositories whose referrers cannot be found

	mu      sync.Mutex
	excused map[excuse]bool // changes that could not be avoided: see rival

	plan    *plan.Plan
	success bool
}

// mixRepo is a repository of a host.
type mixRepo struct {
	host int
	name string
}

// mixTarget is a destination repository and what the manifests want of it.
type mixTarget struct {
	mixRepo
	from    mixRepo
	mutable bool // latest may move
	wants   []mixWant
}

// mixWant is an object that is wanted under tags, or without.
type mixWant struct {
	registrytest.Object
	tags      []string
	referrers []registrytest.Object // at the source
	broken    bool                  // is not to be promoted: it can be read in two ways
	before    []string              // what its repository lacked of it before
}

// runMix makes a promotion from a seed, runs it and compares.
func runMix(t *testing.T, seed uint64) *mix {
	m := &mix{
		t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 77)), excused: map[excuse]bool{},
		groups: map[string]bool{}, unlisted: map[mixRepo]bool{},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.interrupt = cancel
	m.build()
	m.disturb()
	before := m.look()
	watchdog := time.AfterFunc(mixLimit, cancel) // no deadline: what sees one may give up before it
	m.plan = rig{plains: m.manifests, deep: m.deep, referrers: m.referrers}.within(ctx, t)
	if !watchdog.Stop() {
		t.Errorf("got no end of the promotion, want one within %v", mixLimit)
	}
	skipped := slices.ContainsFunc(m.plan.Items, func(it plan.Item) bool { return it.Status == plan.Skipped })
	m.success = ctx.Err() == nil && !skipped && !m.plan.Refused(false)
	m.compare(before)
	if t.Failed() {
		m.describe()
	}
	for _, s := range append(m.hosts, m.decoys...) {
		s.Close()
	}
	return m
}

// describe logs what the promotion was, for a failure.
func (m *mix) describe() {
	m.t.Logf("to repeat: %s=%d-%d go test ./pkg/promote -run TestMix", mixVariable, m.seed, m.seed)
	m.t.Logf("deep: %v, referrers: %v\n%s", m.deep, m.referrers, strings.Join(m.notes, "\n"))
	m.t.Logf("manifests:\n%s", strings.Join(m.manifests, "---\n"))
	for i := range m.plan.Items {
		it := &m.plan.Items[i]
		m.t.Logf("%s %s %s@%s %v: %s", it.Action, it.Status, it.Destination, it.Digest, it.Tag, it.Error)
	}
	m.t.Logf("up to date: %d, warnings: %q", m.plan.UpToDate, m.plan.Warnings)
	for _, s := range append(m.hosts, m.decoys...) {
		m.t.Log(s.Summary())
	}
}

func (m *mix) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

// one reports true in one of n cases.
func (m *mix) one(n int) bool { return m.rnd.IntN(n) == 0 }

// build makes registries, their content and manifests.
func (m *mix) build() {
	for i := range min(3, 1+m.rnd.IntN(5)) {
		var opts []registrytest.Option
		for _, f := range []struct {
			name string
			opts []registrytest.Option
		}{
			{"no referrers API", []registrytest.Option{registrytest.NoReferrers()}},
			{"distribution", []registrytest.Option{registrytest.Distribution()}},
			{"Google's listing", []registrytest.Option{registrytest.GoogleListing()}},
			{"one tag a PUT", []registrytest.Option{registrytest.NoMultiTag()}},
			{"short pages", []registrytest.Option{registrytest.PageSize(2)}},
			{"mounts as ECR", []registrytest.Option{registrytest.CommittedMounts()}},
			{"403 where nothing is", []registrytest.Option{registrytest.AbsentStatus(403)}},
		} {
			if m.one(6) {
				opts = append(opts, f.opts...)
				m.note("host %d: %s", i, f.name)
			}
		}
		m.hosts = append(m.hosts, registrytest.New(m.t, opts...))
	}
	m.deep, m.referrers = m.one(4), m.one(4)
	for k := range 1 + m.rnd.IntN(2) {
		m.manifest(k)
	}
}

// manifest makes the kth manifest: a source, perhaps a mirror, and destinations.
func (m *mix) manifest(k int) {
	source := m.rnd.IntN(len(m.hosts))
	prefix := fmt.Sprintf("staging%d", k)
	var b strings.Builder
	fmt.Fprintf(&b, "registries:\n- name: %s/%s\n  src: true\n", m.hosts[source].Host, prefix)
	mirror := -1
	if m.one(4) {
		mirror = m.rnd.IntN(len(m.hosts))
		fmt.Fprintf(&b, "  mirrors: [%s/mirror%d]\n", m.hosts[mirror].Host, k)
	}
	type destination struct {
		host    int
		prefix  string
		mutable bool
	}
	var dests []destination
	for j := range 1 + m.rnd.IntN(3) {
		host := m.rnd.IntN(len(m.hosts))
		if host == source { // two of three copies go between hosts, where there are several
			host = m.rnd.IntN(len(m.hosts))
		}
		d := destination{host, fmt.Sprintf("prod%d-%d", k, j), m.one(2)}
		dests = append(dests, d)
		fmt.Fprintf(&b, "- name: %s/%s\n  absent-status: [403]\n", m.hosts[d.host].Host, d.prefix)
		if d.mutable {
			b.WriteString("  mutable-tags: [latest]\n")
		}
	}
	b.WriteString("images:\n")
	for i := range 1 + m.rnd.IntN(3) {
		name := fmt.Sprintf("app%d", i)
		from := mixRepo{source, prefix + "/" + name}
		m.sources = append(m.sources, from)
		wants := m.image(&b, name, from)
		if mirror >= 0 && !m.one(3) {
			for _, w := range wants {
				m.hosts[mirror].Push(m.t, fmt.Sprintf("mirror%d/%s", k, name), w.Object)
			}
		}
		for _, d := range dests {
			m.target(&mixTarget{mixRepo{d.host, d.prefix + "/" + name}, from, d.mutable, slices.Clone(wants)})
		}
	}
	m.manifests = append(m.manifests, b.String())
}

// image writes an entry of a manifest and pushes what it wants to the source.
func (m *mix) image(b *strings.Builder, name string, from mixRepo) []mixWant {
	src := m.hosts[from.host]
	var wants []mixWant
	fmt.Fprintf(b, "- name: %s\n  dmap:\n", name)
	n := 1 + m.rnd.IntN(2)
	for j := range n {
		w := mixWant{Object: m.object()}
		if m.one(60) {
			key := "Layers"
			if len(w.Children) > 0 {
				key = "Manifests"
			}
			w.Object, w.broken = registrytest.Shadow(w.Object, key), true
			m.note("%s in %s: a repeated key", w.Digest, from.name)
		}
		for _, tag := range []string{fmt.Sprintf("v%d", j), fmt.Sprintf("v%d.0", j), "latest"} {
			if (tag != "latest" || j == n-1) && m.one(2) {
				w.tags = append(w.tags, tag)
			}
		}
		fmt.Fprintf(b, "    %q: [%s]\n", w.Digest, strings.Join(w.tags, ", "))
		if m.one(15) {
			m.note("%s is not in %s", w.Digest, from.name)
		} else {
			src.Push(m.t, from.name, w.Object, "build")
			w.referrers = m.attach(from, w.Object)
		}
		wants = append(wants, w)
	}
	if m.one(3) {
		w := mixWant{Object: m.object(), tags: []string{"rel"}}
		src.Push(m.t, from.name, w.Object, "candidate")
		fmt.Fprintf(b, "  retag:\n  - src_build_tag: candidate\n    src_ref: https://git.example.com/app/commit/%040d\n    tag: rel\n", m.seed)
		if m.one(2) {
			fmt.Fprintf(b, "    digest: %q\n", w.Digest)
		}
		wants = append(wants, w)
	}
	return wants
}

// object makes a small image or index.
func (m *mix) object() registrytest.Object {
	seed := m.rnd.IntN(1 << 20)
	opts := []registrytest.BuildOption{registrytest.LayerSize(64)}
	if m.one(3) {
		opts = append(opts, registrytest.Docker())
	}
	if m.one(4) {
		opts = append(opts, registrytest.Base(m.rnd.IntN(3)))
	}
	switch m.rnd.IntN(6) {
	case 0:
		return registrytest.MultiArch(seed, 2, 1, opts...)
	case 1:
		return registrytest.MultiArch(seed, 2, 1, registrytest.NoMediaType())
	case 2:
		return registrytest.Index([]registrytest.Object{registrytest.MultiArch(seed, 2, 1), registrytest.Image(seed, 1, opts...)})
	}
	return registrytest.Image(seed, 1+m.rnd.IntN(2), opts...)
}

// attach pushes a referrer of o to its source, sometimes.
func (m *mix) attach(from mixRepo, o registrytest.Object) []registrytest.Object {
	if !m.referrers || m.one(2) {
		return nil
	}
	src := m.hosts[from.host]
	sig := registrytest.Artifact(m.rnd.IntN(1<<20), "application/vnd.example.signature", registrytest.Subject(o))
	src.Push(m.t, from.name, sig)
	listUnderTag(m.t, src, from.name, o, sig)
	return []registrytest.Object{sig}
}

// target adds a destination repository with what it may hold before.
func (m *mix) target(tg *mixTarget) {
	s := m.hosts[tg.host]
	for _, w := range tg.wants {
		other := registrytest.Image(1<<21+m.rnd.IntN(1<<10), 1)
		for _, tag := range w.tags {
			switch m.rnd.IntN(12) {
			case 0:
				s.Push(m.t, tg.name, w.Object, tag)
				m.note("%s:%s is as wanted", tg.name, tag)
			case 1:
				s.Push(m.t, tg.name, other, tag)
				m.note("%s:%s points elsewhere", tg.name, tag)
			}
		}
		if m.one(8) {
			s.Push(m.t, tg.name, w.Object)
			m.note("%s holds %s", tg.name, w.Digest)
		}
	}
	m.targets = append(m.targets, tg)
}
