package provenance_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// index returns an index with platforms, each with the attestations.
func index(t testing.TB, own []provenance.Attestation, platforms ...[]provenance.Attestation) *provenance.Evidence {
	t.Helper()
	e := image(t, own...)
	e.Index = true
	for i, attestations := range platforms {
		e.Platforms = append(e.Platforms, provenance.Evidence{Repository: e.Repository, Digest: platform(i), Attestations: attestations})
	}
	return e
}

// platform returns the digest of a platform.
func platform(i int) v1.Hash { return digest(strconv.Itoa(i + 1)) }

func one(a ...provenance.Attestation) []provenance.Attestation { return a }

func TestJudgeIndex(t *testing.T) {
	t.Parallel()
	good := func(i int) provenance.Attestation { return attest(platform(i)) }
	about := attest(digest("a"))
	failed := func(a provenance.Attestation) provenance.Attestation {
		a.State, a.Signer = provenance.Failed, provenance.Identity{}
		return a
	}
	unsigned, unverifiable, broken, wrong := about, about, about, attest(digest("b"))
	unsigned.State, unverifiable.State = provenance.Unsigned, provenance.Unverifiable
	broken.Statement = nil
	low := good(0)
	low.Statement = statement(provenance.ProvenanceV1, strings.Replace(v1Predicate(builderID, source), "invocationId", "x", 1), platform(0))
	both := attest(digest("a"))
	both.Statement.Subjects = append(good(0).Statement.Subjects, both.Statement.Subjects...)
	elsewhere := provenance.Evidence{Digest: platform(0), Attestations: one(good(0))}
	elsewhere.Repository, _ = name.NewRepository("registry.example/team/app/base")
	nested := provenance.Evidence{Repository: repository(t), Digest: platform(0), Index: true, Platforms: []provenance.Evidence{{Repository: repository(t), Digest: platform(1), Attestations: one(good(1))}}}
	nestedOwn := nested
	nestedOwn.Attestations = one(good(0))
	for name, test := range map[string]struct {
		evidence  *provenance.Evidence
		change    func(e *provenance.Evidence)
		policy    func(b *provenance.Bound)
		level     int
		violation string
		accepted  int
	}{
		"all platforms":                       {evidence: index(t, nil, one(good(0)), one(good(1))), level: 3, accepted: 2},
		"all but one":                         {evidence: index(t, nil, one(good(0)), nil), violation: "not all its platforms satisfy the policy: " + platform(1).String() + ": it has no provenance", accepted: 1},
		"no platforms":                        {evidence: index(t, nil), violation: "it has no provenance: found nothing"},
		"of its own":                          {evidence: index(t, one(about)), level: 3, accepted: 1},
		"of its own, with weak platforms":     {evidence: index(t, one(about), one(failed(good(0))), nil), level: 3, accepted: 1},
		"bad of its own":                      {evidence: index(t, one(failed(about)), one(good(0))), violation: "it is not valid"},
		"unsigned of its own":                 {evidence: index(t, one(unsigned), one(good(0))), violation: "it is not signed"},
		"unverifiable of its own":             {evidence: index(t, one(unverifiable), one(good(0))), violation: "its signature cannot be verified"},
		"of its own about another digest":     {evidence: index(t, one(wrong), one(good(0))), violation: "it is about"},
		"of its own about a platform":         {evidence: index(t, one(good(0)), one(good(0))), violation: "it is about"},
		"a statement that cannot be read":     {evidence: index(t, one(broken), one(good(0))), violation: "its statement is invalid"},
		"bad next to good of its own":         {evidence: index(t, one(failed(about), about), nil), level: 3, accepted: 1},
		"at a platform, about the index":      {evidence: index(t, nil, one(about), nil), level: 3, accepted: 1},
		"bad at a platform, about the index":  {evidence: index(t, nil, one(failed(about), good(0))), violation: "it is not valid"},
		"at a platform, about both":           {evidence: index(t, nil, one(both), nil), level: 3, accepted: 1},
		"at another platform":                 {evidence: index(t, nil, one(good(1)), one(good(1))), violation: platform(0).String() + ": no provenance of it is accepted: sha256:" + digest("e").Hex + ": it is about", accepted: 1},
		"the lowest level":                    {evidence: index(t, nil, one(low), one(good(1))), policy: func(b *provenance.Bound) { b.Level = 2 }, level: 2, accepted: 2},
		"a level that a platform lacks":       {evidence: index(t, nil, one(low), one(good(1))), policy: func(b *provenance.Bound) { b.Level, b.Want = 2, 3 }, violation: platform(0).String() + ": it has level 2, want 3", accepted: 2},
		"levels bind the index alone":         {evidence: index(t, one(about), one(low)), policy: func(b *provenance.Bound) { b.Level, b.Want = 2, 3 }, level: 3, accepted: 1},
		"other types at the index":            {evidence: index(t, one(other(digest("a"), sbom)), one(good(0))), level: 3, accepted: 2},
		"a type that the index lacks":         {evidence: index(t, nil, one(good(0), other(platform(0), sbom))), policy: func(b *provenance.Bound) { b.PredicateTypes = []string{sbom} }, level: 3, accepted: 2},
		"a type that a platform lacks":        {evidence: index(t, one(other(digest("a"), sbom)), one(good(0))), policy: func(b *provenance.Bound) { b.PredicateTypes = []string{sbom} }, violation: `: it has no accepted attestation of type "` + sbom, accepted: 2},
		"of its own, and a type of platforms": {evidence: index(t, one(about), one(good(0), other(platform(0), sbom))), policy: func(b *provenance.Bound) { b.PredicateTypes = []string{sbom} }, level: 3, violation: "it has no accepted attestation of type", accepted: 1},
		"a platform that was not read":        {evidence: index(t, nil, one(good(0)), nil), change: func(e *provenance.Evidence) { e.Platforms[1].Err = errors.New("500") }, violation: "its evidence cannot be read: platform " + platform(1).String() + ": 500"},
		"of its own, a platform not read":     {evidence: index(t, one(about), nil), change: func(e *provenance.Evidence) { e.Platforms[0].Err = errors.New("500") }, violation: "its evidence cannot be read"},
		"a platform of another repository":    {evidence: index(t, nil, nil), change: func(e *provenance.Evidence) { e.Platforms[0] = elsewhere }, violation: `its evidence is of "registry.example/team/app/base"`},
		"a nested index of good platforms":    {evidence: index(t, nil, nil), change: func(e *provenance.Evidence) { e.Platforms[0] = nested }, violation: platform(0).String() + ": it has no provenance"},
		"a nested index with provenance":      {evidence: index(t, nil, nil), change: func(e *provenance.Evidence) { e.Platforms[0] = nestedOwn }, level: 3, accepted: 1},
		"platforms of what is not an index":   {evidence: index(t, nil, one(good(0))), change: func(e *provenance.Evidence) { e.Index = false }, violation: "it has no provenance"},
		"the same attestation twice":          {evidence: index(t, nil, one(good(0)), one(good(0))), change: func(e *provenance.Evidence) { e.Platforms[1] = e.Platforms[0] }, level: 3, accepted: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bound(policy(t))
			if test.policy != nil {
				test.policy(&b)
			}
			if test.change != nil {
				test.change(test.evidence)
			}
			got := provenance.Judge(b, test.evidence)
			checkResult(t, got, test.level, test.violation)
			if len(got.Accepted) != test.accepted {
				t.Errorf("got %d accepted attestations, want %d", len(got.Accepted), test.accepted)
			}
			if unread := strings.HasPrefix(strings.Join(got.Violations, ""), "its evidence cannot"); test.evidence.Index && !unread && len(got.Platforms) != len(test.evidence.Platforms) {
				t.Errorf("got results of %d platforms, want %d", len(got.Platforms), len(test.evidence.Platforms))
			}
		})
	}
}

func TestViolationsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é\n", 5000)
	bad := attest(digest("b"))
	bad.Signer.SAN, bad.Reason = long, long
	failed, source := bad, attest(digest("a"))
	failed.State = provenance.Failed
	source.Statement = statement(provenance.ProvenanceV1, v1Predicate(long, long), digest("a"))
	e := image(t)
	for range 300 {
		e.Attestations = append(e.Attestations, bad, failed, source)
	}
	p := policy(t)
	p.PredicateTypes = []string{sbom}
	got := provenance.Judge(bound(p), e)
	if len(got.Violations) != 2 {
		t.Fatalf("got %d violations, want 2", len(got.Violations))
	}
	for _, v := range got.Violations {
		if len(v) > 2100 || strings.ContainsAny(v, "\n\r") {
			t.Errorf("got a violation of %d bytes, want at most 2100 without line breaks: %.300s", len(v), v)
		}
	}
	few := image(t, bad, bad, bad, bad, bad, bad, bad)
	for i := range few.Attestations {
		few.Attestations[i].Signer.SAN = fmt.Sprintf("%d@a", i)
	}
	got = provenance.Judge(bound(policy(t)), few)
	if v := got.Violations[0]; !strings.HasSuffix(v, "; and 2 more") || strings.Count(v, "it is signed by") != 5 {
		t.Errorf("got violation %q, want five reasons, and 2 more", v)
	}
}
