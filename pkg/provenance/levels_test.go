package provenance_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// signedBy returns provenance of a builder that has another signer.
func signedBy(san, builder string) provenance.Attestation {
	a := attest(digest("a"))
	a.Signer.SAN = san
	a.Statement = statement(provenance.ProvenanceV1, v1Predicate(builder, source), digest("a"))
	return a
}

func TestJudgeLevels(t *testing.T) {
	t.Parallel()
	const weak, strong = "https://builder.example/weak", "https://builder.example/strong"
	spec := func(san string) string { return "sigstore::" + google + "::" + san }
	isolated := []provenance.Builder{{ID: weak, Level: 1, Signers: []string{spec("weak@a")}}, {ID: strong, Level: 3, Signers: []string{spec("strong@a")}}}
	withFree := []provenance.Builder{{ID: weak, Level: 1}, {ID: strong, Level: 3, Signers: []string{spec("strong@a")}}}
	noID := signedBy("strong@a", strong)
	noID.Statement = statement(provenance.ProvenanceV1, strings.Replace(v1Predicate(strong, source), "invocationId", "x", 1), digest("a"))
	for name, test := range map[string]struct {
		builders     []provenance.Builder
		level, want  int
		attestations []provenance.Attestation
		got          int
		violation    string
	}{
		"level 1 and isolated level 3":           {isolated, 0, 0, []provenance.Attestation{signedBy("weak@a", weak), signedBy("strong@a", strong)}, 3, ""},
		"in the other order":                     {isolated, 0, 0, []provenance.Attestation{signedBy("strong@a", strong), signedBy("weak@a", weak)}, 3, ""},
		"level 1 alone":                          {isolated, 0, 0, []provenance.Attestation{signedBy("weak@a", weak)}, 1, ""},
		"level 1 alone, level 2":                 {isolated, 2, 0, []provenance.Attestation{signedBy("weak@a", weak)}, 0, "its signer may name a builder of level 1"},
		"level 1 alone, level 3 wanted":          {isolated, 0, 3, []provenance.Attestation{signedBy("weak@a", weak)}, 1, "it has level 1, want 3 by levels: sha256:" + digest("e").Hex + ": its signer may name a builder of level 1"},
		"the level-1 signer claims level 3":      {isolated, 0, 0, []provenance.Attestation{signedBy("weak@a", strong)}, 0, `it names the builder "https://builder.example/strong", want "https://builder.example/weak"`},
		"the level-3 signer claims level 1":      {isolated, 0, 0, []provenance.Attestation{signedBy("strong@a", weak)}, 0, "it names the builder"},
		"a signer of no builder":                 {isolated, 0, 0, []provenance.Attestation{signedBy("free@a", weak)}, 0, "which may name no builder of the policy"},
		"a signer of no builder, a free builder": {withFree, 0, 0, []provenance.Attestation{signedBy("free@a", weak)}, 1, ""},
		"a free signer claims an isolated one":   {withFree, 0, 0, []provenance.Attestation{signedBy("free@a", strong)}, 0, "it names the builder"},
		"an isolated signer claims a free one":   {withFree, 0, 0, []provenance.Attestation{signedBy("strong@a", weak)}, 0, "it names the builder"},
		"a signer of two specifications":         {isolated, 0, 0, []provenance.Attestation{signedBy("both@a", strong)}, 1, ""},
		"a signer of two, level 2":               {isolated, 2, 0, []provenance.Attestation{signedBy("both@a", strong)}, 0, "its signer may name a builder of level 1"},
		"level 3 wanted, and reached":            {isolated, 0, 3, []provenance.Attestation{signedBy("weak@a", weak), signedBy("strong@a", strong)}, 3, ""},
		"level 2 of level 2":                     {isolated, 2, 2, []provenance.Attestation{noID}, 2, ""},
		"level 3 wanted of level 2":              {isolated, 2, 3, []provenance.Attestation{noID}, 2, "it has level 2, want 3 by levels: sha256:" + digest("e").Hex + ": it has no invocation id"},
		"reasons of rejected ones":               {isolated, 2, 3, []provenance.Attestation{noID, signedBy("free@a", weak)}, 2, "may name no builder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy(t)
			p.Signers = signers(t, spec("weak@a"), spec("strong@a"), spec("free@a"))
			if test.attestations[0].Signer.SAN == "both@a" {
				specs := []string{"sigstore(regexp)::.*::b.*", "sigstore(regexp)::.*::.*h@a"}
				p.Signers = signers(t, specs...)
				test.builders = []provenance.Builder{{ID: weak, Level: 1, Signers: specs[:1]}, {ID: strong, Level: 3, Signers: specs[1:]}}
			}
			p.Builders, p.Level = test.builders, test.level
			b := bound(p)
			b.Want = test.want
			checkResult(t, provenance.Judge(b, image(t, test.attestations...)), test.got, test.violation)
		})
	}
}

