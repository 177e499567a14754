package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/verify"
)

// verifyOptions are the flags of cip verify.
type verifyOptions struct {
	manifestOptions
	trustOptions
	attestOptions
	registryOptions

	names     *manifest.Set // public names of destinations if there are no manifests: no flag has them
	since     string
	signature bool
	confirm   bool
	output    string
}

func (o *verifyOptions) addFlags(f *pflag.FlagSet) {
	o.manifestOptions.addFlags(f)
	o.trustOptions.addFlags(f)
	f.Lookup("signature-key").Usage = "count records and signatures by the public key in this PEM `file`"
	f.Lookup("certificate-identity").Usage = "count records and signatures by a certificate of this `identity`"
	f.StringVar(&o.since, "since", "", "verify only what changed in the manifests since this git `revision`, date (2026-11-01) or duration (14d); auto: as the job's environment says")
	f.BoolVar(&o.signature, "require-signature", false, "also require a signature of each image")
	f.BoolVar(&o.confirm, "confirm", false, "write what images lack: records and, with their flags, summaries and signatures")
	f.BoolVar(&o.summaries, "verification-summaries", false, "with --confirm: also write verification summaries that are missing or superseded")
	o.attestOptions.addSignerFlags(f)
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text, json or markdown (default text)")
	o.registryOptions.addFlags(f)
	o.addAccountFlags(f)
}

func newVerifyCmd(o *verifyOptions, s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [REFERENCE…]",
		Short: "Verify that images are in production for a reason",
		Long: `verify prints the chain from each image to its reason: the promotion record,
the line of the manifest that wants the image, in the commit that the record
names, the source, and the provenance by each policy. REFERENCE is an image at a
destination, or under its public name, with a tag or a digest. Without it, all
images that the manifests want are verified, or with --since those that changed.

The flags --signature-key and --certificate-* say whose records count. The exit
code is 1 if a link is missing or does not verify. With --confirm, what images
lack is written, signed as by cip run, and then they are verified again.`,
		Annotations: exits(),
		Example: `  cip verify registry.example.com/web:1.4 --signature-key=release.pub
  cip verify registry.example.com/web:1.4 --thin-manifest-dir=. --signature-key=release.pub
  cip verify --thin-manifest-dir=. --since=14d --signature-key=release.pub --output=markdown`,
		Args: cobra.ArbitraryArgs,
		RunE: o.withLog(s, o.run),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// verification is one run of cip verify.
type verification struct {
	*verifyOptions
	*session
	set      *manifest.Set // nil: none are given
	base     *manifest.Set // nil: without --since
	verifier verify.Verifier
	repair   *repair // nil: without --confirm
}

// run carries out cip verify.
func (o *verifyOptions) run(ctx context.Context, s *session, args []string) error {
	v := &verification{verifyOptions: o, session: s}
	format, err := output.VerifyFormat(o.output)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0 && o.path() == "":
		return errors.New("want a REFERENCE, --manifest or --thin-manifest-dir")
	case len(args) > 0 && o.since != "":
		return errors.New("--since selects images of the manifests: it excludes a REFERENCE")
	case !o.confirm && (o.signs() || o.summaries):
		return errors.New("nothing is to be written: a signer and --verification-summaries need --confirm")
	}
	if v.verifier.Signers, err = o.signers(); err != nil {
		return err
	}
	if len(v.verifier.Signers) == 0 {
		return errors.New("say whose records count: --signature-key, or --certificate-identity and --certificate-oidc-issuer")
	}
	v.verifier.RequireSignature = o.signature
	if err := offline(ctx, func() error { return v.read(ctx) }); err != nil {
		return err
	}
	if o.confirm {
		if err := v.prepareRepair(ctx); err != nil {
			return err
		}
	}
	client, err := v.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	chains, err := v.chains(ctx, args)
	if err == nil && v.repair != nil {
		chains, err = v.repair.run(ctx, chains)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	result := output.Verification{Chains: chains, Named: len(args) > 0}
	if err := output.WriteVerification(s.out, result, format, s.color()); err != nil {
		return err
	}
	return failIf(verify.Bad(chains) || v.repair != nil && v.repair.failed)
}

// read reads the manifests and opens their git repository.
func (v *verification) read(ctx context.Context) error {
	if v.path() == "" {
		return nil
	}
	at, err := v.location()
	if err != nil {
		return err
	}
	if v.set, err = v.load(); err != nil {
		return err
	}
	v.logFaults(v.set.Faults)
	if v.set.Broken() {
		return fmt.Errorf("the manifests at %s are broken", v.path())
	}
	v.verifier.Commits, err = verify.OpenCommits(at)
	if errors.Is(err, git.ErrNoRepository) {
		v.verifier.NoCommits = err.Error()
	} else if err != nil {
		return err
	}
	if v.since == "" {
		return nil
	}
	r, err := v.openRevision(ctx, at, "--since", v.since)
	if err == nil {
		v.base, err = r.Read()
	}
	if err != nil {
		return fmt.Errorf("reading --since %s: %w", v.since, err)
	}
	return nil
}

// connect returns the registry client, and connects the readers of the verifier with it.
//
// Without an identity, records are verified by the key alone: sigstore's public root is
// then loaded for policies only.
func (v *verification) connect() (*registry.Client, error) {
	trust, err := v.trust(v.session)
	if err != nil {
		return nil, err
	}
	recorders := trust
	if c, _ := v.certificate(); c == nil {
		if recorders, err = v.trustKey(); err != nil {
			return nil, err
		}
	}
	var sites registry.Sites
	if v.set != nil {
		entries := registry.EntriesOf(v.set)
		for _, text := range entries.Warnings {
			v.warn(text)
		}
		sites = entries
	}
	client, err := v.client(v.session, sites)
	if err != nil {
		return nil, err
	}
	source := evidence.Direct(client)
	records, policies := evidence.NewReader(source, recorders), evidence.NewReader(source, trust)
	v.verifier.Images, v.verifier.Records, v.verifier.Policies = client, records, policies
	if v.repair != nil {
		v.repair.connect(client, recorders, records, policies)
	}
	return client, nil
}

// chains verifies the images that the arguments name, or those of the manifests.
func (v *verification) chains(ctx context.Context, args []string) ([]verify.Chain, error) {
	v.verifier.Scope = &verify.Scope{}
	if v.names != nil {
		v.verifier.Scope = verify.NewScope(v.names, nil)
	}
	var subjects []verify.Subject
	var refused []verify.Chain
	if v.set != nil {
		found := verify.Tags(ctx, v.verifier.Images, plan.Unpinned(v.set))
		resolve := func([]plan.SourceTag) map[plan.SourceTag]plan.Resolution { return found }
		wanted, _, _ := (&promote.Job{Set: v.set}).Wanted(resolve)
		v.verifier.Scope = verify.NewScope(v.set, wanted)
		selected, _, _ := (&promote.Job{Set: v.set, Selection: promote.Selection{Base: v.base}}).Wanted(resolve)
		if len(args) == 0 {
			subjects, refused = v.verifier.Scope.All(selected), v.verifier.Scope.Refused(selected)
		}
	}
	for _, text := range args {
		s, err := v.verifier.Scope.Find(text)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	v.progress.Start("verifying", len(subjects))
	defer v.progress.Finish()
	chains, err := v.verifier.Verify(ctx, subjects, v.progress.Step)
	return append(chains, refused...), err
}
