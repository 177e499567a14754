package kpromo

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// translate returns the translation of a command line of kpromo.
func translate(t *testing.T, c Command, in Input, args ...string) (*Line, error) {
	t.Helper()
	in.Flags = pflag.NewFlagSet(c.Use, pflag.ContinueOnError)
	in.Flags.String("log-level", "info", "")
	c.AddFlags(in.Flags)
	if err := in.Flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	in.Operands, in.Build = in.Flags.Args(), version.Build{Version: "1.2.3"}
	return c.Translate(in)
}

// environment returns an environment.
func environment(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

const (
	prodDir  = "--thin-manifest-dir=/home/prow/go/src/github.com/kubernetes/k8s.io/registry.k8s.io"
	prodWho  = "--certificate-identity-regexp=(krel-staging@k8s-releng-prod.iam.gserviceaccount.com)|(krel-trust@k8s-releng-prod.iam.gserviceaccount.com)"
	byGoogle = "--certificate-oidc-issuer=https://accounts.google.com"
	trusted  = "--certificate-identity=" + krelTrust
)

func TestTranslateCip(t *testing.T) {
	t.Parallel()
	who := []string{trusted, byGoogle}
	planned := []string{"--sign", "--attest", "--builder-id=https://k8s.io/promo-tools@v1.2.3"} // a dry run needs no account
	summaries := []string{"--verification-summaries", "--verifier-id=https://k8s.io/promo-tools/verifier/v1", "--reviewed-level=K8S_PROMOTION_MANIFEST_REVIEWED"}
	signed := append(slices.Clone(planned), "--signer-account="+krelTrust)
	prow := map[string]string{"JOB_TYPE": "presubmit"}
	tests := map[string]struct {
		env      map[string]string
		args     []string
		want     []string
		warnings []string
	}{
		// The jobs of Kubernetes.
		"pull-k8sio-cip": {
			env: prow, args: []string{prodDir, "--use-prow-manifest-diff", prodWho, byGoogle},
			want: slices.Concat([]string{prodDir, "--since=auto", prodWho, byGoogle}, planned),
		},
		"post-k8sio-image-promo": {
			env: prow, args: []string{prodDir, "--use-prow-manifest-diff", "--confirm", prodWho, byGoogle},
			want: slices.Concat([]string{prodDir, "--since=auto", "--confirm", prodWho, byGoogle}, signed),
		},
		"ci-k8sio-image-promo": {
			args: []string{prodDir, "--confirm", "--manifest-diff-since=14 days", prodWho, byGoogle},
			want: slices.Concat([]string{prodDir, "--since=14 days", "--confirm", prodWho, byGoogle}, signed),
		},
		"canary": {
			args: []string{"--thin-manifest-dir=canary", "--confirm"},
			want: slices.Concat([]string{"--thin-manifest-dir=canary", "--confirm"}, who, signed),
		},
		"hourly canary": {
			args: []string{"--thin-manifest-dir=canary", "--confirm", "--log-level=debug", "--certificate-identity-regexp=keyless@projectsigstore.iam.gserviceaccount.com", byGoogle},
			want: slices.Concat([]string{"--log-level=debug", "--thin-manifest-dir=canary", "--confirm", "--certificate-identity-regexp=keyless@projectsigstore.iam.gserviceaccount.com", byGoogle}, signed),
		},
		"with summaries": {
			args: []string{"--thin-manifest-dir=d", "--confirm", "--verification-summaries", "--summary-signer-account=a@b"},
			want: slices.Concat([]string{"--thin-manifest-dir=d", "--confirm"}, who, signed, summaries, []string{"--summary-signer-account=a@b"}),
		},
		"with summaries of the same account": {
			args: []string{"--thin-manifest-dir=d", "--confirm", "--verification-summaries", "--summary-signer-account=" + krelTrust},
			want: slices.Concat([]string{"--thin-manifest-dir=d", "--confirm"}, who, signed, summaries),
		},
		"with summaries, dry": {args: []string{"--verification-summaries", "--summary-signer-account=a@b"}, want: slices.Concat(who, planned, summaries)},

		// What is promoted.
		"nothing": {want: slices.Concat(who, planned)},
		"a plain manifest wins": {
			args: []string{"--manifest=f", "--thin-manifest-dir=d", "--use-prow-manifest-diff", "--manifest-diff-since=1d", "--sign=false"},
			want: slices.Concat([]string{"--manifest=f"}, who),
			warnings: []string{
				"--thin-manifest-dir has no effect next to --manifest", "--use-prow-manifest-diff has no effect next to --manifest",
				"--manifest-diff-since has no effect next to --manifest",
			},
		},
		"Prow's change wins": {
			env: prow, args: []string{"--thin-manifest-dir=d", "--use-prow-manifest-diff", "--manifest-diff-since=1d", "--sign=false"},
			want:     slices.Concat([]string{"--thin-manifest-dir=d", "--since=auto"}, who),
			warnings: []string{"--manifest-diff-since has no effect next to --use-prow-manifest-diff"},
		},
		"since some days ago": {args: []string{"--manifest-diff-since=14 days ago", "--sign=false"}, want: append([]string{"--since=14 days ago"}, who...)},
		"in the words of git": {args: []string{"--manifest-diff-since=2.weeks.ago", "--sign=false"}, want: append([]string{"--since=2 weeks ago"}, who...)},
		"since a date":        {args: []string{"--manifest-diff-since=2026-11-01", "--sign=false"}, want: append([]string{"--since=2026-11-01"}, who...)},
		"no change asked for": {args: []string{"--use-prow-manifest-diff=false", "--manifest-diff-since=", "--sign=false"}, want: who},
		"parse only":          {args: []string{"--manifest=f", "--parse-only", "--sign=false"}, want: append([]string{"--manifest=f", "--parse-only"}, who...)},
		"not confirmed":       {args: []string{"--manifest=f", "--confirm=false", "--sign=false"}, want: append([]string{"--manifest=f"}, who...)},

		// Snapshots.
		"snapshot": {
			args:     []string{"--snapshot=r", "--snapshot-tag=v1", "--minimal-snapshot", "--output=csv", "--confirm", "--manifest=f"},
			want:     []string{"--snapshot=r", "--output=csv", "--snapshot-tag=v1", "--minimal-snapshot"},
			warnings: []string{"--confirm has no effect next to a snapshot"},
		},
		"snapshot of manifests": {
			args:     []string{"--manifest-based-snapshot-of=r", "--thin-manifest-dir=d", "--snapshot=q", "--minimal-snapshot", "--log-level=warn"},
			want:     []string{"--log-level=warn", "--manifest-based-snapshot-of=r", "--output=yaml", "--thin-manifest-dir=d"},
			warnings: []string{"--snapshot has no effect next to --manifest-based-snapshot-of", "--minimal-snapshot has no effect next to --manifest-based-snapshot-of"},
		},
		"flags of snapshots without one": {
			args: []string{"--manifest=f", "--output=csv", "--snapshot-tag=v1", "--minimal-snapshot", "--sign=false"}, want: append([]string{"--manifest=f"}, who...),
			warnings: []string{
				"--output has no effect without --snapshot or --manifest-based-snapshot-of", "--snapshot-tag has no effect without --snapshot or --manifest-based-snapshot-of",
				"--minimal-snapshot has no effect without --snapshot or --manifest-based-snapshot-of",
			},
		},

		// Identities and signatures.
		"regular expressions replace the defaults": {
			args: []string{"--certificate-identity-regexp=.", "--certificate-oidc-issuer-regexp=.", "--sign=false"},
			want: []string{"--certificate-identity-regexp=.", "--certificate-oidc-issuer-regexp=."},
		},
		"a regular expression wins": {args: []string{"--certificate-identity=a", "--certificate-identity-regexp=.", "--sign=false"}, want: []string{"--certificate-identity-regexp=.", byGoogle}},
		"another signer":            {args: []string{"--dry-run=false", "--signer-account=a@b"}, want: slices.Concat([]string{"--dry-run=false"}, who, planned, []string{"--signer-account=a@b"})},
		"another signer of summaries": {
			args: []string{"--summary-signer-account=a@b"}, want: slices.Concat(who, planned),
			warnings: []string{"--summary-signer-account has no effect without --verification-summaries"},
		},
		"no signatures": {
			args: []string{"--sign=false", "--signer-account=a@b", "--summary-signer-account=c@d", "--verification-summaries"}, want: who,
			warnings: []string{
				"--signer-account has no effect with --sign=false", "--summary-signer-account has no effect with --sign=false",
				"--verification-summaries has no effect with --sign=false",
			},
		},

		// Flags of earlier versions, and those without effect.
		"flags that stay": {
			args: []string{"--manifest=f", "--dry-run=false", "--threads=5", "--key-files=a,b", "--sign=false"},
			want: append([]string{"--manifest=f", "--dry-run=false", "--threads=5", "--key-files=a", "--key-files=b"}, who...),
		},
		"a dry run":            {args: []string{"--dry-run", "--sign=false"}, want: append([]string{"--dry-run"}, who...)},
		"no limit of the size": {args: []string{"--max-image-size=2048", "--sign=false"}, want: who, warnings: []string{"--max-image-size has no effect: it has none in kpromo either; cip run --max-image-size refuses images"}},
		"no vulnerabilities":   {args: []string{"--vuln-severity-threshold=-1", "--sign=false"}, want: who},
		"flags without effect": {
			args: []string{"--max-signature-ops=1", "--use-service-account", "--json-log-summary", "--repository=r", "--check-manifest-lists-from-snapshot=f", "--sign=false"}, want: who,
			warnings: []string{
				"--use-service-account has no effect: " + formerFlags["use-service-account"], "--json-log-summary has no effect: " + formerFlags["json-log-summary"],
				"--repository has no effect: " + formerFlags["repository"],
				"--check-manifest-lists-from-snapshot has no effect: " + formerFlags["check-manifest-lists-from-snapshot"],
				"--max-signature-ops has no effect: " + formerFlags["max-signature-ops"],
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := translate(t, promoteCommand(), Input{Getenv: environment(tc.env), Now: time.Now()}, tc.args...)
			if err != nil {
				t.Fatalf("got error %v, want none", err)
			}
			if diff := cmp.Diff(tc.want, got.Args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.warnings, got.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTranslateCipFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want string
	}{
		"not in Prow":        {[]string{"--use-prow-manifest-diff"}, "--use-prow-manifest-diff needs JOB_TYPE, which Prow sets"},
		"a revision":         {[]string{"--manifest-diff-since=main"}, `bad --manifest-diff-since "main": want a date`},
		"an empty window":    {[]string{"--manifest-diff-since=0 days"}, "must be positive"},
		"format":             {[]string{"--output=json"}, `bad --output "json": want yaml or csv`},
		"format in capitals": {[]string{"--output=YAML", "--snapshot=r"}, "want yaml or csv"},
		"scan":               {[]string{"--vuln-severity-threshold=3"}, "use cip check --vuln-severity-threshold"},
		"scan without gate":  {[]string{"--vuln-severity-threshold=0", "--confirm"}, "scans instead of promoting"},
		"no identity":        {[]string{"--certificate-identity="}, "--certificate-identity is empty: want a value, or --certificate-identity-regexp"},
		"no issuer":          {[]string{"--certificate-oidc-issuer="}, "--certificate-oidc-issuer is empty"},
		"no signatures":      {[]string{"--max-signature-ops=0"}, "bad --max-signature-ops 0: must be positive"},
		"control":            {[]string{"--require-provenance"}, "--require-provenance is not supported: write a policy"},
		"builders":           {[]string{"--allowed-builders=a"}, "--allowed-builders is not supported: write a policy"},
		"sources":            {[]string{"--allowed-source-repos=a"}, "--allowed-source-repos is not supported: write a policy"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := translate(t, promoteCommand(), Input{Getenv: environment(nil), Now: time.Now()}, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %+v, error %v, want one with %q", got, err, tc.want)
			}
		})
	}
}

// TestReasons demands a reason for the flags without effect.
func TestReasons(t *testing.T) {
	t.Parallel()
	for _, c := range Commands() {
		for _, k := range c.flags {
			if (k.effect == ignored || k.effect == refused) && k.why() == "" {
				t.Errorf("--%s has no effect: got no reason, want one", k.name)
			}
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ argv, want []string }{
		"cip":        {[]string{"/bin/cip", "run"}, []string{"run"}},
		"link":       {[]string{"/kpromo", "--from-days=7", "sigcheck"}, []string{"kpromo", "--from-days=7", "sigcheck"}},
		"on Windows": {[]string{"kpromo.exe"}, []string{"kpromo"}},
		"like it":    {[]string{"kpromo-old", "cip"}, []string{"cip"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, CommandLine(tc.argv)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTranslatePR(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args       []string
		want       []string
		body, fork string
	}{
		"one tag": {
			[]string{"--fork=me", "-t", "v1.34.1"},
			[]string{
				"gcr.io/k8s-staging-kubernetes", "--all", "--thin-manifest-dir=registry.k8s.io", "--tag=v1.34.1", "--fork=me/k8s.io", "--base-branch=main",
				"--branch=kubernetes-v1.34.1-image-promotion", "--title=releng: Image promotion for kubernetes v1.34.1", "--forge=github", "--sign-off", "--confirm",
			},
			"Image promotion for kubernetes v1.34.1\nThis pull request was made by `kpromo`.\n```\nkpromo pr --fork me --tag v1.34.1\n```\n\n/hold\ncc: @kubernetes/release-engineering\n",
			"git@github.com:me/k8s.io.git",
		},
		"all flags": {
			[]string{
				"--fork=me/copy", "--tag=v1,v2", "--project=etcd", "--staging-repo=registry.example.com/etcd", "--image=a", "--image=b", "--digests=sha256:0", "--use-ssh=false", "-i",
				"--reviewers=@a @b", "--issue=https://github.com/kubernetes/k8s.io/issues/1", "--update-repo=false",
			},
			[]string{
				"registry.example.com/etcd", "--all", "--thin-manifest-dir=registry.k8s.io", "--tag=v1", "--tag=v2", "--image=a", "--image=b", "--digest=sha256:0",
				"--fork=me/copy", "--base-branch=main", "--branch=etcd-v1-image-promotion", "--title=Image promotion for etcd v1 / v2", "--forge=github", "--sign-off", "--confirm",
			},
			"Image promotion for etcd v1 / v2\n\nxref: https://github.com/kubernetes/k8s.io/issues/1\n\nThis pull request was made by `kpromo`.\n```\n" +
				"kpromo pr --fork me/copy --interactive --project etcd --staging-repo registry.example.com/etcd --reviewers '@a @b'" +
				" --issue https://github.com/kubernetes/k8s.io/issues/1 --tag v1 --tag v2 --image a --image b\n```\n\n/hold\ncc: @a @b\n",
			"https://github.com/me/copy",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := translate(t, proposeCommand(), Input{}, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.body, got.Proposal.Body); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
			if fork := got.Proposal.fork; fork != tc.fork {
				t.Errorf("fork: got %s, want %s", fork, tc.fork)
			}
		})
	}
	for args, want := range map[string]string{
		"--fork=me":                 "--tag is required",
		"--tag=v1":                  `bad --fork "": want ORG or ORG/REPO`,
		"--tag=v1 --fork=a/b/c":     "bad --fork",
		"--tag=v1 --fork=a@b":       "bad --fork",
		"--tag=v1,latest --fork=me": "does not promote the tag latest",
		"--tag=v1 --fork=me --issue=https://example.com/1": "bad --issue",
		"--tag=v1 --fork=me --issue=github.com/1":          "bad --issue",
	} {
		if got, err := translate(t, proposeCommand(), Input{}, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, error %v, want one with %q", args, got, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	read := func(names ...string) *manifest.Set {
		m := &manifest.Manifest{}
		for _, name := range names {
			r, err := image.ParseRegistry(name)
			if err != nil {
				t.Fatal(err)
			}
			m.Destinations = append(m.Destinations, &manifest.Registry{Name: r})
		}
		return &manifest.Set{Manifests: []*manifest.Manifest{m}}
	}
	type names struct {
		Public   string
		Evidence bool
	}
	describe := func(set *manifest.Set) (all []names) {
		for _, d := range set.Manifests[0].Destinations {
			all = append(all, names{d.PublicName, d.Attestations})
		}
		return all
	}
	all := []string{"us-west1-docker.pkg.dev/k8s-artifacts-prod/images/etcd", "us-central1-docker.pkg.dev/k8s-artifacts-prod/images", "us.gcr.io/k8s-artifacts-prod/etcd", "us-central1-docker.pkg.dev/k8s-artifacts-prod/images-old"}
	set := read(all...)
	Names(set)
	if diff := cmp.Diff([]names{{"registry.k8s.io/etcd", false}, {"registry.k8s.io", true}, {}, {}}, describe(set)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	set = read(all...)
	set.Manifests[0].Destinations[0].Attestations, set.Manifests[0].Destinations[0].PublicName = true, "registry.example.com"
	Names(set)
	if diff := cmp.Diff([]names{{"registry.example.com", true}, {"registry.k8s.io", false}, {}, {}}, describe(set)); diff != "" {
		t.Errorf("with names in the manifest (-want +got):\n%s", diff)
	}
}
