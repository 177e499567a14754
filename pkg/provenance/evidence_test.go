package provenance_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// What the tests agree on, unless a case says otherwise.
const (
	mail       = "build@example.com"
	google     = "https://accounts.google.com"
	builderID  = "https://builder.example/b"
	source     = "https://github.com/example/app"
	actions    = "https://token.actions.githubusercontent.com"
	workflowID = "https://github.com/example/app/.github/workflows/build.yml"
	generator  = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
	delegator  = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/delegator_lowperms-generic_slsa3.yml"
	sbom       = "https://spdx.dev/Document"
)

// repository is the one of all evidence.
func repository(t testing.TB) name.Repository {
	t.Helper()
	r, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// digest returns a digest of one repeated hexadecimal digit.
func digest(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }

// signers parses specifications.
func signers(t testing.TB, specs ...string) []provenance.Signer {
	t.Helper()
	var all []provenance.Signer
	for _, spec := range specs {
		s, err := provenance.ParseSigner(spec)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// policy returns one that attest satisfies.
func policy(t testing.TB) *provenance.Policy {
	t.Helper()
	return &provenance.Policy{
		Mode:     provenance.Require,
		Signers:  signers(t, "sigstore::"+google+"::"+mail),
		Builders: []provenance.Builder{{ID: builderID, Level: 3}},
		Sources:  []string{source},
	}
}

// attest returns verified provenance of version 1 about a digest.
func attest(about v1.Hash) provenance.Attestation {
	return provenance.Attestation{
		State:     provenance.Verified,
		Statement: statement(provenance.ProvenanceV1, v1Predicate(builderID, source), about),
		Signer:    provenance.Identity{SAN: mail, Issuer: google},
		URI:       "registry.example/team/app@" + digest("e").String(),
		Referrer:  digest("e"), Digest: digest("f"),
	}
}

// other returns an accepted attestation that is not provenance.
func other(about v1.Hash, predicateType string) provenance.Attestation {
	a := attest(about)
	a.Statement = statement(predicateType, `{}`, about)
	return a
}

func statement(predicateType, predicate string, about ...v1.Hash) *provenance.Statement {
	s := &provenance.Statement{Type: provenance.StatementV1, PredicateType: predicateType, Predicate: json.RawMessage(predicate)}
	for _, d := range about {
		s.Subjects = append(s.Subjects, provenance.Subject{Name: "app", Digest: map[string]string{d.Algorithm: d.Hex}})
	}
	return s
}

func v1Predicate(builder, uri string) string {
	return fmt.Sprintf(`{"buildDefinition":{"externalParameters":{},"resolvedDependencies":[{"uri":%q}]},`+
		`"runDetails":{"builder":{"id":%q},"metadata":{"invocationId":"7"}}}`, "git+"+uri, builder)
}

func v02Predicate(builder, uri string) string {
	return fmt.Sprintf(`{"builder":{"id":%q},"invocation":{"configSource":{"uri":%q,"entryPoint":"x"}},`+
		`"metadata":{"buildInvocationID":"7"},"materials":[{"uri":"pkg:docker/a"}]}`, builder, "git+"+uri+"@refs/heads/main")
}

// image returns the evidence of an image.
func image(t testing.TB, attestations ...provenance.Attestation) *provenance.Evidence {
	t.Helper()
	return &provenance.Evidence{Repository: repository(t), Digest: digest("a"), Attestations: attestations}
}

func bound(p *provenance.Policy) provenance.Bound {
	return provenance.Bound{Policy: p, File: "m.yaml"}
}

// checkResult compares a result with the level and the start of the only violation, or none.
func checkResult(t testing.TB, got provenance.Result, level int, violation string) {
	t.Helper()
	switch {
	case violation == "" && len(got.Violations) > 0:
		t.Errorf("got violations %q, want none", got.Violations)
	case violation != "" && (len(got.Violations) != 1 || !strings.Contains(got.Violations[0], violation)):
		t.Errorf("got violations %q, want one with %q", got.Violations, violation)
	}
	if got.Level != level {
		t.Errorf("got level %d, want %d", got.Level, level)
	}
}
