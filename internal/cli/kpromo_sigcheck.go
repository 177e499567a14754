package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/verify"
)

// canonical is the registry of Kubernetes that has the evidence.
const canonical = "us-central1-docker.pkg.dev/k8s-artifacts-prod/images"

// sigcheckFlags are the flags of kpromo sigcheck.
var sigcheckFlags = append([]kpromoFlag{
	{"confirm", false, special, "write what images lack"},
	{"from-days", 5, special, "verify images that were uploaded up to this `number` of days ago"},
	{"to-days", 0, special, "and at least this `number` of days ago"},
	{"attestations-since", "2026-09-24", special, "`date` since when images have records; empty: always"},
	{"limit", 0, special, "verify only the first `number` of images"},
}, identityFlags...)

// sigcheck is a translation of kpromo sigcheck.
type sigcheck struct {
	*translation
	references []string // empty: what was uploaded
	uploads    verify.Uploads
	limit      int
}

// newKpromoSigcheckCmd makes the command. getenv is the whole environment: CIP_THIN_MANIFEST_DIR
// names the manifests, for which kpromo has no flag.
func newKpromoSigcheckCmd(s streams, getenv func(string) string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sigcheck [REFERENCE...]",
		Short: "Verify records and signatures of images in production (cip verify)",
		Long: `kpromo sigcheck is cip verify with --require-signature. Without a REFERENCE, it
verifies the tagged images that the registry of Kubernetes received in the given
days. CIP_THIN_MANIFEST_DIR names the manifests that records are compared with;
--confirm requires it.`,
		Example:     "  cip kpromo sigcheck --from-days=7\n  cip kpromo sigcheck registry.k8s.io/pause:3.10",
		Annotations: exits(),
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := translateSigcheck(cmd.Flags(), args, getenv(envName("thin-manifest-dir")), s.build, time.Now())
			if err != nil {
				return err
			}
			root, err := image.ParseRegistry(canonical)
			if err != nil {
				return err
			}
			return c.run(cmd.Context(), root, s)
		},
	}
	addFlags(cmd.Flags(), sigcheckFlags)
	return cmd
}

// productionRE matches references to images of Kubernetes, in a region or under the public name.
var productionRE = regexp.MustCompile(`^(?:registry\.k8s\.io|[a-z0-9-]+-docker\.pkg\.dev/k8s-artifacts-prod/images)/(.+)$`)

// translateSigcheck translates the flags of kpromo sigcheck into those of cip verify. dir has
// the manifests, if there are any.
func translateSigcheck(from *pflag.FlagSet, args []string, dir string, b version.Build, now time.Time) (*sigcheck, error) {
	t, err := newTranslation(from, sigcheckFlags)
	if err != nil {
		return nil, err
	}
	c := &sigcheck{translation: t}
	for _, arg := range args {
		m := productionRE.FindStringSubmatch(arg)
		if m == nil {
			return nil, fmt.Errorf("bad reference %q: want registry.k8s.io/NAME or REGION-docker.pkg.dev/k8s-artifacts-prod/images/NAME", arg)
		}
		c.references = append(c.references, "registry.k8s.io/"+m[1])
	}
	if err := c.window(now); err != nil {
		return nil, err
	}
	t.args = append(t.args, "--require-signature")
	if err := t.identities(); err != nil {
		return nil, err
	}
	if dir != "" {
		t.add("thin-manifest-dir", dir)
	}
	if t.on("confirm") {
		if dir == "" {
			return nil, errors.New("--confirm needs CIP_THIN_MANIFEST_DIR: evidence is written of what the manifests want")
		}
		t.pass("confirm", "signer-account")
		t.add("builder-id", builderOf(b))
	} else {
		t.drop("without --confirm", "signer-account")
	}
	return c, t.operations()
}

// window reads the flags about the days of uploads.
func (c *sigcheck) window(now time.Time) error {
	first, firstErr := strconv.Atoi(c.text("from-days"))
	last, lastErr := strconv.Atoi(c.text("to-days"))
	limit, limitErr := strconv.Atoi(c.text("limit"))
	if err := errors.Join(firstErr, lastErr, limitErr); err != nil || last < 0 || first <= last || limit < 0 {
		return errors.New("want --from-days greater than --to-days, and no negative number")
	}
	c.limit, c.uploads = limit, verify.Uploads{From: now.AddDate(0, 0, -first), To: now.AddDate(0, 0, -last)}
	since := c.text("attestations-since")
	if since == "" {
		return nil
	}
	begin, err := time.Parse(time.DateOnly, since)
	switch {
	case err != nil:
		return fmt.Errorf("bad --attestations-since %q: want a date such as 2026-09-24", since)
	case len(c.references) == 0 && c.uploads.From.Before(begin):
		return fmt.Errorf("--from-days=%d begins before --attestations-since=%s: cip verify requires a record of each image", first, since)
	}
	return nil
}

// run verifies the images of the arguments, or those that the registry at root received.
func (c *sigcheck) run(ctx context.Context, root image.Registry, s streams) error {
	o := &verifyOptions{names: namesOf(root)}
	o.adapt = kubernetesNames
	if len(c.references) == 0 {
		with, err := c.session(s)
		if err != nil {
			return err
		}
		if c.references, err = c.uploaded(ctx, root, with); err != nil {
			return err
		}
		if len(c.references) == 0 {
			with.log.Infof("nothing to verify: %s received no tagged image between %s and %s", root,
				c.uploads.From.UTC().Format(time.RFC3339), c.uploads.To.UTC().Format(time.RFC3339))
			return nil
		}
	}
	return c.instead(ctx, newVerifyCmd(o, s), s, c.references...)
}

// namesOf returns a manifest without images: records of the registry at root have the public name.
func namesOf(root image.Registry) *manifest.Set {
	entry := &manifest.Registry{Name: root, PublicName: "registry.k8s.io", Attestations: true}
	return &manifest.Set{Manifests: []*manifest.Manifest{{Source: &manifest.Registry{Name: root}, Destinations: []*manifest.Registry{entry}}}}
}

// uploaded returns references to the images that the registry at root received in the window,
// under their public names, sorted by name and digest.
func (c *sigcheck) uploaded(ctx context.Context, root image.Registry, s *session) ([]string, error) {
	client, err := (&registryOptions{}).client(s, nil)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var timeless atomic.Bool
	all, err := client.Snapshot(ctx, root, registry.SnapshotOptions{Listed: true, Select: func(repo name.Repository, m registry.Listed) bool {
		if m.Uploaded.Time().IsZero() {
			timeless.Store(true)
		}
		return c.uploads.Has(repo, m)
	}}, s.warn)
	switch {
	case ctx.Err() != nil:
		return nil, errInterrupted
	case err != nil:
		return nil, err
	case timeless.Load():
		return nil, fmt.Errorf("reading registry %s: its list of images has no times of uploads: name the images", root)
	}
	var references []string
	for _, img := range all {
		for _, d := range img.Digests {
			if c.limit == 0 || len(references) < c.limit {
				references = append(references, "registry.k8s.io/"+img.Name+"@"+d.Digest.String())
			}
		}
	}
	return references, nil
}
