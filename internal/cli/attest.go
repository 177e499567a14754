package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// The names by which records and summaries call cip, unless flags say otherwise.
const (
	builderID       = "https://sigs.k8s.io/k8s-container-image-promoter@"
	verifierID      = "https://sigs.k8s.io/k8s-container-image-promoter/verifier/v1"
	reviewedLevel   = "PROMOTION_MANIFEST_REVIEWED"
	passwordKey     = "COSIGN_PASSWORD"
	dirty           = "-dirty" // the end of a commit whose files were changed
	verifierProgram = "cip"
)

// attestOptions are the flags about the evidence that is written, and who signs it.
type attestOptions struct {
	records, summaries, signatures bool

	key, tokenFile, account  string
	summaryAccount           string
	fulcio, rekor, timestamp string
	builder, verifier, level string

	advice string // that an error about the signer ends with: no flag has it
}

func (o *attestOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.records, "attest", false, "attach a signed promotion record to each promoted image")
	f.BoolVar(&o.summaries, "verification-summaries", false, "attach a signed verification summary (VSA) to each promoted image and platform")
	f.BoolVar(&o.signatures, "sign", false, "sign promoted images and their children like cosign")
	o.addSignerFlags(f)
}

// addSignerFlags adds the flags about who signs, and the names in what is signed.
func (o *attestOptions) addSignerFlags(f *pflag.FlagSet) {
	f.StringVar(&o.key, "signing-key", "", "sign with the private key in this PEM `file`; COSIGN_PASSWORD decrypts it")
	f.StringVar(&o.tokenFile, "identity-token-file", "", "sign keyless with the OpenID Connect token in this `file`")
	f.StringVar(&o.account, "signer-account", "", "sign keyless as this Google service `account`")
	f.StringVar(&o.summaryAccount, "summary-signer-account", "", "sign the summaries keyless as this Google service `account`, instead of the signer of the rest")
	f.StringVar(&o.fulcio, "fulcio-url", "", "`address` that issues certificates (default: sigstore's, with its log and timestamps)")
	f.StringVar(&o.rekor, "rekor-url", "", "`address` of the transparency log for signatures")
	f.StringVar(&o.timestamp, "timestamp-url", "", "`address` of the timestamp authority for signatures, with its path")
	f.StringVar(&o.builder, "builder-id", "", "builderId `URI` of promotion records (default: cip's, with its version)")
	f.StringVar(&o.verifier, "verifier-id", "", "verifier.id `URI` of verification summaries (default: cip's)")
	f.StringVar(&o.level, "reviewed-level", reviewedLevel, "verified `level` of images in reviewed manifests, in verification summaries")
}

// check returns an error if flags contradict each other, or say who signs and not what.
func (o *attestOptions) check() error {
	switch {
	case o.key != "" && (o.tokenFile != "" || o.account != ""):
		return errors.New("--signing-key excludes --identity-token-file and --signer-account")
	case o.signs() && !o.any():
		return errors.New("nothing is to be signed: a signer needs --attest, --verification-summaries or --sign")
	case o.summaryAccount != "" && !o.summaries:
		return errors.New("--summary-signer-account needs --verification-summaries")
	}
	return nil
}

// signs reports whether a flag says who signs.
func (o *attestOptions) signs() bool {
	return o.key != "" || o.tokenFile != "" || o.account != "" || o.summaryAccount != ""
}

// any reports whether something is signed.
func (o *attestOptions) any() bool { return o.records || o.summaries || o.signatures }

// wanted reports whether a run of the manifests writes evidence, or carries it along.
func (o *attestOptions) wanted(set *manifest.Set) bool {
	if o.any() {
		return true
	}
	for _, m := range set.Manifests {
		for _, d := range m.Destinations {
			if d.Referrers == manifest.ReferrersAccepted {
				return true
			}
		}
	}
	return false
}

