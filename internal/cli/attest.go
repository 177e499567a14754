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

// sign sets the signers of evidence, if something is signed. A dry run needs none, but one
// that is not usable is an error there, too.
func (o *attestOptions) sign(ctx context.Context, s *session, roots []byte, w *attest.Options) error {
	if !o.any() {
		return nil
	}
	with, err := o.signerOptions(s, roots)
	if err == nil {
		w.Signer, err = o.signer(ctx, s, with, w.DryRun)
	}
	if err != nil && o.advice != "" {
		err = fmt.Errorf("%w; %s", err, o.advice)
	}
	if err != nil || o.summaryAccount == "" {
		return err
	}
	only := attest.Identities{Account: o.summaryAccount, Getenv: func(string) string { return "" }, Web: with.Transport}
	if with.Token, err = only.Token(); err != nil {
		return err
	}
	if w.SummarySigner, err = attest.NewSigner(ctx, with); err != nil {
		return fmt.Errorf("--summary-signer-account: %w", err)
	}
	return nil
}

// signer returns the signer of everything that has no other one; nil: a dry run has none.
func (o *attestOptions) signer(ctx context.Context, s *session, with attest.SignerOptions, isDry bool) (*attest.Signer, error) {
	if o.key != "" {
		pem, err := load.File(o.key, load.MaxKey)
		if err != nil {
			return nil, fmt.Errorf("reading --signing-key: %w", err)
		}
		with.Key, with.KeyName = pem, "--signing-key "+o.key
		with.Fulcio, with.Rekor, with.Timestamp = "", o.rekor, o.timestamp
		return attest.NewSigner(ctx, with)
	}
	identities := attest.Identities{Account: o.account, Getenv: s.getenv, Web: with.Transport}
	if o.tokenFile != "" {
		identities.File = func() ([]byte, error) { return load.File(o.tokenFile, load.MaxKey) }
	}
	var err error
	with.Token, err = identities.Token()
	if errors.Is(err, attest.ErrNoIdentity) && isDry {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return attest.NewSigner(ctx, with)
}

// signerOptions returns the options of a keyless signer, without its token. roots are the
// certificates that it trusts in addition to the system's.
func (o *attestOptions) signerOptions(s *session, roots []byte) (attest.SignerOptions, error) {
	with := attest.SignerOptions{
		Password: []byte(s.getenv(passwordKey)), Fulcio: o.fulcio, Rekor: o.rekor, Timestamp: o.timestamp, UserAgent: "cip/" + s.build.Version, Now: time.Now,
	}
	if o.fulcio == "" {
		with.Fulcio, with.Rekor, with.Timestamp = attest.PublicFulcio, cmp.Or(o.rekor, attest.PublicRekor), cmp.Or(o.timestamp, attest.PublicTimestamp)
	}
	if roots == nil {
		return with, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(roots) {
		return with, errors.New("reading --ca-file: it has no certificate in PEM form")
	}
	with.Transport = &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}
	return with, nil
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
	*runOptions
	sources *evidence.Reader // of what policies are judged by

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
	if a := p.attestation; a != nil {
		p.writeEvidence(ctx, a.evidence, attest.Promoted(a.set, result.Items, a.usual))
	}
}

// writeEvidence writes evidence that is lacking.
func (s *session) writeEvidence(ctx context.Context, e *attest.Evidence, about []attest.Subject) {
	s.progress.Start("writing evidence", e.Steps())
	e.Run(ctx, about, s.progress.Step)
	s.progress.Finish()
}

// prepare makes the signers and what verifies earlier evidence. Nothing is sent to a
// registry yet.
func (a *attestation) prepare(ctx context.Context, p *promotion) error {
	a.set = p.job.Set
	switch {
	case p.referrers:
		a.usual = manifest.ReferrersAll
	case a.any():
		a.usual = manifest.ReferrersAccepted
	}
	a.options = a.attestOptions.options(p.session, p.at, p.origin.Commit)
	a.options.DryRun = p.isDry
	roots, err := a.roots()
	if err != nil {
		return err
	}
	if err := a.sign(ctx, p.session, roots, &a.options); err != nil {
		return err
	}
	var keys [][]byte
	if s := a.options.Signer; s != nil && s.Public() != nil {
		keys = append(keys, s.Public())
	}
	trust, err := a.trust(p.session, keys...)
	if err != nil {
		return err
	}
	a.options.Trust, a.options.Reader, a.options.Judge = trust, evidence.NewReader(p.job.Reader, trust), evidence.NewJudge(a.set.Policies(), a.sources)
	return nil
}

// plan finds out which evidence is lacking.
func (a *attestation) plan(ctx context.Context, c *registry.Client, result *plan.Plan) {
	a.options.Client = c
	a.writer = attest.NewWriter(a.options)
	a.evidence = a.writer.Plan(ctx, attest.Promoted(a.set, result.Items, a.usual))
}

// report adds the evidence to a plan. Nothing can be written afterwards.
func (a *attestation) report(result *plan.Plan) {
	result.Items = append(result.Items, a.evidence.Items()...)
	result.Warnings = append(result.Warnings, a.evidence.Warnings()...)
	if err := a.writer.Close(); err != nil {
		result.Warnings = append(result.Warnings, err.Error())
	}
}
