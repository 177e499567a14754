package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

const krelTrust = "krel-trust@k8s-releng-prod.iam.gserviceaccount.com"

// identityFlags are the flags of kpromo cip and sigcheck about identities.
var identityFlags = []kpromoFlag{
	{"certificate-identity", krelTrust, special, "`identity` of signers, by default " + krelTrust},
	{"certificate-identity-regexp", "", special, "regular `expression` for the identity of signers; replaces --certificate-identity"},
	{"certificate-oidc-issuer", "https://accounts.google.com", special, "`issuer` of the identity"},
	{"certificate-oidc-issuer-regexp", "", special, "regular `expression` for the issuer; replaces --certificate-oidc-issuer"},
	{"signer-account", krelTrust, special, "Google service `account` that signs, by default " + krelTrust},
	{"max-signature-ops", 50, ignored, ""},
}

// promoteFlags are the flags of kpromo cip. The hidden ones had an effect in earlier versions.
var promoteFlags = append([]kpromoFlag{
	{"manifest", "", special, "plain manifest `file`; replaces --thin-manifest-dir and what selects changes"},
	{"thin-manifest-dir", "", special, "`directory` of thin manifests"},
	{"use-prow-manifest-diff", false, special, "promote only what changed since the base of this Prow job"},
	{"manifest-diff-since", "", special, "promote only what changed since this `date` or duration, such as \"14 days\""},
	{"snapshot", "", special, "print the contents of this `registry`, and do nothing else"},
	{"manifest-based-snapshot-of", "", special, "print what the manifests publish in this `registry`, offline"},
	{"snapshot-tag", "", special, "print only digests with this `tag`"},
	{"minimal-snapshot", false, special, "leave out tagless children of image indexes"},
	{"output", "yaml", special, "`format` of a snapshot: yaml or csv"},
	{"confirm", false, same, "carry out the plan"},
	{"parse-only", false, same, "load and validate the files without sending requests"},
	{"sign", true, special, "sign images, and write evidence about them"},
	{"summary-signer-account", "", special, "Google service `account` that signs summaries"},
	{"verification-summaries", false, special, "write verification summaries"},
	{"vuln-severity-threshold", -1, special, ""},
	{"max-image-size", 0, ignored, ""},

	{"dry-run", true, same, ""},
	{"threads", 0, same, ""},
	{"key-files", []string(nil), same, ""},
	{"use-service-account", false, ignored, ""},
	{"snapshot-service-account", "", ignored, ""},
	{"json-log-summary", false, ignored, ""},
	{"repository", "", ignored, ""},
	{"check-manifest-lists-from-snapshot", "", ignored, ""},
	{"max-signature-copies", 0, ignored, ""},
	{"use-legacy-pipeline", false, ignored, ""},
	{"generate-promotion-provenance", false, ignored, ""},
	{"require-provenance", false, refused, ""},
	{"allowed-builders", "", refused, ""},
	{"allowed-source-repos", "", refused, ""},
}, identityFlags...)

func newKpromoCipCmd(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cip",
		Short: "Promote images as manifests say (cip run)",
		Long: `kpromo cip is cip run: it promotes the images that the destinations lack, and with
--confirm it also signs them and writes evidence about them, unless --sign=false
is given. Images without a signature are accepted; a signature by another
identity than that of --certificate-identity is not.`,
		Example:     "  cip kpromo cip --thin-manifest-dir=registry.k8s.io --use-prow-manifest-diff\n  cip kpromo cip --thin-manifest-dir=registry.k8s.io --confirm --manifest-diff-since=\"14 days\"",
		Annotations: exits(),
		Args:        noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := translateCip(cmd.Flags(), s)
			if err != nil {
				return err
			}
			o := &runOptions{}
			o.ifPresent, o.adapt = true, kubernetesNames
			o.advice = "--sign=false promotes without signatures and evidence"
			return t.instead(cmd.Context(), newRunCmd(o, s), s)
		},
	}
	addFlags(cmd.Flags(), promoteFlags)
	return cmd
}

// kubernetesNames sets what kpromo knows about the destinations of Kubernetes, unless the
// manifests say otherwise: their public name, and which of them has the evidence.
func kubernetesNames(set *manifest.Set) {
	for _, m := range set.Manifests {
		chosen := slices.ContainsFunc(m.Destinations, func(d *manifest.Registry) bool { return d.Attestations })
		for _, d := range m.Destinations {
			host, below, ok := strings.Cut(d.Name.String(), "/k8s-artifacts-prod/images")
			if !ok || below != "" && below[0] != '/' {
				continue
			}
			d.PublicName = cmp.Or(d.PublicName, "registry.k8s.io"+below)
			d.Attestations = d.Attestations || !chosen && strings.HasSuffix(host, "us-central1-docker.pkg.dev")
		}
	}
}

