package cli

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/kpromo"
	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

func TestKpromoVersion(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := streams{out: &out, err: io.Discard, getenv: func(string) string { return "" }, build: version.Build{Version: "1.2.3", Commit: "0123-dirty", Date: "2026-01-02T03:04:05Z"}}
	if code := execute(t.Context(), newRootCmd(s), []string{"kpromo", "version", "--json"}, s); code != exitOK {
		t.Fatalf("exit code: got %d, want %d", code, exitOK)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"buildDate", "compiler", "gitCommit", "gitTreeState", "gitVersion", "goVersion", "platform"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if got["gitVersion"] != "v1.2.3" || got["gitCommit"] != "0123" || got["gitTreeState"] != "dirty" {
		t.Errorf("got %v, want version v1.2.3 of the changed commit 0123", got)
	}
	out.Reset()
	execute(t.Context(), newRootCmd(s), []string{"kpromo", "version"}, s)
	if !strings.Contains(out.String(), "\nGitVersion:    v1.2.3\n") {
		t.Errorf("got %q, want the version", out.String())
	}
}

// kpromoCommand returns a command of kpromo.
func kpromoCommand(t *testing.T, name string) kpromo.Command {
	t.Helper()
	all := kpromo.Commands()
	i := slices.IndexFunc(all, func(c kpromo.Command) bool { return strings.HasPrefix(c.Use, name) })
	if i < 0 {
		t.Fatalf("got no command %s of kpromo, want it", name)
	}
	return all[i]
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
		f := pflag.NewFlagSet("sigcheck", pflag.ContinueOnError)
		c := kpromoCommand(t, "sigcheck")
		c.AddFlags(f)
		if err := f.Parse(append(args, "--attestations-since=")); err != nil {
			t.Fatal(err)
		}
		line, err := c.Translate(kpromo.Input{Flags: f, Getenv: s.getenv, Now: now})
		if err == nil {
			line.Uploads.Root = root
			err = s.runLine(t.Context(), line, "info")
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

// TestTranslationsExist demands that cip has the flags of all translations.
func TestTranslationsExist(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cmd  *cobra.Command
		args []string
	}{
		{"cip", newRunCmd(&runOptions{}, quiet()), []string{
			"--manifest=f", "--confirm", "--parse-only", "--dry-run=false", "--threads=5", "--key-files=a", "--verification-summaries", "--summary-signer-account=a@b", "--log-level=debug",
		}},
		{"cip", newRunCmd(&runOptions{}, quiet()), []string{"--thin-manifest-dir=d", "--manifest-diff-since=1d", "--certificate-identity-regexp=.", "--certificate-oidc-issuer-regexp=."}},
		{"cip", newRunCmd(&runOptions{}, quiet()), []string{"--snapshot=r", "--snapshot-tag=v1", "--minimal-snapshot", "--output=csv"}},
		{"cip", newRunCmd(&runOptions{}, quiet()), []string{"--manifest-based-snapshot-of=r"}},
		{"pr", newPRCmd(&prOptions{}, quiet()), []string{"--fork=me", "--tag=v1", "--image=a", "--digests=sha256:0"}},
		{"sigcheck", newVerifyCmd(&verifyOptions{}, quiet()), []string{"--confirm", "--attestations-since="}},
	} {
		c, f := kpromoCommand(t, tc.name), pflag.NewFlagSet(tc.name, pflag.ContinueOnError)
		f.String("log-level", "info", "")
		c.AddFlags(f)
		if err := f.Parse(tc.args); err != nil {
			t.Fatal(err)
		}
		line, err := c.Translate(kpromo.Input{Flags: f, Getenv: func(string) string { return "d" }, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if err := tc.cmd.ParseFlags(line.Args); err != nil {
			t.Errorf("kpromo %s %v as cip %s %v: got error %v, want none", tc.name, tc.args, tc.cmd.Name(), line.Args, err)
		}
	}
}
