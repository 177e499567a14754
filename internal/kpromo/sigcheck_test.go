package kpromo

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
			got, err := translate(t, sigcheckCommand(), Input{Getenv: environment(map[string]string{"CIP_THIN_MANIFEST_DIR": tc.dir}), Now: now}, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.references, got.Operands); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
			if from, to := got.Uploads.from.Day(), got.Uploads.to.Day(); from != tc.from || to != tc.to {
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
		if got, err := translate(t, sigcheckCommand(), Input{Getenv: environment(nil), Now: now}, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, error %v, want one with %q", args, got, err, want)
		}
	}
}