func TestJudgeBinding(t *testing.T) {
	t.Parallel()
	commit := strings.Repeat("0a", 20)
	for name, test := range map[string]struct {
		builder   string // that the provenance names; the policy names it without a reference
		san       string
		issuer    string // actions, unless given
		source    string // of the certificate
		violation string
	}{
		"the workflow":                     {builder: workflowID + "@refs/heads/main", san: workflowID + "@refs/heads/main"},
		"with a source":                    {builder: workflowID + "@refs/heads/main", san: workflowID + "@refs/heads/main", source: source},
		"another source":                   {builder: workflowID + "@refs/heads/main", san: workflowID + "@refs/heads/main", source: "https://github.com/evil/app", violation: `its certificate is for the source "https://github.com/evil/app"`},
		"another workflow":                 {builder: workflowID + "@refs/heads/main", san: strings.Replace(workflowID, "build", "other", 1) + "@refs/heads/main", violation: "want the same workflow"},
		"another reference":                {builder: workflowID + "@refs/heads/main", san: workflowID + "@refs/heads/evil", violation: "want the same workflow"},
		"a longer reference":               {builder: workflowID + "@refs/heads/main", san: workflowID + "@refs/heads/main2", violation: "want the same workflow"},
		"no reference":                     {builder: workflowID, san: workflowID + "@refs/heads/main", violation: "want the same workflow"},
		"no reference at all":              {builder: workflowID, san: workflowID, violation: "want the same workflow"},
		"a commit":                         {builder: workflowID + "@" + commit, san: workflowID + "@refs/heads/main"},
		"a commit of SHA-256":              {builder: workflowID + "@" + strings.Repeat("0a", 32), san: workflowID + "@refs/heads/main"},
		"a short commit":                   {builder: workflowID + "@" + commit[:12], san: workflowID + "@refs/heads/main", violation: "want the same workflow"},
		"a commit, and the same":           {builder: workflowID + "@" + commit, san: workflowID + "@" + commit},
		"a commit, and another":            {builder: workflowID + "@" + commit, san: workflowID + "@" + strings.Repeat("0b", 20), violation: "want the same workflow"},
		"a file with @ in its name":        {builder: workflowID + "@" + commit, san: workflowID + "@b.yml@refs/heads/main", violation: "want the same workflow"},
		"an address":                       {builder: workflowID + "@refs/heads/main", san: mail, violation: "want the same workflow"},
		"a Google account":                 {builder: workflowID + "@refs/heads/main", san: mail, issuer: google, violation: "and is signed by the Google account"},
		"Google with the workflow":         {builder: workflowID + "@refs/heads/main", san: workflowID + "@refs/heads/main", issuer: google, violation: "and is signed by the Google account"},
		"a host in another case":           {builder: "https://GitHub.com/a/b@refs/heads/main", san: "https://GitHub.com/a/b@refs/heads/main", violation: "want the same workflow"},
		"GitHub without TLS":               {builder: "http://github.com/a/b@refs/heads/main", san: mail, violation: "want the same workflow"},
		"another host":                     {builder: "https://github.com.example/b", san: mail},
		"GitHub's hosted runners":          {builder: "https://github.com/actions/runner", san: workflowID + "@refs/heads/main", violation: "want the same workflow"},
		"another builder by a workflow":    {builder: builderID, san: workflowID + "@refs/heads/main", source: "https://github.com/evil/app"},
		"a generator":                      {builder: generator + "@refs/tags/v2.1.0", san: generator + "@refs/tags/v2.1.0", source: source},
		"a generator at a branch":          {builder: generator + "@refs/heads/main", san: generator + "@refs/heads/main", violation: "want a release of the generators"},
		"a generator at a pre-release":     {builder: generator + "@refs/tags/v2.1.0-rc.1", san: generator + "@refs/tags/v2.1.0-rc.1", violation: "want a release of the generators"},
		"a generator at a major version":   {builder: generator + "@refs/tags/v2", san: generator + "@refs/tags/v2", violation: "want a release of the generators"},
		"a generator at a commit":          {builder: generator + "@" + commit, san: generator + "@" + commit, violation: "want a release of the generators"},
		"a generator in another case":      {builder: builderID, san: strings.Replace(generator, "slsa-framework", "SLSA-Framework", 1) + "@refs/heads/x", violation: "want a release of the generators"},
		"a generator for another builder":  {builder: workflowID + "@refs/heads/main", san: generator + "@refs/tags/v2.1.0", violation: "want the same workflow"},
		"a delegator":                      {builder: workflowID + "@refs/heads/main", san: delegator + "@refs/tags/v2.1.0", source: source},
		"a delegator for a builder":        {builder: builderID, san: delegator + "@refs/tags/v2.1.0"},
		"a delegator of another source":    {builder: builderID, san: delegator + "@refs/tags/v2.1.0", source: "https://github.com/evil/app", violation: "its certificate is for the source"},
		"a delegator at a branch":          {builder: builderID, san: delegator + "@refs/heads/main", violation: "want a release of the generators"},
		"a delegator of another framework": {builder: workflowID + "@refs/heads/main", san: strings.Replace(delegator, "slsa-framework", "evil", 1) + "@refs/tags/v2.1.0", violation: "want the same workflow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, a := policy(t), attest(digest("a"))
			p.Signers = signers(t, "sigstore(regexp)::.*::.*")
			id, _, _ := strings.Cut(test.builder, "@")
			p.Builders[0].ID = id
			a.Signer = provenance.Identity{SAN: test.san, Issuer: actions, SourceRepository: test.source}
			if test.issuer != "" {
				a.Signer.Issuer = test.issuer
			}
			a.Statement = statement(provenance.ProvenanceV1, v1Predicate(test.builder, source), digest("a"))
			level := 3
			if test.violation != "" {
				level = 0
			}
			checkResult(t, provenance.Judge(bound(p), image(t, a)), level, test.violation)
		})
	}
}

