package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// checkedSigs returns the translation of a command line of kpromo sigcheck.
func checkedSigs(t *testing.T, now time.Time, dir string, args ...string) (*sigcheck, error) {
	t.Helper()
	f := pflag.NewFlagSet("sigcheck", pflag.ContinueOnError)
	f.String("log-level", "info", "")
	addFlags(f, sigcheckFlags)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return translateSigcheck(f, f.Args(), dir, version.Build{Version: "1.2.3"}, now)
}

func TestTranslateSigcheck(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	who := []string{"--require-signature", trusted, byGoogle}
	tests := map[string]struct {
		args       []string
		dir        string
		want       []string
		references []string
		from, to   int // days of November
	}{
		"periodic-release-verify-image-signatures": {args: []string{"--from-days=7"}, want: who, from: 23, to: 30},
		"days":    {args: []string{"--from-days=10", "--to-days=3"}, want: who, from: 20, to: 27},
		"repair":  {args: []string{"--confirm", "--signer-account=a@b"}, dir: "d", want: append(who[:3:3], "--thin-manifest-dir=d", "--confirm", "--signer-account=a@b", "--builder-id=https://k8s.io/promo-tools@v1.2.3"), from: 25, to: 30},
		"pattern": {args: []string{"--certificate-identity-regexp=."}, want: []string{"--require-signature", "--certificate-identity-regexp=.", byGoogle}, from: 25, to: 30},
		"references": {
			args: []string{"registry.k8s.io/pause:3.10", "europe-west4-docker.pkg.dev/k8s-artifacts-prod/images/etcd/etcd@sha256:0"}, want: who,
			references: []string{"registry.k8s.io/pause:3.10", "registry.k8s.io/etcd/etcd@sha256:0"}, from: 25, to: 30,
		},
		"of all times": {args: []string{"--from-days=29", "--attestations-since="}, want: who, from: 1, to: 30},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := checkedSigs(t, now, tc.dir, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.references, got.references); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
			if from, to := got.uploads.From.Day(), got.uploads.To.Day(); from != tc.from || to != tc.to {
				t.Errorf("got days %d to %d, want %d to %d", from, to, tc.from, tc.to)
			}
		})
	}
	for args, want := range map[string]string{
		"registry.example.com/pause:1":      "bad reference",
		"gcr.io/k8s-artifacts-prod/pause:1": "bad reference",
		"--from-days=0":                     "want --from-days greater",
		"--from-days=2 --to-days=3":         "want --from-days greater",
		"--to-days=-1":                      "no negative number",
		"--limit=-1":                        "no negative number",
		"--attestations-since=yesterday":    "bad --attestations-since",
		"--from-days=90":                    "begins before --attestations-since=2026-09-24",
		"--certificate-oidc-issuer=":        "--certificate-oidc-issuer is empty",
		"--max-signature-ops=0":             "must be positive",
		"--confirm":                         "--confirm needs CIP_THIN_MANIFEST_DIR",
	} {
		if got, err := checkedSigs(t, now, "", strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, error %v, want one with %q", args, got, err, want)
		}
	}
}

// TestSigcheck verifies what a registry received in the given days.
func TestSigcheck(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t, registrytest.GoogleListing()) // all uploads are of 2020-09-13
	apple, pear := registrytest.Image(1, 1), registrytest.Image(2, 1)
	reg.Push(t, "k8s-artifacts-prod/images/fruit/apple", apple, "v1")
	reg.Push(t, "k8s-artifacts-prod/images/fruit/apple-arm64", apple, "v1")
	reg.Push(t, "k8s-artifacts-prod/images/fruit/pear", pear, "v1", "v2")
	root, err := image.ParseRegistry(reg.Host + "/k8s-artifacts-prod/images")
	if err != nil {
		t.Fatal(err)
	}
	run := func(now time.Time, args ...string) (code int, out string) {
		t.Helper()
		var b strings.Builder
		s := streams{out: &b, err: &b, getenv: func(string) string { return "" }}
		c, err := checkedSigs(t, now, "", append(args, "--attestations-since=")...)
		if err == nil {
			err = c.run(t.Context(), root, s)
		}
		return s.exitCode(t.Context(), nil, err), b.String()
	}
	then := time.Date(2020, 9, 15, 0, 0, 0, 0, time.UTC)
	code, out := run(then)
	for _, want := range []string{"registry.k8s.io/fruit/apple@" + apple.Digest, "registry.k8s.io/fruit/pear@" + pear.Digest, "2 broken", "no manifests are given"} {
		if code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("got exit code %d, want %d, and %q in\n%s", code, exitFailed, want, out)
		}
	}
	if strings.Contains(out, "arm64") {
		t.Errorf("got an image for one platform, want none in\n%s", out)
	}
	if code, out := run(then, "--limit=1"); code != exitFailed || !strings.Contains(out, "1 broken") {
		t.Errorf("got exit code %d, want the first image in\n%s", code, out)
	}
	if code, out := run(then.AddDate(0, 0, 30)); code != exitOK || !strings.Contains(out, "nothing to verify") {
		t.Errorf("later: got exit code %d, want %d and nothing\n%s", code, exitOK, out)
	}
	plain := registrytest.New(t, registrytest.WithCatalog())
	plain.Push(t, "k8s-artifacts-prod/images/fruit/apple", apple, "v1")
	if root, err = image.ParseRegistry(plain.Host + "/k8s-artifacts-prod/images"); err != nil {
		t.Fatal(err)
	}
	if code, out := run(then); code != exitFailed || !strings.Contains(out, "no times of uploads") {
		t.Errorf("without times: got exit code %d, want %d and an error\n%s", code, exitFailed, out)
	}
}
