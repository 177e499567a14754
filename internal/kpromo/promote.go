package kpromo

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

const krelTrust = "krel-trust@k8s-releng-prod.iam.gserviceaccount.com"

// identityFlags are the flags of kpromo cip and sigcheck about identities.
var identityFlags = []flag{
	{"certificate-identity", krelTrust, special, "`identity` of signers, by default " + krelTrust},
	{"certificate-identity-regexp", "", special, "regular `expression` for the identity of signers; replaces --certificate-identity"},
	{"certificate-oidc-issuer", "https://accounts.google.com", special, "`issuer` of the identity"},
	{"certificate-oidc-issuer-regexp", "", special, "regular `expression` for the issuer; replaces --certificate-oidc-issuer"},
	{"signer-account", krelTrust, special, "Google service `account` that signs, by default " + krelTrust},
	{"max-signature-ops", 50, ignored, ""},
}

// promoteFlags are the flags of kpromo cip. The hidden ones had an effect in earlier versions.
var promoteFlags = append([]flag{
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

func promoteCommand() Command {
	return Command{
		Use:   "cip",
		Short: "Promote images as manifests say (cip run)",
		Long: `kpromo cip is cip run: it promotes the images that the destinations lack, and with
--confirm it also signs them and writes evidence about them, unless --sign=false
is given. Images without a signature are accepted; a signature by another
identity than that of --certificate-identity is not. Images without provenance
of that identity are accepted with a warning; one that does not verify is not.`,
		Example:   "  cip kpromo cip --thin-manifest-dir=registry.k8s.io --use-prow-manifest-diff\n  cip kpromo cip --thin-manifest-dir=registry.k8s.io --confirm --manifest-diff-since=\"14 days\"",
		flags:     promoteFlags,
		translate: (*translation).promote,
	}
}

// Names sets what kpromo knows about the destinations of Kubernetes, unless the manifests
// say otherwise: their public name, and which of them has the evidence.
func Names(set *manifest.Set) {
	for _, m := range set.Manifests {
		chosen := slices.ContainsFunc(m.Destinations, func(d *manifest.Registry) bool { return d.Attestations })
		for _, d := range m.Destinations {
			host, below, ok := strings.Cut(d.Name.String(), "/k8s-artifacts-prod/images")
			if !ok || below != "" && below[0] != '/' {
				continue
			}
			d.PublicName = cmp.Or(d.PublicName, publicName+below)
			d.Attestations = d.Attestations || !chosen && strings.HasSuffix(host, "us-central1-docker.pkg.dev")
		}
	}
}

// promote translates the flags of kpromo cip into those of cip run.
func (t *translation) promote() error {
	if format := t.text("output"); format != "yaml" && format != "csv" {
		return fmt.Errorf("bad --output %q: want yaml or csv", format)
	}
	if t.number("vuln-severity-threshold") >= 0 {
		return errors.New("--vuln-severity-threshold is not supported: kpromo scans instead of promoting;" +
			" use cip check --vuln-severity-threshold with --vuln-scanner or --vuln-reports")
	}
	if t.snapshot() {
		t.drop("next to a snapshot", "confirm", "parse-only", "use-prow-manifest-diff", "manifest-diff-since")
		return nil
	}
	t.drop("without --snapshot or --manifest-based-snapshot-of", "output", "snapshot-tag", "minimal-snapshot")
	t.manifests()
	if err := t.changes(); err != nil {
		return err
	}
	for _, k := range promoteFlags {
		if k.effect == same && t.Flags.Changed(k.name) {
			t.pass(k.name)
		}
	}
	if err := t.identities(); err != nil {
		return err
	}
	t.evidence()
	return nil
}

// snapshot translates the flags about snapshots, and reports whether one is asked for.
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
func (t *translation) changes() error {
	const prow, since = "use-prow-manifest-diff", "manifest-diff-since"
	switch {
	case t.text("manifest") != "":
		t.drop("next to --manifest", prow, since)
	case t.on(prow):
		if t.Getenv("JOB_TYPE") == "" {
			return errors.New("--" + prow + " needs JOB_TYPE, which Prow sets")
		}
		t.drop("next to --"+prow, since)
		t.set("since", "auto")
	case t.text(since) != "":
		window, err := t.window(t.text(since))
		if err != nil {
			return fmt.Errorf("bad --%s %q: %w", since, t.text(since), err)
		}
		t.set("since", window)
	}
	return nil
}

// window returns a date or duration of git as cip run writes it.
func (t *translation) window(text string) (string, error) {
	for _, form := range []string{text, strings.ReplaceAll(text, ".", " ")} { // git knows 14.days.ago, too
		if _, ok, err := git.Start(form, t.Now); ok || err != nil {
			return form, err
		}
	}
	return "", errors.New(`want a date (2026-11-01) or a duration ("14 days")`)
}

// evidence translates the flags about signatures and evidence. A dry run needs no account.
func (t *translation) evidence() {
	if !t.on("sign") {
		t.drop("with --sign=false", "signer-account", "summary-signer-account", "verification-summaries")
		return
	}
	t.add("--sign", "--attest")
	t.set("builder-id", builderOf(t.Build))
	writes := t.on("confirm") || !t.on("dry-run")
	if writes {
		t.pass("signer-account")
	}
	if !t.on("verification-summaries") {
		t.drop("without --verification-summaries", "summary-signer-account")
		return
	}
	t.pass("verification-summaries")
	t.set("verifier-id", "https://k8s.io/promo-tools/verifier/v1")
	t.set("reviewed-level", "K8S_PROMOTION_MANIFEST_REVIEWED")
	if writes && t.text("summary-signer-account") != t.text("signer-account") {
		t.pass("summary-signer-account")
	}
}