// translateCip translates the flags of kpromo cip into those of cip run.
func translateCip(from *pflag.FlagSet, s streams) (*translation, error) {
	t, err := newTranslation(from, promoteFlags)
	if err != nil {
		return nil, err
	}
	if format := t.text("output"); format != "yaml" && format != "csv" {
		return nil, fmt.Errorf("bad --output %q: want yaml or csv", format)
	}
	if n, err := strconv.Atoi(t.text("vuln-severity-threshold")); err == nil && n >= 0 {
		return nil, errors.New("--vuln-severity-threshold is not supported: kpromo scans instead of promoting;" +
			" use cip check --vuln-severity-threshold with --vuln-scanner or --vuln-reports")
	}
	if t.snapshot() {
		t.drop("next to a snapshot", "confirm", "parse-only", "use-prow-manifest-diff", "manifest-diff-since")
		return t, nil
	}
	t.drop("without --snapshot or --manifest-based-snapshot-of", "output", "snapshot-tag", "minimal-snapshot")
	t.manifests()
	if err := t.changes(s.getenv); err != nil {
		return nil, err
	}
	for _, k := range promoteFlags {
		if k.effect == same && from.Changed(k.name) {
			t.pass(k.name)
		}
	}
	if err := t.identities(); err != nil {
		return nil, err
	}
	return t, t.evidence(s.build)
}

// snapshot translates the flags about snapshots. It reports whether there are any: they
// exclude all others.
func (t *translation) snapshot() bool {
	switch {
	case t.text("manifest-based-snapshot-of") != "":
		t.pass("manifest-based-snapshot-of", "output")
		t.manifests()
		t.drop("next to --manifest-based-snapshot-of", "snapshot", "snapshot-tag", "minimal-snapshot")
	case t.text("snapshot") != "":
		t.pass("snapshot", "output", "snapshot-tag", "minimal-snapshot", "key-files")
	default:
		return false
	}
	return true
}

// manifests translates the flags that name manifests. A plain manifest wins.
func (t *translation) manifests() {
	if t.text("manifest") == "" {
		t.pass("thin-manifest-dir")
		return
	}
	t.pass("manifest")
	t.drop("next to --manifest", "thin-manifest-dir")
}

// changes translates the flags that select what changed.
func (t *translation) changes(getenv func(string) string) error {
	const prow, since = "use-prow-manifest-diff", "manifest-diff-since"
	switch {
	case t.text("manifest") != "":
		t.drop("next to --manifest", prow, since)
	case t.on(prow):
		if getenv("JOB_TYPE") == "" {
			return errors.New("--" + prow + " needs JOB_TYPE, which Prow sets")
		}
		t.drop("next to --"+prow, since)
		t.add("since", "auto")
	case t.text(since) != "":
		window, err := window(t.text(since))
		if err != nil {
			return fmt.Errorf("bad --%s %q: %w", since, t.text(since), err)
		}
		t.add("since", window)
	}
	return nil
}

// window returns a date or duration of git as cip run writes it.
func window(text string) (string, error) {
	for _, form := range []string{text, strings.ReplaceAll(text, ".", " ")} { // git knows 14.days.ago, too
		if _, ok, err := git.Start(form, time.Now()); ok || err != nil {
			return form, err
		}
	}
	return "", errors.New(`want a date (2026-11-01) or a duration ("14 days")`)
}

// identities translates the flags about identities. A regular expression replaces the
// value of its pair.
func (t *translation) identities() error {
	for _, name := range []string{"certificate-identity", "certificate-oidc-issuer"} {
		switch {
		case t.text(name+"-regexp") != "":
			t.pass(name + "-regexp")
		case t.text(name) != "":
			t.pass(name)
		default:
			return fmt.Errorf("--%s is empty: want a value, or --%[1]s-regexp", name)
		}
	}
	return nil
}

// builderOf returns the builder of promotion records of Kubernetes.
func builderOf(b version.Build) string { return "https://k8s.io/promo-tools@" + releaseOf(b) }

// operations validates the number of concurrent signatures, which cip does not limit.
func (t *translation) operations() error {
	if n, err := strconv.Atoi(t.text("max-signature-ops")); err == nil && n < 1 {
		return fmt.Errorf("bad --max-signature-ops %d: must be positive", n)
	}
	return nil
}

// evidence translates the flags about signatures and evidence. A dry run needs no account.
func (t *translation) evidence(b version.Build) error {
	if err := t.operations(); err != nil {
		return err
	}
	if !t.on("sign") {
		t.drop("with --sign=false", "signer-account", "summary-signer-account", "verification-summaries")
		return nil
	}
	t.args = append(t.args, "--sign", "--attest")
	t.add("builder-id", builderOf(b))
	writes := t.on("confirm") || !t.on("dry-run")
	if writes {
		t.pass("signer-account")
	}
	if !t.on("verification-summaries") {
		t.drop("without --verification-summaries", "summary-signer-account")
		return nil
	}
	t.pass("verification-summaries")
	t.add("verifier-id", "https://k8s.io/promo-tools/verifier/v1")
	t.add("reviewed-level", "K8S_PROMOTION_MANIFEST_REVIEWED")
	if writes && t.text("summary-signer-account") != t.text("signer-account") {
		t.pass("summary-signer-account")
	}
	return nil
}