// signer returns the signer, or nil if nothing is signed. A dry run needs none, but one
// that is not usable is an error there, too.
func (o *attestOptions) signer(ctx context.Context, s *session, caFile string, isDry bool) (*attest.Signer, error) {
	if !o.any() {
		return nil, nil
	}
	so, err := o.signerOptions(s, caFile)
	if err != nil {
		return nil, err
	}
	if o.key != "" {
		so.KeyName = "--signing-key " + o.key
		if so.Key, err = load.File(o.key, load.MaxKey); err != nil {
			return nil, fmt.Errorf("reading --signing-key: %w", err)
		}
		so.Fulcio, so.Rekor, so.Timestamp = "", o.rekor, o.timestamp
		return attest.NewSigner(ctx, so)
	}
	so.Token, err = o.identities(s, so.Transport).Token()
	if errors.Is(err, attest.ErrNoIdentity) && isDry {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return attest.NewSigner(ctx, so)
}

// summarySigner returns the signer of summaries, or nil if it is that of everything else.
func (o *attestOptions) summarySigner(ctx context.Context, s *session, caFile string) (*attest.Signer, error) {
	if !o.summaries || o.summaryAccount == "" {
		return nil, nil
	}
	so, err := o.signerOptions(s, caFile)
	if err != nil {
		return nil, err
	}
	only := attest.Identities{Account: o.summaryAccount, Getenv: func(string) string { return "" }, Web: so.Transport}
	if so.Token, err = only.Token(); err != nil {
		return nil, err
	}
	signer, err := attest.NewSigner(ctx, so)
	if err != nil {
		return nil, fmt.Errorf("--summary-signer-account: %w", err)
	}
	return signer, nil
}

// signerOptions returns the options of a keyless signer, without its token.
func (o *attestOptions) signerOptions(s *session, caFile string) (attest.SignerOptions, error) {
	web, err := webWith(caFile)
	so := attest.SignerOptions{
		Password: []byte(s.getenv(passwordKey)), Fulcio: o.fulcio, Rekor: o.rekor, Timestamp: o.timestamp,
		UserAgent: "cip/" + s.build.Version, Transport: web, Now: time.Now,
	}
	if o.fulcio == "" {
		so.Fulcio, so.Rekor, so.Timestamp = attest.PublicFulcio, cmp.Or(o.rekor, attest.PublicRekor), cmp.Or(o.timestamp, attest.PublicTimestamp)
	}
	return so, err
}

// identities returns where the token of a keyless signer is.
func (o *attestOptions) identities(s *session, web *http.Transport) attest.Identities {
	i := attest.Identities{Account: o.account, Getenv: s.getenv, Web: web}
	if o.tokenFile != "" {
		i.File = func() ([]byte, error) { return load.File(o.tokenFile, load.MaxKey) }
	}
	return i
}

// webWith returns a transport that trusts the certificates of a file, too; nil: the
// default.
func webWith(caFile string) (*http.Transport, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := load.File(caFile, load.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("reading --ca-file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("reading --ca-file: it has no certificate in PEM form")
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}, nil
}

// options returns what the evidence says, and which of it is written. The caller adds what
// reads and writes.
func (o *attestOptions) options(s *session, at load.Manifests, commit string) attest.Options {
	w := attest.Options{
		Records: o.records, Summaries: o.summaries, Signatures: o.signatures,
		Builder: cmp.Or(o.builder, builderID+s.build.Version), Promoter: attest.Promoter{Version: s.build.Version, Commit: s.build.Commit}, Job: attest.JobOf(s.getenv),
		Verifier: attest.Verifier{ID: cmp.Or(o.verifier, verifierID), Version: map[string]string{verifierProgram: s.build.Version}}, Level: o.level,
		Origin: attest.Origin{Path: at.URIs()}, Time: time.Now(),
	}
	if repo, err := git.Open(at.Path()); err == nil {
		remote, tree := repo.Origin()
		w.Origin.URI = attest.RepositoryURI(remote, tree, s.getenv)
	}
	if !strings.HasSuffix(commit, dirty) {
		w.Origin.Commit = commit
	}
	return w
}

// attestation is the evidence of one run of cip run.
type attestation struct {
	*attestOptions
	trust   *trustOptions
	sources *evidence.Reader // of what policies are judged by
	at      load.Manifests

	options  attest.Options
	set      *manifest.Set
	usual    manifest.ReferrersMode // what destinations get of the source's referrers
	writer   *attest.Writer
	evidence *attest.Evidence
}

// prepareEvidence prepares the evidence of a run. Afterwards attestation is nil if there
// is none to write.
func (p *promotion) prepareEvidence(ctx context.Context) error {
	if p.attestation == nil || !p.attestation.wanted(p.job.Set) {
		p.attestation = nil
		return nil
	}
	return p.attestation.prepare(ctx, p)
}

// carryOut carries out a plan unless it is a dry run, and writes the evidence about what
// was promoted.
func (p *promotion) carryOut(ctx context.Context, promotion *promote.Promotion, result *plan.Plan) {
	if p.attestation != nil {
		p.attestation.plan(ctx, promotion.Client(), result)
		defer p.attestation.report(result)
	}
	if p.isDry {
		return
	}
	promotion.Run(ctx, result)
	if p.attestation != nil {
		p.attestation.run(ctx, result, p.progress)
	}
}

// prepare makes the signer and what verifies earlier evidence. Nothing is sent to a
// registry yet.
func (a *attestation) prepare(ctx context.Context, p *promotion) error {
	a.set = p.job.Set
	switch {
	case p.referrers:
		a.usual = manifest.ReferrersAll
	case a.any():
		a.usual = manifest.ReferrersAccepted
	}
	signer, err := a.signer(ctx, p.session, p.caFile, p.isDry)
	if err != nil && a.advice != "" {
		return fmt.Errorf("%w; %s", err, a.advice)
	}
	if err != nil {
		return err
	}
	summaries, err := a.summarySigner(ctx, p.session, p.caFile)
	if err != nil {
		return err
	}
	var keys [][]byte
	if signer != nil && signer.Public() != nil {
		keys = append(keys, signer.Public())
	}
	trust, err := a.trust.trust(p.session, keys...)
	if err != nil {
		return err
	}
	a.options = a.attestOptions.options(p.session, a.at, p.origin.Commit)
	a.options.DryRun, a.options.Signer, a.options.SummarySigner, a.options.Trust = p.isDry, signer, summaries, trust
	a.options.Reader, a.options.Judge = evidence.NewReader(p.job.Reader, trust), evidence.NewJudge(a.set.Policies(), a.sources)
	return nil
}

// plan finds out which evidence is lacking.
func (a *attestation) plan(ctx context.Context, c *registry.Client, result *plan.Plan) {
	a.options.Client = c
	a.writer = attest.NewWriter(a.options)
	a.evidence = a.writer.Plan(ctx, attest.Promoted(a.set, result.Items, a.usual))
}

// run writes the evidence about what was promoted.
func (a *attestation) run(ctx context.Context, result *plan.Plan, progress *output.Progress) {
	progress.Start("writing evidence", a.evidence.Steps())
	a.evidence.Run(ctx, attest.Promoted(a.set, result.Items, a.usual), progress.Step)
	progress.Finish()
}

// report adds the evidence to a plan. Nothing can be written afterwards.
func (a *attestation) report(result *plan.Plan) {
	result.Items = append(result.Items, a.evidence.Items()...)
	result.Warnings = append(result.Warnings, a.evidence.Warnings()...)
	if err := a.writer.Close(); err != nil {
		result.Warnings = append(result.Warnings, err.Error())
	}
}