func TestJudgeCaller(t *testing.T) {
	t.Parallel()
	const build = workflowID + "@refs/tags/v1"
	workflow := func(repository, path, ref string) string {
		return strings.Replace(v1Predicate(builderID, "x"), `"externalParameters":{}`,
			`"externalParameters":{"workflow":{"repository":"`+repository+`","path":"`+path+`","ref":"`+ref+`"}}`, 1)
	}
	good := workflow(source, ".github/workflows/build.yml", "refs/tags/v1")
	old := strings.NewReplacer(`"x"`, `".github/workflows/build.yml"`, "refs/heads/main", "refs/tags/v1").Replace(v02Predicate(builderID, source))
	files := []string{".github/workflows/release.yml", ".github/workflows/build.yml"}
	for name, test := range map[string]struct {
		caller    provenance.Caller
		config    string
		source    string
		predicate string
		violation string
	}{
		"good":                      {caller: provenance.Caller{Workflows: files, Refs: []string{"refs/tags/v*"}}, config: build, source: source, predicate: good},
		"any workflow":              {caller: provenance.Caller{Refs: []string{"refs/heads/main", "refs/tags/v?"}}, config: build, predicate: good},
		"version 0.2":               {caller: provenance.Caller{Workflows: files, Refs: []string{"refs/tags/v*"}}, config: build, predicate: old},
		"version 0.2, another ref":  {caller: provenance.Caller{Refs: []string{"refs/tags/v*"}}, config: build + "2", predicate: old, violation: "it names the workflow"},
		"version 0.2, another file": {caller: provenance.Caller{Refs: []string{"refs/tags/v*"}}, config: build, predicate: strings.Replace(old, "/build.yml", "/b.yml", 1), violation: "it names the workflow"},
		"no refs":                   {caller: provenance.Caller{Workflows: files}, config: build, predicate: good, violation: `it was called at "refs/tags/v1", want nothing`},
		"another ref":               {caller: provenance.Caller{Refs: []string{"refs/heads/*"}}, config: build, predicate: good, violation: `it was called at "refs/tags/v1", want "refs/heads/*"`},
		"a star does not cross /":   {caller: provenance.Caller{Refs: []string{"refs/*"}}, config: build, predicate: good, violation: "it was called at"},
		"a malformed pattern":       {caller: provenance.Caller{Refs: []string{"refs/["}}, config: build, predicate: good, violation: "it was called at"},
		"another workflow":          {caller: provenance.Caller{Workflows: files[:1], Refs: []string{"refs/tags/*"}}, config: build, predicate: good, violation: `it was called by the workflow ".github/workflows/build.yml", want ".github/workflows/release.yml"`},
		"no build config":           {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, predicate: good, violation: `its certificate names the build config ""`},
		"not a workflow":            {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, config: "https://gitlab.com/example/app//.gitlab-ci.yml@refs/tags/v1", predicate: good, violation: "want a workflow of GitHub"},
		"no ref in it":              {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, config: workflowID, predicate: good, violation: "want a workflow of GitHub"},
		"of another repository":     {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, config: strings.Replace(build, "example", "evil", 1), predicate: good, violation: `its certificate names a build config of "https://github.com/evil/app"`},
		"two repositories":          {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, config: build, source: "https://github.com/evil/app", predicate: good, violation: `and its build config for "https://github.com/example/app"`},
		"another repository named":  {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, config: build, predicate: strings.Replace(workflow(source+"2", files[1], "refs/tags/v1"), `:{"workflow"`, `:{"source":"`+source+`","workflow"`, 1), violation: "it names the workflow"},
		"another path named":        {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, config: build, predicate: workflow(source, files[0], "refs/tags/v1"), violation: "it names the workflow"},
		"another ref named":         {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, config: build, predicate: workflow(source, files[1], "refs/tags/v2"), violation: "it names the workflow"},
		"no workflow named":         {caller: provenance.Caller{Refs: []string{"refs/tags/*"}}, config: build, predicate: v1Predicate(builderID, source), violation: "it names the workflow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, a := policy(t), attest(digest("a"))
			p.Level = 2
			p.Builders[0].Caller = &test.caller
			a.Signer.BuildConfig, a.Signer.SourceRepository = test.config, test.source
			a.Statement = statement(provenance.ProvenanceV1, test.predicate, digest("a"))
			if strings.Contains(test.predicate, "configSource") {
				a.Statement.PredicateType = provenance.ProvenanceV02
			}
			level := 3
			if test.violation != "" {
				level = 0
			}
			checkResult(t, provenance.Judge(bound(p), image(t, a)), level, test.violation)
		})
	}
}
