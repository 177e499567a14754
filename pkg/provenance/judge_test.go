package provenance_test

import (
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

func TestJudgeCandidates(t *testing.T) {
	t.Parallel()
	a := digest("a")
	for name, test := range map[string]struct {
		policy    func(p *provenance.Policy)
		evidence  func(e *provenance.Evidence)
		level     int
		violation string
		accepted  int
	}{
		"good": {level: 3, accepted: 1},
		"none": {
			evidence:  func(e *provenance.Evidence) { e.Attestations = nil },
			violation: "it has no provenance: found nothing, want an attestation of type https://slsa.dev/provenance/v1 or",
		},
		"another type": {
			evidence:  func(e *provenance.Evidence) { e.Attestations[0] = other(a, "https://slsa.dev/provenance/v1.0") },
			violation: `it has no provenance: found "https://slsa.dev/provenance/v1.0", want`, accepted: 1,
		},
		"a referrer was not read": {
			evidence:  func(e *provenance.Evidence) { e.Attestations, e.Notes = nil, []string{"sha256:77 is too large"} },
			violation: "; not read: sha256:77 is too large",
		},
		"unsigned": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].State, e.Attestations[0].Signer = provenance.Unsigned, provenance.Identity{}
			},
			violation: "no provenance of it is accepted: sha256:" + digest("e").Hex + ": it is not signed",
		},
		"unsigned, with the signer in place": {
			evidence:  func(e *provenance.Evidence) { e.Attestations[0].State = provenance.Unsigned },
			violation: "it is not signed",
		},
		"unverifiable": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].State, e.Attestations[0].Reason = provenance.Unverifiable, "unknown\nkey"
			},
			violation: "its signature cannot be verified: unknown key",
		},
		"wrong": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].State, e.Attestations[0].Reason = provenance.Failed, "no SCT"
			},
			violation: "it is not valid: no SCT",
		},
		"no state": {
			evidence:  func(e *provenance.Evidence) { e.Attestations[0].State = 0 },
			violation: "it is not valid",
		},
		"no statement": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].Statement, e.Attestations[0].Reason = nil, "repeated key"
			},
			violation: "its statement is invalid: repeated key",
		},
		"a foreign signer": {
			evidence:  func(e *provenance.Evidence) { e.Attestations[0].Signer.SAN = "x" + mail },
			violation: `it is signed by "xbuild@example.com" of "https://accounts.google.com", want "sigstore::`,
		},
		"another issuer": {
			evidence:  func(e *provenance.Evidence) { e.Attestations[0].Signer.Issuer += "/" },
			violation: `it is signed by "build@example.com" of "https://accounts.google.com/"`,
		},
		"a key": {
			evidence:  func(e *provenance.Evidence) { e.Attestations[0].Signer.Key = "sha256:00" },
			violation: `it is signed by the key "sha256:00"`,
		},
		"no identity": {
			policy:    func(p *provenance.Policy) { p.Signers = signers(t, "sigstore(regexp)::.*::.*") },
			evidence:  func(e *provenance.Evidence) { e.Attestations[0].Signer = provenance.Identity{} },
			violation: "it is signed by",
		},
		"an expression that matches a prefix": {
			policy: func(p *provenance.Policy) {
				p.Signers = signers(t, "sigstore(regexp)::https://accounts.google.com::build@example")
			},
			violation: "it is signed by",
		},
		"an expression of alternatives": {
			policy: func(p *provenance.Policy) {
				p.Signers = signers(t, "sigstore(identityMatch=regex)::https://accounts.google.com::build@|.*example")
			},
			violation: "it is signed by",
		},
		"an expression of the whole": {
			policy: func(p *provenance.Policy) {
				p.Signers = signers(t, "sigstore(identityMatch=regex)::https://accounts.google.com::build@|.*example.com")
			},
			level: 3, accepted: 1,
		},
		"about another digest": {
			evidence:  func(e *provenance.Evidence) { e.Attestations[0] = attest(digest("b")) },
			violation: `it is about "` + digest("b").String() + `", want ` + a.String(),
		},
		"several subjects": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].Statement.Subjects = append(attest(digest("b")).Statement.Subjects, e.Attestations[0].Statement.Subjects...)
			},
			level: 3, accepted: 1,
		},
		"several subjects, none of them it": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].Statement.Subjects = append(attest(digest("b")).Statement.Subjects, attest(digest("c")).Statement.Subjects...)
			},
			violation: `it is about "` + digest("b").String() + `" or "` + digest("c").String() + `", want`,
		},
		"the digest of another algorithm": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].Statement.Subjects[0].Digest = map[string]string{"sha512": a.Hex}
			},
			violation: "it is about nothing, want",
		},
		"a subject that only has its name": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].Statement.Subjects[0] = provenance.Subject{Name: "registry.example/team/app@" + a.String()}
			},
			violation: "it is about nothing, want",
		},
		"no digest": {
			evidence: func(e *provenance.Evidence) {
				e.Digest = v1.Hash{}
				e.Attestations[0].Statement.Subjects[0].Digest = map[string]string{"": ""}
			},
			violation: "it is about",
		},
		"in another repository": {
			evidence: func(e *provenance.Evidence) {
				e.Attestations[0].URI = strings.Replace(e.Attestations[0].URI, "team/app", "team/app2", 1)
			},
			violation: `it is in "registry.example/team/app2@sha256:`,
		},
		"in a repository below it": {
			evidence:  func(e *provenance.Evidence) { e.Attestations[0].URI = "registry.example/team/app/b@sha256:00" },
			violation: "it is in",
		},
		"in a tag of cosign": {
			evidence: func(e *provenance.Evidence) { e.Attestations[0].URI = "registry.example/team/app:sha256-aa.att" },
			level:    3, accepted: 1,
		},
		"not read": {
			evidence:  func(e *provenance.Evidence) { e.Err = errors.New("429 Too Many\nRequests") },
			violation: "its evidence cannot be read: 429 Too Many Requests",
		},
		"a bad one next to a good one": {
			evidence: func(e *provenance.Evidence) {
				bad := attest(a)
				bad.State = provenance.Failed
				e.Attestations = append([]provenance.Attestation{bad}, e.Attestations...)
			},
			level: 3, accepted: 1,
		},
		"a policy without builders":  {policy: func(p *provenance.Policy) { p.Builders = nil }, violation: "which may name no builder of the policy"},
		"a policy without signers":   {policy: func(p *provenance.Policy) { p.Signers = nil }, violation: "it is signed by"},
		"a policy without sources":   {policy: func(p *provenance.Policy) { p.Sources = nil }, violation: "the policy names no source"},
		"a policy without a mode":    {policy: func(p *provenance.Policy) { *p = provenance.Policy{} }, violation: "it is signed by"},
		"a builder without an id":    {policy: func(p *provenance.Policy) { p.Builders[0].ID = "" }, violation: "it names the builder"},
		"a signer without a pattern": {policy: func(p *provenance.Policy) { p.Signers = []provenance.Signer{{}} }, violation: "it is signed by"},
		"a required type": {
			policy:   func(p *provenance.Policy) { p.PredicateTypes = []string{sbom} },
			evidence: func(e *provenance.Evidence) { e.Attestations = append(e.Attestations, other(a, sbom)) },
			level:    3, accepted: 2,
		},
		"a required type is missing": {
			policy: func(p *provenance.Policy) { p.PredicateTypes = []string{sbom} },
			level:  3, violation: `it has no accepted attestation of type "` + sbom + `"`, accepted: 1,
		},
		"a required type about another digest": {
			policy:   func(p *provenance.Policy) { p.PredicateTypes = []string{sbom} },
			evidence: func(e *provenance.Evidence) { e.Attestations = append(e.Attestations, other(digest("b"), sbom)) },
			level:    3, violation: "it has no accepted attestation of type", accepted: 1,
		},
		"a required type of a stranger": {
			policy: func(p *provenance.Policy) { p.PredicateTypes = []string{sbom} },
			evidence: func(e *provenance.Evidence) {
				e.Attestations = append(e.Attestations, other(a, sbom))
				e.Attestations[1].Signer.SAN = "stranger@example.com"
			},
			level: 3, violation: "it has no accepted attestation of type", accepted: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, e := policy(t), image(t, attest(a))
			if test.policy != nil {
				test.policy(p)
			}
			if test.evidence != nil {
				test.evidence(e)
			}
			got := provenance.Judge(bound(p), e)
			checkResult(t, got, test.level, test.violation)
			if len(got.Accepted) != test.accepted {
				t.Errorf("got %d accepted attestations, want %d", len(got.Accepted), test.accepted)
			}
		})
	}
}

