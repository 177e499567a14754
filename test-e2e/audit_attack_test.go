package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// TestAuditEndsWithUnfinishedBodies has senders that never finish when the auditor is to end.
func TestAuditEndsWithUnfinishedBodies(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	a := startAuditor(t, "--manifest="+writeManifest(t, "  []\n", reg.Host+"/src", reg.Host+"/prod"))
	address := strings.TrimPrefix(a.url, "http://")
	for range 80 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n{", address); err != nil {
			t.Fatal(err)
		}
	}
	a.get(t, "/healthz")
	a.stop(t) // it wants exit code 0
}

// TestAuditRefusesDamagedState cuts off the state of an auditor that has ended.
func TestAuditRefusesDamagedState(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	manifest := writeManifest(t, "  []\n", reg.Host+"/src", reg.Host+"/prod")
	state := filepath.Join(t.TempDir(), "state")
	a := startAuditor(t, "--manifest="+manifest, "--state="+state)
	a.stop(t)
	if err := os.Truncate(state, 5000); err != nil {
		t.Fatal(err)
	}
	out := audit(t, 1, "--listen=127.0.0.1:0", "--manifest="+manifest, "--state="+state)
	for _, want := range []string{state, "it is damaged; move it away to start with a new one"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
}

// audit runs cip audit until it ends, and returns what it wrote to stderr.
func audit(t *testing.T, code int, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"audit"}, args...)...)
	cmd.Env, cmd.Stderr = environment(t.TempDir()), &stderr
	_ = cmd.Run() // the exit code is compared
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("got exit code %d, want %d\n%s", got, code, &stderr)
	}
	return stderr.String()
}

// TestAuditWarnsWithoutToken listens on every address, and on loopback alone.
func TestAuditWarnsWithoutToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := writeManifest(t, "  []\n", "127.0.0.1:1/src", "127.0.0.1:1/prod")
	for _, test := range []struct {
		name string
		args []string
		want bool
	}{
		{"every address", []string{"--listen=:0"}, true},
		{"every address, with a token", []string{"--listen=:0", "--token-file=" + token}, false},
		{"every address, for Pub/Sub alone", []string{"--listen=:0", "--oidc-audience=x"}, false},
		{"loopback", []string{"--listen=127.0.0.1:0"}, false},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, binary, append([]string{"audit", "--manifest=" + manifest}, test.args...)...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.Env = environment(t.TempDir())
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		warned := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			warned = warned || strings.Contains(lines.Text(), "--token-file makes it require a token")
			if strings.Contains(lines.Text(), "listening on") {
				cancel() // what is said at the start comes before the end
			}
		}
		_ = cmd.Wait()
		cancel()
		if warned != test.want {
			t.Errorf("%s: got a warning: %v, want %v", test.name, warned, test.want)
		}
	}
}
