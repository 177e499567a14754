package provenance

import (
	"fmt"
	"strings"
)

// trial is the result of comparing provenance with a policy.
type trial struct {
	level    int       // verified; 0 if it is rejected
	passed   bool      // the policy accepts it
	failures []failure // of checks; those above the level of the policy do not reject it
}

// failure is a check that failed.
type failure struct {
	level int    // that the build does not reach without the check; 0: none at all
	limit bool   // it is a limit of the policy, and no fault of the build
	text  string // "it …", "its …"
}

// try compares provenance that a signer of the policy made about an image with the policy.
func (p *Policy) try(a *Attestation, signers []string) trial {
	b := readBuild(a.Statement)
	builders := p.Claimable(signers)
	if len(builders) == 0 {
		return rejected("it is signed by %s, which may name no builder of the policy", quote(a.Signer.SAN))
	}
	best := trial{}
	for i, source := range p.Sources {
		t := p.decide(p.checks(b, builders, a.Signer, source), builders)
		if i == 0 || t.passed && (!best.passed || t.level > best.level) || !best.passed && len(t.failures) < len(best.failures) {
			best = t
		}
	}
	if len(p.Sources) == 0 {
		return rejected("the policy names no source")
	}
	return best
}

func rejected(format string, args ...any) trial {
	return trial{failures: []failure{{text: fmt.Sprintf(format, args...)}}}
}

// checks returns the checks that fail, with one of the sources of the policy.
func (p *Policy) checks(b build, builders []*Builder, id Identity, source string) []failure {
	var failed []failure
	fail := func(level int, format string, args ...any) {
		failed = append(failed, failure{level: level, text: fmt.Sprintf(format, args...)})
	}
	if !b.builtFrom(source) {
		fail(1, "it is built from %s, want %s", list(b.sources()), list(p.Sources))
	}
	var named []*Builder
	for _, one := range builders {
		if one.StandsFor(b.builder) {
			named = append(named, one)
		}
	}
	switch {
	case b.builder == "":
		fail(2, "it names no builder")
	case len(named) == 0:
		fail(2, "it names the builder %s, want %s", quote(b.builder), listBuilders(builders))
	default:
		if fault := b.bindingFault(id, source); fault != "" {
			fail(2, "%s", fault)
		}
	}
	for _, one := range named {
		if one.Caller == nil {
			continue
		}
		if fault := b.callerFault(one.Caller, id, p.Sources); fault != "" {
			fail(2, "%s", fault)
		}
	}
	if b.invocation == "" {
		fail(3, "it has no invocation id")
	}
	if len(b.dependencies) == 0 {
		fail(3, "it has no resolved dependencies")
	}
	return failed
}

// decide returns the level that a build reaches without the checks that failed.
//
// It is not above the lowest level of the builders that the signer may name: the signer
// could have named that one.
func (p *Policy) decide(failed []failure, builders []*Builder) trial {
	lowest := lowestLevel(builders)
	if lowest < maxLevel {
		failed = append(failed, failure{lowest + 1, true, fmt.Sprintf("its signer may name a builder of level %d", lowest)})
	}
	t := trial{level: maxLevel, passed: true, failures: failed}
	for _, f := range failed {
		t.level = min(t.level, f.level-1)
		t.passed = t.passed && !p.rejects(f)
	}
	if !t.passed {
		t.level = 0
	}
	return t
}

// rejects reports whether a failure rejects provenance, instead of lowering its level only.
func (p *Policy) rejects(f failure) bool {
	if p.Level == 0 {
		return !f.limit
	}
	return f.level <= p.Level
}

// reason says why provenance was rejected, or has not a higher level.
func (p *Policy) reason(t trial) string {
	var texts []string
	for _, f := range t.failures {
		if t.passed || p.rejects(f) {
			texts = append(texts, f.text)
		}
	}
	return strings.Join(texts, ", ")
}
