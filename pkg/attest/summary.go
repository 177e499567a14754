package attest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// SummaryType is the predicate type of verification summaries.
const SummaryType = "https://slsa.dev/verification_summary/v1"

// The results and levels of summaries.
const (
	passed      = "PASSED"
	failed      = "FAILED"
	unevaluated = "SLSA_BUILD_LEVEL_UNEVALUATED"
	buildLevel  = "SLSA_BUILD_LEVEL_"
	slsaVersion = "1.0"
)

// Summary is a verification summary (VSA): which policies an image satisfied.
type Summary struct {
	Name     string  // production name
	Digest   v1.Hash // of the image
	Time     time.Time
	Verifier Verifier
	Level    string // that promotion itself proves, next to the build level
	Policy   File   // the manifest with the policies; without a name if there are several
	Outcome  Outcome
}

// Verifier is the program that judged the image.
type Verifier struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// Outcome is the result of all policies that bind an image in its sources.
type Outcome struct {
	Passed bool
	Build  int        // lowest SLSA build level; 0: it was not evaluated
	Inputs []resource // the attestations that were accepted, sorted
	Policy string     // sha256 of the effective policies, in hexadecimal digits; empty: there is none
	Files  []string   // manifests of the policies that were applied, sorted
}

// OutcomeOf returns the outcome of the verdicts about a digest in its sources. A source
// without a policy leaves the build level unevaluated.
func OutcomeOf(verdicts []provenance.Verdict) Outcome {
	o := Outcome{Passed: true, Build: -1, Policy: policyHash(verdicts)}
	files, inputs := map[string]struct{}{}, map[string]resource{}
	lower := func(level int) {
		if o.Build < 0 || level < o.Build {
			o.Build = max(0, level)
		}
	}
	for _, v := range verdicts {
		if len(v.Judgments) == 0 {
			lower(0)
		}
		for i := range v.Judgments {
			j := &v.Judgments[i]
			files[j.Policy.File] = struct{}{}
			o.Passed = o.Passed && len(j.Result.Violations) == 0
			lower(j.Result.Level)
			for _, a := range j.Result.Accepted {
				inputs[a.URI+" "+a.Digest.String()] = resource{URI: a.URI, Digest: digests(a.Digest)}
			}
		}
	}
	o.Build = max(0, o.Build)
	o.Files = slices.Sorted(maps.Keys(files))
	for _, key := range slices.Sorted(maps.Keys(inputs)) {
		o.Inputs = append(o.Inputs, inputs[key])
	}
	return o
}

// policyHash returns the sha256 of the policies that verdicts were made by, in hexadecimal
// digits, or "" if there are none. Of one policy it is that of its content; of several it
// is that of theirs. Equal policies have one hash, wherever they are written.
func policyHash(verdicts []provenance.Verdict) string {
	var all []string
	for _, v := range verdicts {
		for i := range v.Judgments {
			all = append(all, strings.TrimPrefix(v.Judgments[i].Policy.Digest(), "sha256:"))
		}
	}
	slices.Sort(all)
	switch all = slices.Compact(all); len(all) {
	case 0:
		return ""
	case 1:
		return all[0]
	}
	return registry.DigestOf([]byte(strings.Join(all, "\n"))).Hex
}

// OfPlatform returns the outcome for a platform of an index that the manifests do not
// want by itself. own is its own outcome, index that of the index. A platform that is not
// good by itself claims nothing.
func OfPlatform(own, index Outcome) Outcome {
	if own.Passed {
		return own
	}
	return Outcome{Passed: index.Passed, Policy: own.Policy, Files: own.Files}
}

// levels returns the verified levels.
func (s *Summary) levels() []string {
	if !s.Outcome.Passed {
		return []string{failed}
	}
	build := unevaluated
	if s.Outcome.Build > 0 {
		build = buildLevel + strconv.Itoa(s.Outcome.Build)
	}
	return []string{build, s.Level}
}

// summaryPredicate is the JSON of a summary.
type summaryPredicate struct {
	Verifier    Verifier   `json:"verifier"`
	Time        string     `json:"timeVerified"`
	Resource    string     `json:"resourceUri"`
	Policy      resource   `json:"policy"`
	Inputs      []resource `json:"inputAttestations,omitempty"`
	Result      string     `json:"verificationResult"`
	Levels      []string   `json:"verifiedLevels"`
	SLSAVersion string     `json:"slsaVersion"`
}

// predicate returns the JSON of the summary.
func (s *Summary) predicate() summaryPredicate {
	uri := s.Policy.URI
	if s.Policy.Name != "" {
		uri += "#" + s.Policy.Name
	}
	policy := map[string]string{"gitCommit": s.Policy.Commit}
	if s.Outcome.Policy != "" {
		policy["sha256"] = s.Outcome.Policy
	}
	p := summaryPredicate{
		Verifier: s.Verifier, Time: s.Time.UTC().Format(time.RFC3339Nano), Resource: s.Name + "@" + s.Digest.String(), Policy: resource{URI: uri, Digest: policy},
		Inputs: s.Outcome.Inputs, Result: passed, Levels: s.levels(), SLSAVersion: slsaVersion,
	}
	if !s.Outcome.Passed {
		p.Result = failed
	}
	return p
}

// Statement returns the in-toto statement of the summary.
func (s *Summary) Statement() ([]byte, error) {
	return newStatement(s.Name, s.Digest, SummaryType, s.predicate())
}

// readSummary returns the summary in a statement of the verifier about the image of s,
// and its time.
func (s *Summary) readSummary(from *provenance.Statement) (p summaryPredicate, at time.Time, ok bool) {
	if from == nil || from.PredicateType != SummaryType || !isAbout(from, s.Name, s.Digest) || json.Unmarshal(from.Predicate, &p) != nil {
		return p, at, false
	}
	at, err := time.Parse(time.RFC3339Nano, p.Time)
	return p, at, err == nil && p.Verifier.ID == s.Verifier.ID
}

// saidBy reports whether the newest of the signer's earlier statements says what the
// summary says: the same policies, evidence and verdict. The commit, the file of the
// policies and the version of the verifier may be others.
func (s *Summary) saidBy(earlier []*provenance.Statement) bool {
	var newest summaryPredicate
	var last time.Time
	found := false
	for _, one := range earlier {
		if p, at, ok := s.readSummary(one); ok && (!found || at.After(last)) {
			newest, last, found = p, at, true
		}
	}
	want := s.predicate()
	return found && newest.Result == want.Result && slices.Equal(newest.Levels, want.Levels) && newest.Resource == want.Resource &&
		newest.Policy.Digest["sha256"] == want.Policy.Digest["sha256"] && slices.EqualFunc(sorted(newest.Inputs), sorted(want.Inputs), resource.equal)
}

func (r resource) equal(o resource) bool {
	return r.Name == o.Name && r.URI == o.URI && maps.Equal(r.Digest, o.Digest)
}

func sorted(all []resource) []resource {
	return slices.SortedFunc(slices.Values(all), func(a, b resource) int {
		return cmp.Or(strings.Compare(a.URI, b.URI), strings.Compare(a.Digest["sha256"], b.Digest["sha256"]))
	})
}
