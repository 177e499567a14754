package attest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// judged returns the verdict of policies about the image in a source, one for each result.
func judged(source string, results ...provenance.Result) provenance.Verdict {
	v := provenance.Verdict{Repository: image.NewRepository("staging.example.com", source)}
	for i, r := range results {
		p := &provenance.Policy{Mode: provenance.Warn, Sources: []string{"https://github.com/o/" + source}, Level: i + 1}
		v.Judgments = append(v.Judgments, provenance.Judgment{
			Policy: provenance.Bound{Policy: p, Source: image.NewRegistry("staging.example.com", ""), File: source + ".yaml"}, Result: r,
		})
	}
	return v
}

func good(level int, accepted ...string) provenance.Result {
	r := provenance.Result{Level: level}
	for _, uri := range accepted {
		r.Accepted = append(r.Accepted, &provenance.Attestation{URI: uri, Digest: image.Hash("sha256:" + strings.Repeat("a", 64))})
	}
	return r
}

func bad(accepted ...string) provenance.Result {
	r := good(0, accepted...)
	r.Violations = []string{"no"}
	return r
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		verdicts []provenance.Verdict
		result   string
		levels   string
		inputs   string
	}{
		"no policy":               {[]provenance.Verdict{judged("a")}, "PASSED", "SLSA_BUILD_LEVEL_UNEVALUATED REVIEWED", ""},
		"one policy":              {[]provenance.Verdict{judged("a", good(3, "x"))}, "PASSED", "SLSA_BUILD_LEVEL_3 REVIEWED", "x"},
		"lowest of two policies":  {[]provenance.Verdict{judged("a", good(3, "x"), good(2, "x", "w"))}, "PASSED", "SLSA_BUILD_LEVEL_2 REVIEWED", "w x"},
		"lowest of two sources":   {[]provenance.Verdict{judged("a", good(2, "x")), judged("b", good(3, "y"))}, "PASSED", "SLSA_BUILD_LEVEL_2 REVIEWED", "x y"},
		"a source without policy": {[]provenance.Verdict{judged("a", good(3, "x")), judged("b")}, "PASSED", "SLSA_BUILD_LEVEL_UNEVALUATED REVIEWED", "x"},
		"level 0":                 {[]provenance.Verdict{judged("a", good(0, "x"))}, "PASSED", "SLSA_BUILD_LEVEL_UNEVALUATED REVIEWED", "x"},
		"warn":                    {[]provenance.Verdict{judged("a", good(3, "x"), bad("y"))}, "FAILED", "FAILED", "x y"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := attest.Summary{
				Name: "registry.k8s.io/apple", Digest: image.Hash(digest), Time: when, Level: "REVIEWED",
				Verifier: attest.Verifier{ID: "https://v", Version: map[string]string{"cip": "v1"}}, Outcome: attest.OutcomeOf(tc.verdicts),
			}
			p := predicate(t, &s)
			var inputs []string
			for _, in := range p.Inputs {
				inputs = append(inputs, in.URI)
			}
			got := []string{p.Result, strings.Join(p.Levels, " "), strings.Join(inputs, " ")}
			if diff := cmp.Diff([]string{tc.result, tc.levels, tc.inputs}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A policy is another one if it demands something else, wherever it is written.
func TestPolicyDigest(t *testing.T) {
	t.Parallel()
	one := attest.OutcomeOf([]provenance.Verdict{judged("a", good(3))})
	moved := judged("a", bad())
	moved.Judgments[0].Policy.File, moved.Judgments[0].Policy.Pos.Line = "other.yaml", 7
	if got := attest.OutcomeOf([]provenance.Verdict{moved}); got.Policy != one.Policy || len(got.Policy) != 64 {
		t.Errorf("an equal policy elsewhere: got %q, want %q", got.Policy, one.Policy)
	}
	changed := judged("a", good(3))
	changed.Judgments[0].Policy.Sources = []string{"https://github.com/o/b"}
	if got := attest.OutcomeOf([]provenance.Verdict{changed}); got.Policy == one.Policy {
		t.Errorf("another policy: got the same digest %q, want another one", got.Policy)
	}
	if got := attest.OutcomeOf([]provenance.Verdict{judged("a")}); got.Policy != "" {
		t.Errorf("no policy: got %q, want none", got.Policy)
	}
}

func TestPlatformOutcome(t *testing.T) {
	t.Parallel()
	passed, failed := attest.OutcomeOf([]provenance.Verdict{judged("a", good(3, "x"))}), attest.OutcomeOf([]provenance.Verdict{judged("a", bad("y"))})
	for name, tc := range map[string]struct {
		own, index attest.Outcome
		passed     bool
		build      int
		inputs     int
	}{
		"good":                     {passed, passed, true, 3, 1},
		"good in a failed index":   {passed, failed, true, 3, 1},
		"bad":                      {failed, passed, true, 0, 0},
		"bad, and so is its index": {failed, failed, false, 0, 0},
	} {
		got := attest.OfPlatform(tc.own, tc.index)
		if got.Passed != tc.passed || got.Build != tc.build || len(got.Inputs) != tc.inputs {
			t.Errorf("%s: got passed %t, level %d, %d inputs, want %+v", name, got.Passed, got.Build, len(got.Inputs), tc)
		}
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	s := attest.Summary{
		Name: "registry.k8s.io/orchard/apple", Digest: image.Hash(digest), Time: when, Level: "PROMOTION_MANIFEST_REVIEWED",
		Verifier: attest.Verifier{ID: "https://promoter.example.com/verifier", Version: map[string]string{"cip": "v1.2.3"}},
		Policy:   attest.File{Name: "manifests/orchard/promoter-manifest.yaml", URI: "git+https://github.com/kubernetes/k8s.io", Commit: "3b18"},
		Outcome:  attest.OutcomeOf([]provenance.Verdict{judged("a", good(3, "staging.example.com/apple@sha256:bb"))}),
	}
	s.Outcome.Policy = "e3b0"
	got, err := s.Statement()
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "_type": "https://in-toto.io/Statement/v1",
 "subject": [
  {
   "name": "registry.k8s.io/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  }
 ],
 "predicateType": "https://slsa.dev/verification_summary/v1",
 "predicate": {
  "verifier": {
   "id": "https://promoter.example.com/verifier",
   "version": {
    "cip": "v1.2.3"
   }
  },
  "timeVerified": "2026-11-02T06:30:00Z",
  "resourceUri": "registry.k8s.io/orchard/apple@` + digest + `",
  "policy": {
   "uri": "git+https://github.com/kubernetes/k8s.io#manifests/orchard/promoter-manifest.yaml",
   "digest": {
    "gitCommit": "3b18",
    "sha256": "e3b0"
   }
  },
  "inputAttestations": [
   {
    "uri": "staging.example.com/apple@sha256:bb",
    "digest": {
     "sha256": "` + strings.Repeat("a", 64) + `"
    }
   }
  ],
  "verificationResult": "PASSED",
  "verifiedLevels": [
   "SLSA_BUILD_LEVEL_3",
   "PROMOTION_MANIFEST_REVIEWED"
  ],
  "slsaVersion": "1.0"
 }
}`
	if diff := cmp.Diff(want, indented(t, got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	s.Policy.Name = "" // the policies of several manifests
	if p := predicate(t, &s); p.Policy.URI != "git+https://github.com/kubernetes/k8s.io" {
		t.Errorf("several manifests: got policy %q, want that of the repository", p.Policy.URI)
	}
}

// vsa is what a verifier reads of a summary.
type vsa struct {
	Policy struct {
		URI string `json:"uri"`
	} `json:"policy"`
	Inputs []struct {
		URI    string            `json:"uri"`
		Digest map[string]string `json:"digest"`
	} `json:"inputAttestations"`
	Result string   `json:"verificationResult"`
	Levels []string `json:"verifiedLevels"`
}

func predicate(t *testing.T, s *attest.Summary) vsa {
	t.Helper()
	raw, err := s.Statement()
	var p struct {
		Predicate vsa `json:"predicate"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return p.Predicate
}
