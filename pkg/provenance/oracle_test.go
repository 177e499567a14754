package provenance_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// The worlds of the oracle. Its tables say what matches what; nothing is computed from text.
var (
	worldSigners = map[string][]string{ // specification: identities that it matches
		"sigstore::" + google + "::a@x":                              {"a@x"},
		"sigstore::" + google + "::b@x":                              {"b@x"},
		"sigstore(identityMatch=glob)::" + google + "::*@x":          {"a@x", "b@x", "c@x"},
		"sigstore(regexp)::" + actions + "::https://github\\.com/.*": {workflowID + "@refs/tags/v1", generator + "@refs/tags/v1.0.0", generator + "@refs/heads/main", delegator + "@refs/tags/v1.0.0"},
		"sigstore(regexp)::" + google + "::https://github.com":       {},
	}
	worldSANs     = []string{"a@x", "b@x", "c@x", workflowID + "@refs/tags/v1", generator + "@refs/tags/v1.0.0", generator + "@refs/heads/main", delegator + "@refs/tags/v1.0.0"}
	worldBuilders = map[string][]string{ // builder of a policy: recorded ones that it stands for
		"https://b.example/1":           {"https://b.example/1", "https://b.example/1@v1"},
		"https://b.example/1@v1":        {"https://b.example/1@v1"},
		"https://b.example/1/longer":    {"https://b.example/1/longer"},
		workflowID:                      {workflowID + "@refs/tags/v1", workflowID + "@0123456789012345678901234567890123456789"},
		generator + "@refs/tags/v1.0.0": {generator + "@refs/tags/v1.0.0"},
	}
	worldRecorded = []string{"", "https://b.example/1", "https://b.example/1@v1", "https://b.example/1/longer", workflowID + "@refs/tags/v1", workflowID + "@0123456789012345678901234567890123456789", generator + "@refs/tags/v1.0.0"}
	worldBound    = map[string][]string{ // recorded builder on GitHub: identities that it is bound to
		workflowID + "@refs/tags/v1":                             {workflowID + "@refs/tags/v1"},
		workflowID + "@0123456789012345678901234567890123456789": {workflowID + "@refs/tags/v1"},
		generator + "@refs/tags/v1.0.0":                          {generator + "@refs/tags/v1.0.0"},
	}
	worldSources = map[string][]string{ // source of a policy: recorded ones that are it
		source:                         {source, "git+" + source + ".git@refs/heads/main"},
		"github.com/example/app":       {source, "git+" + source + ".git@refs/heads/main", "ssh://github.com/example/app"},
		"https://github.com/other/app": {"https://github.com/other/app"},
	}
	worldURIs = []string{source, "git+" + source + ".git@refs/heads/main", "ssh://github.com/example/app", "https://github.com/other/app", "https://evil.example/app"}
)

