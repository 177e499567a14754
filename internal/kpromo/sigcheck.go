package kpromo

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

const (
	canonical  = "us-central1-docker.pkg.dev/k8s-artifacts-prod/images" // the registry of Kubernetes that has the evidence
	publicName = "registry.k8s.io"
)

// sigcheckFlags are the flags of kpromo sigcheck.
var sigcheckFlags = append([]flag{
	{"confirm", false, special, "write what images lack"},
	{"from-days", 5, special, "verify images that were uploaded up to this `number` of days ago"},
	{"to-days", 0, special, "and at least this `number` of days ago"},
	{"attestations-since", "2026-09-24", special, "`date` since when images have records; empty: always"},
	{"limit", 0, special, "verify only the first `number` of images"},
}, identityFlags...)

func sigcheckCommand() Command {
	return Command{
		Use:   "sigcheck [REFERENCE...]",
		Short: "Verify records and signatures of images in production (cip verify)",
		Long: `kpromo sigcheck is cip verify with --require-signature. Without a REFERENCE, it
verifies the tagged images that the registry of Kubernetes received in the given
days. CIP_THIN_MANIFEST_DIR names the manifests that records are compared with;
--confirm requires it.`,
		Example:   "  cip kpromo sigcheck --from-days=7\n  cip kpromo sigcheck registry.k8s.io/pause:3.10",
		Operands:  true,
		flags:     sigcheckFlags,
		translate: (*translation).sigcheck,
	}
}

// productionRE matches references to images of Kubernetes, in a region or under the public name.
var productionRE = regexp.MustCompile(`^(?:registry\.k8s\.io|[a-z0-9-]+-docker\.pkg\.dev/k8s-artifacts-prod/images)/(.+)$`)

// sigcheck translates the flags of kpromo sigcheck into those of cip verify.
func (t *translation) sigcheck() error {
	for _, arg := range t.Operands {
		m := productionRE.FindStringSubmatch(arg)
		if m == nil {
			return fmt.Errorf("bad reference %q: want registry.k8s.io/NAME or REGION-docker.pkg.dev/k8s-artifacts-prod/images/NAME", arg)
		}
		t.line.Operands = append(t.line.Operands, publicName+"/"+m[1])
	}
	if err := t.uploads(); err != nil {
		return err
	}
	t.add("--require-signature")
	if err := t.identities(); err != nil {
		return err
	}
	dir := t.Getenv("CIP_THIN_MANIFEST_DIR") // kpromo has no flag for it
	if dir != "" {
		t.set("thin-manifest-dir", dir)
	}
	switch {
	case !t.on("confirm"):
		t.drop("without --confirm", "signer-account")
	case dir == "":
		return errors.New("--confirm needs CIP_THIN_MANIFEST_DIR: evidence is written of what the manifests want")
	default:
		t.pass("confirm", "signer-account")
		t.set("builder-id", builderOf(t.Build))
	}
	return nil
}

// uploads reads the flags about the days of uploads.
func (t *translation) uploads() error {
	first, last, limit := t.number("from-days"), t.number("to-days"), t.number("limit")
	if last < 0 || first <= last || limit < 0 {
		return errors.New("want --from-days greater than --to-days, and no negative number")
	}
	root, err := image.ParseRegistry(canonical)
	if err != nil {
		return err
	}
	u := &Uploads{Root: root, from: t.Now.AddDate(0, 0, -first), to: t.Now.AddDate(0, 0, -last), limit: limit}
	t.line.Uploads = u
	since := t.text("attestations-since")
	if since == "" {
		return nil
	}
	begin, err := time.Parse(time.DateOnly, since)
	switch {
	case err != nil:
		return fmt.Errorf("bad --attestations-since %q: want a date such as 2026-09-24", since)
	case len(t.Operands) == 0 && u.from.Before(begin):
		return fmt.Errorf("--from-days=%d begins before --attestations-since=%s: cip verify requires a record of each image", first, since)
	}
	return nil
}
