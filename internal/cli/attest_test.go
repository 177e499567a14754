package cli

import (
	"strings"
	"testing"
)

// TestContradictingSigners are flags about evidence that contradict each other, or that nothing
// could come of.
func TestContradictingSigners(t *testing.T) {
	t.Parallel()
	run, verify := []string{"run", "--manifest=m.yaml"}, []string{"verify", "--manifest=m.yaml", "--signature-key=release.pub"}
	for _, tc := range []struct {
		base []string
		flag []string
		want string
	}{
		{run, []string{"--signing-key=release.key"}, "nothing is to be signed"},
		{run, []string{"--identity-token-file=token"}, "nothing is to be signed"},
		{run, []string{"--signer-account=a@b.example"}, "nothing is to be signed"},
		{run, []string{"--attest", "--summary-signer-account=a@b.example"}, "--summary-signer-account needs --verification-summaries"},
		{run, []string{"--attest", "--signing-key=release.key", "--signer-account=a@b.example"}, "--signing-key excludes"},
		{run, []string{"--attest", "--signing-key=release.key", "--identity-token-file=token"}, "--signing-key excludes"},
		{run, []string{"--attest", "--signing-key="}, "--signing-key is empty"},
		{run, []string{"--attest", "--signing-key=release.key", "--rekor-url="}, "--rekor-url is empty"},
		{run, []string{"--attest", "--estimate"}, "--estimate does not count evidence"},
		{verify, []string{"--signing-key=release.key"}, "need --confirm"},
		{verify, []string{"--verification-summaries"}, "need --confirm"},
	} {
		args := append(append([]string{}, tc.base...), tc.flag...)
		if code, out := ran(t, nil, args...); code != exitFailed || !strings.Contains(out, tc.want) {
			t.Errorf("cip %s: got exit code %d and %q, want %d and %q", strings.Join(args, " "), code, out, exitFailed, tc.want)
		}
	}
}