// fact is an attestation of the oracle: what it says, without its form.
type fact struct {
	State                  provenance.State
	Readable, Here         bool
	Kind                   string
	About                  []v1.Hash
	SAN, CertSource        string
	Config                 bool // the certificate has the workflow build.yml of source at v1 as build config
	Builder                string
	External, Dependencies []string
	Git                    bool // the dependencies are git
	Invocation, Named      bool // it has an invocation id; it names the workflow of Config
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// likely is true in 7 of 8 cases, so that many facts are good.
func likely(r *rand.Rand) bool { return r.IntN(8) > 0 }

func keys(m map[string][]string) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func some(r *rand.Rand, from []string) []string {
	var all []string
	for _, s := range from {
		if r.IntN(3) > 0 {
			all = append(all, s)
		}
	}
	return all
}

func randomFact(r *rand.Rand, about v1.Hash) fact {
	f := fact{
		State: provenance.Verified, Readable: likely(r), Here: likely(r),
		Kind:  pick(r, provenance.ProvenanceV1, provenance.ProvenanceV1, provenance.ProvenanceV02, sbom),
		About: []v1.Hash{about}, SAN: pick(r, worldSANs...), CertSource: pick(r, "", "", source, "https://github.com/other/app"),
		Config: likely(r), Builder: pick(r, worldRecorded...), Git: likely(r), Invocation: likely(r), Named: likely(r),
	}
	if r.IntN(2) == 0 {
		f.Builder = "https://b.example/1"
	}
	if !likely(r) {
		f.State = provenance.State(1 + r.IntN(4))
	}
	if !likely(r) {
		f.About = pick(r, nil, []v1.Hash{digest("9")}, []v1.Hash{digest("9"), about}, []v1.Hash{digest("a"), about})
	}
	if r.IntN(3) == 0 {
		f.External = []string{pick(r, worldURIs...)}
	}
	for range 1 + r.IntN(2) {
		f.Dependencies = append(f.Dependencies, pick(r, worldURIs...))
	}
	if !likely(r) {
		f.Dependencies = nil
	}
	return f
}

// attestation gives the fact its form.
func (f fact) attestation() provenance.Attestation {
	type object = map[string]any
	var dependencies []any
	for _, uri := range f.Dependencies {
		d := object{"uri": uri, "digest": object{"sha256": "00"}}
		if f.Git {
			d["digest"] = object{"gitCommit": "00"}
		}
		dependencies = append(dependencies, d)
	}
	invocation := ""
	if f.Invocation {
		invocation = "run"
	}
	predicate := object{}
	switch f.Kind {
	case provenance.ProvenanceV1:
		parameters := object{}
		for _, uri := range f.External {
			parameters["source"] = object{"uri": uri}
		}
		if f.Named {
			parameters["workflow"] = object{"repository": source, "path": ".github/workflows/build.yml", "ref": "refs/tags/v1"}
		}
		predicate = object{
			"buildDefinition": object{"externalParameters": parameters, "resolvedDependencies": dependencies},
			"runDetails":      object{"builder": object{"id": f.Builder}, "metadata": object{"invocationId": invocation}},
		}
	case provenance.ProvenanceV02:
		config := object{}
		for _, uri := range f.External {
			config["uri"] = uri
		}
		predicate = object{
			"builder": object{"id": f.Builder}, "metadata": object{"buildInvocationId": invocation},
			"materials": dependencies, "invocation": object{"configSource": config},
		}
	}
	raw, _ := json.Marshal(predicate)
	a := provenance.Attestation{State: f.State, URI: "registry.example/team/app:x.att", Signer: provenance.Identity{SAN: f.SAN, Issuer: actions, SourceRepository: f.CertSource}}
	if f.SAN[1:] == "@x" {
		a.Signer.Issuer = google
	}
	if !f.Here {
		a.URI = "registry.example/team/application:x.att"
	}
	if f.Config {
		a.Signer.BuildConfig = workflowID + "@refs/tags/v1"
	}
	if f.Readable {
		a.Statement = statement(f.Kind, string(raw), f.About...)
	}
	return a
}

func randomPolicy(t testing.TB, r *rand.Rand) provenance.Bound {
	specs := some(r, keys(worldSigners))
	p := &provenance.Policy{Mode: provenance.Require, Signers: signers(t, specs...), Sources: some(r, keys(worldSources)), Level: pick(r, 0, 0, 2, 3)}
	for _, id := range some(r, keys(worldBuilders)) {
		b := provenance.Builder{ID: id, Level: pick(r, 1, 2, 3, 3, 3)}
		if r.IntN(5) == 0 {
			b.Signers = some(r, specs)
		}
		if r.IntN(4) == 0 {
			b.Caller = &provenance.Caller{Refs: []string{pick(r, "refs/tags/*", "refs/heads/*")}}
		}
		p.Builders = append(p.Builders, b)
	}
	if r.IntN(6) == 0 {
		p.PredicateTypes = []string{sbom}
	}
	return provenance.Bound{Policy: p, Want: pick(r, 0, 0, 2, 3)}
}

// verdict is what the oracle and Judge are compared by.
type verdict struct {
	Satisfied bool
	Level     int
	Accepted  int
	Platforms []verdict
}

// oracle returns the highest level of a fact about a digest, or -1 if it is rejected. It
// tries every level from the top, every source and every check.
func oracle(b provenance.Bound, f fact, about v1.Hash) int {
	var specs []string
	for _, s := range b.Signers {
		if slices.Contains(worldSigners[s.Spec], f.SAN) {
			specs = append(specs, s.Spec)
		}
	}
	if !f.Here || !f.Readable || f.State != provenance.Verified || len(specs) == 0 || !slices.Contains(f.About, about) {
		return -1
	}
	if f.Kind == sbom {
		return 0
	}
	may := func(own bool) (all []provenance.Builder) {
		for _, one := range b.Builders {
			named := slices.ContainsFunc(one.Signers, func(s string) bool { return slices.Contains(specs, s) })
			if own && named || !own && len(one.Signers) == 0 {
				all = append(all, one)
			}
		}
		return all
	}
	builders := may(true)
	if len(builders) == 0 {
		builders = may(false)
	}
	best := -1
	for _, from := range b.Sources {
		for level := 3; level >= 0; level-- {
			if reaches(b, f, builders, from, level) && level >= b.Level && (b.Level > 0 || reaches(b, f, builders, from, 3)) {
				for _, one := range builders {
					level = min(level, one.Level)
				}
				if len(builders) > 0 && level >= b.Level {
					best = max(best, level)
				}
				break
			}
		}
	}
	return best
}

// reaches reports whether all checks of a level and those below it hold.
func reaches(b provenance.Bound, f fact, builders []provenance.Builder, from string, level int) bool {
	is := worldSources[from]
	switch level {
	case 0:
		return true
	case 1:
		recorded := slices.Clone(f.External)
		if f.Kind == provenance.ProvenanceV1 && f.Named {
			recorded = append(recorded, source)
		}
		for _, uri := range recorded {
			if !slices.Contains(is, uri) {
				return false
			}
		}
		if len(recorded) > 0 {
			return true
		}
		for _, uri := range f.Dependencies {
			if slices.Contains(is, uri) && (f.Git || uri == worldURIs[1]) {
				return true
			}
		}
		return false
	case 2:
		trusted, called := false, true
		for _, one := range builders {
			if !slices.Contains(worldBuilders[one.ID], f.Builder) {
				continue
			}
			trusted = true
			if one.Caller != nil {
				config := f.Config && (f.CertSource == "" || f.CertSource == source) && f.Kind == provenance.ProvenanceV1 && f.Named
				listed := slices.Contains(b.Sources, source) || slices.Contains(b.Sources, "github.com/example/app")
				called = called && config && listed && one.Caller.Refs[0] == "refs/tags/*"
			}
		}
		to, onGitHub := worldBound[f.Builder]
		cert := f.CertSource == "" || slices.Contains(is, f.CertSource)
		bound := !onGitHub || slices.Contains(to, f.SAN) && cert
		switch f.SAN {
		case delegator + "@refs/tags/v1.0.0":
			bound = cert
		case generator + "@refs/heads/main":
			bound = false
		}
		return trusted && called && bound && reaches(b, f, builders, from, 1)
	}
	return f.Invocation && len(f.Dependencies) > 0 && reaches(b, f, builders, from, 2)
}

// oracleImage judges facts about a digest, and reports whether provenance is among them.
func oracleImage(b provenance.Bound, facts []fact, about v1.Hash) (verdict, bool) {
	v := verdict{Level: -1}
	found, types := false, false
	for _, f := range facts {
		found = found || !f.Readable || f.Kind != sbom
		level := oracle(b, f, about)
		if level < 0 {
			continue
		}
		v.Accepted++
		types = types || f.Kind == sbom
		if f.Kind != sbom {
			v.Level = max(v.Level, level)
		}
	}
	v.Satisfied = v.Level >= 0 && v.Level >= b.Want && (types || len(b.PredicateTypes) == 0)
	v.Level = max(v.Level, 0)
	return v, found
}

func oracleIndex(b provenance.Bound, own []fact, platforms [][]fact) verdict {
	for _, facts := range platforms {
		for _, f := range facts {
			if f.Readable && slices.Contains(f.About, digest("a")) {
				own = append(slices.Clone(own), f)
			}
		}
	}
	v, found := oracleImage(b, own, digest("a"))
	lowest, all, accepted := 3, true, v.Accepted
	for i, facts := range platforms {
		of := b
		if found {
			of.Want = 0
		}
		p, _ := oracleImage(of, facts, platform(i))
		for _, f := range facts {
			if oracle(b, f, platform(i)) >= 0 && (f.Kind != sbom || oracle(b, f, digest("a")) < 0) {
				accepted++
			}
		}
		lowest, all = min(lowest, p.Level), all && p.Satisfied
		v.Platforms = append(v.Platforms, p)
	}
	if found || len(platforms) == 0 {
		return v
	}
	if !all {
		lowest = 0
	}
	return verdict{Satisfied: all, Level: lowest, Accepted: accepted, Platforms: v.Platforms}
}

func verdictOf(r provenance.Result) verdict {
	v := verdict{Satisfied: len(r.Violations) == 0, Level: r.Level, Accepted: len(r.Accepted)}
	for _, p := range r.Platforms {
		v.Platforms = append(v.Platforms, verdictOf(p.Result))
	}
	return v
}

// TestJudgeOracle compares Judge with a naive judge of random evidence.
func TestJudgeOracle(t *testing.T) {
	t.Parallel()
	count := map[bool]int{}
	for seed := range uint64(10000) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := randomPolicy(t, r)
		var own []fact
		for range r.IntN(4) {
			own = append(own, randomFact(r, digest("a")))
		}
		e := image(t)
		for _, f := range own {
			e.Attestations = append(e.Attestations, f.attestation())
		}
		want, _ := oracleImage(b, own, digest("a"))
		var platforms [][]fact
		if e.Index = r.IntN(2) == 0; e.Index {
			for i := range r.IntN(3) {
				var facts []fact
				p := provenance.Evidence{Repository: e.Repository, Digest: platform(i)}
				for range 1 + r.IntN(3) {
					facts = append(facts, randomFact(r, platform(i)))
					p.Attestations = append(p.Attestations, facts[len(facts)-1].attestation())
				}
				e.Platforms = append(e.Platforms, p)
				platforms = append(platforms, facts)
			}
			want = oracleIndex(b, own, platforms)
		}
		got := verdictOf(provenance.Judge(b, e))
		if !cmp.Equal(got, want) {
			t.Fatalf("seed %d: policy %+v, own facts %+v, of platforms %+v: (-want +got)\n%s%q", seed, *b.Policy, own, platforms, cmp.Diff(want, got), provenance.Judge(b, e).Violations)
		}
		count[got.Satisfied]++
	}
	if count[true] < 300 || count[false] < 300 {
		t.Errorf("got %d satisfied and %d other policies, want many of both", count[true], count[false])
	}
}