func TestJudgeBuild(t *testing.T) {
	t.Parallel()
	const v1Type, v02Type = provenance.ProvenanceV1, provenance.ProvenanceV02
	for name, test := range map[string]struct {
		builder   string // of the policy
		source    string // of the policy
		level     int    // of the policy
		kind      string
		predicate string
		want      int
		violation string
	}{
		"version 0.2":                         {kind: v02Type, predicate: v02Predicate(builderID, source), want: 3},
		"another builder":                     {predicate: v1Predicate("https://builder.example/c", source), violation: `it names the builder "https://builder.example/c", want "https://builder.example/b"`},
		"a prefix of the builder":             {predicate: v1Predicate("https://builder.example/", source), violation: "it names the builder"},
		"a longer path":                       {predicate: v1Predicate(builderID+"/c", source), violation: "it names the builder"},
		"a longer name":                       {predicate: v1Predicate(builderID+"c", source), violation: "it names the builder"},
		"at a reference":                      {predicate: v1Predicate(builderID+"@refs/tags/v1", source), want: 3},
		"at an empty reference":               {predicate: v1Predicate(builderID+"@", source), violation: "it names the builder"},
		"a longer path at a reference":        {predicate: v1Predicate(builderID+"/c@v1", source), violation: "it names the builder"},
		"the policy's reference":              {builder: builderID + "@v1", predicate: v1Predicate(builderID+"@v1", source), want: 3},
		"another reference than the policy's": {builder: builderID + "@v1", predicate: v1Predicate(builderID+"@v12", source), violation: "it names the builder"},
		"two references":                      {builder: builderID + "@v1", predicate: v1Predicate(builderID+"@v1@v2", source), violation: "it names the builder"},
		"no reference where the policy does":  {builder: builderID + "@v1", predicate: v1Predicate(builderID, source), violation: "it names the builder"},
		"in another case":                     {predicate: v1Predicate("https://Builder.example/b", source), violation: "it names the builder"},
		"no builder":                          {predicate: v1Predicate("", source), violation: "it names no builder"},
		"a builder that is a number":          {predicate: strings.Replace(v1Predicate(builderID, source), `"`+builderID+`"`, "1", 1), violation: "it names no builder"},
		"a predicate of the other version":    {kind: v02Type, predicate: v1Predicate(builderID, source), violation: "it is built from nothing"},
		"a predicate that is a list":          {predicate: `[]`, violation: "it names no builder"},
		"no predicate":                        {predicate: ``, violation: "it names no builder"},
		"keys in another case":                {predicate: strings.Replace(v1Predicate(builderID, source), "runDetails", "rundetails", 1), violation: "it names no builder"},

		"no invocation id":                   {predicate: strings.Replace(v1Predicate(builderID, source), "invocationId", "id", 1), violation: "it has no invocation id"},
		"no invocation id, level 2":          {level: 2, predicate: strings.Replace(v1Predicate(builderID, source), "invocationId", "id", 1), want: 2},
		"no invocation id, level 3":          {level: 3, predicate: strings.Replace(v1Predicate(builderID, source), "invocationId", "id", 1), violation: "it has no invocation id"},
		"an empty invocation id":             {predicate: strings.Replace(v1Predicate(builderID, source), `"7"`, `""`, 1), violation: "it has no invocation id"},
		"version 0.2 in the other spelling":  {kind: v02Type, predicate: strings.Replace(v02Predicate(builderID, source), "InvocationID", "InvocationId", 1), want: 3},
		"version 0.2 without invocation id":  {kind: v02Type, predicate: strings.Replace(v02Predicate(builderID, source), "buildInvocationID", "id", 1), violation: "it has no invocation id"},
		"version 0.2 without materials":      {kind: v02Type, predicate: strings.Replace(v02Predicate(builderID, source), "materials", "x", 1), violation: "it has no resolved dependencies"},
		"version 0.2, no materials, level 2": {kind: v02Type, level: 2, predicate: strings.Replace(v02Predicate(builderID, source), "materials", "x", 1), want: 2},

		"no source":                          {predicate: strings.Replace(v1Predicate(builderID, source), "resolvedDependencies", "x", 1), violation: "it is built from nothing, want"},
		"no source, level 2":                 {level: 2, predicate: strings.Replace(v1Predicate(builderID, source), "resolvedDependencies", "x", 1), violation: "it is built from nothing, want"},
		"another source":                     {predicate: v1Predicate(builderID, "https://github.com/evil/app"), violation: `it is built from "git+https://github.com/evil/app", want "https://github.com/example/app"`},
		"a source below it":                  {predicate: v1Predicate(builderID, source+"/x"), violation: "it is built from"},
		"another case of the path":           {predicate: v1Predicate(builderID, "https://github.com/Example/app"), violation: "it is built from"},
		"another case of the host":           {predicate: v1Predicate(builderID, "https://GitHub.com/example/app"), want: 3},
		"with .git":                          {predicate: v1Predicate(builderID, source+".git"), want: 3},
		"with .git and a reference":          {predicate: v1Predicate(builderID, source+".git@refs/tags/v1"), want: 3},
		"with a slash":                       {predicate: v1Predicate(builderID, source+"/@v1"), want: 3},
		"with .git and a slash":              {predicate: v1Predicate(builderID, source+".git/"), want: 3},
		"another scheme":                     {predicate: v1Predicate(builderID, "http://github.com/example/app"), violation: "it is built from"},
		"no scheme where the policy has one": {predicate: v1Predicate(builderID, "github.com/example/app"), violation: "it is built from"},
		"a policy without a scheme":          {source: "github.com/example/app", predicate: v1Predicate(builderID, "ssh://github.com/example/app"), want: 3},
		"a policy with git+ and .git":        {source: "git+https://GITHUB.com/example/app.git/", predicate: v1Predicate(builderID, source), want: 3},
		"a policy of nothing":                {source: "git+", predicate: v1Predicate(builderID, ""), violation: "it is built from"},
		"a user in the host":                 {predicate: v1Predicate(builderID, "https://github.com@evil.example/example/app"), violation: "it is built from"},
		"a dependency that is not git": {
			predicate: strings.Replace(v1Predicate(builderID, source), "git+https", "https", 1), violation: "it is built from nothing",
		},
		"a dependency with a commit": {
			predicate: strings.Replace(v1Predicate(builderID, source), `"git+`+source+`"`, `"`+source+`","digest":{"gitCommit":"0123"}`, 1), want: 3,
		},
		"the parameter source": {
			predicate: strings.Replace(v1Predicate(builderID, "https://github.com/lib/x"), `"externalParameters":{}`, `"externalParameters":{"source":"git+`+source+`@refs/heads/main"}`, 1), want: 3,
		},
		"the parameter source with a uri": {
			predicate: strings.Replace(v1Predicate(builderID, "https://github.com/lib/x"), `"externalParameters":{}`, `"externalParameters":{"source":{"uri":"`+source+`"}}`, 1), want: 3,
		},
		"another parameter, with the dependency": {
			predicate: strings.Replace(v1Predicate(builderID, source), `"externalParameters":{}`, `"externalParameters":{"source":"https://github.com/evil/app"}`, 1),
			violation: `it is built from "https://github.com/evil/app"`,
		},
		"a parameter that cannot be read": {
			predicate: strings.Replace(v1Predicate(builderID, source), `"externalParameters":{}`, `"externalParameters":{"source":[1]}`, 1),
			violation: `it is built from ""`,
		},
		"the workflow's repository": {
			predicate: strings.Replace(v1Predicate(builderID, "https://github.com/lib/x"), `"externalParameters":{}`, `"externalParameters":{"workflow":{"repository":"`+source+`"}}`, 1), want: 3,
		},
		"two parameters that differ": {
			predicate: strings.Replace(v1Predicate(builderID, source), `"externalParameters":{}`,
				`"externalParameters":{"source":"`+source+`","workflow":{"repository":"https://github.com/evil/app"}}`, 1),
			violation: `it is built from "https://github.com/example/app" or "https://github.com/evil/app"`,
		},
		"version 0.2, another parameter with the material": {
			kind: v02Type, predicate: strings.Replace(v02Predicate(builderID, "https://github.com/evil/app"), "pkg:docker/a", "git+"+source, 1),
			violation: `it is built from "git+https://github.com/evil/app@refs/heads/main"`,
		},
		"version 0.2, only the material": {
			kind: v02Type, predicate: strings.Replace(strings.Replace(v02Predicate(builderID, "x"), "pkg:docker/a", "git+"+source, 1), `"uri":"git+x@refs/heads/main",`, "", 1),
			want: 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, e := policy(t), image(t, attest(digest("a")))
			p.Level = test.level
			if test.builder != "" {
				p.Builders[0].ID = test.builder
			}
			if test.source != "" {
				p.Sources[0] = test.source
			}
			kind := test.kind
			if kind == "" {
				kind = v1Type
			}
			e.Attestations[0].Statement = statement(kind, test.predicate, digest("a"))
			checkResult(t, provenance.Judge(bound(p), e), test.want, test.violation)
		})
	}
}
