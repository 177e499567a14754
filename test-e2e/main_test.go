// Package e2e runs the built cip against registries: real files, exit codes,
// signals and wire. The scripts in testdata are use cases, one each; their
// commands in addition to testscript's are listed in script_test.go. What needs a
// signal, a clock or its own count of requests is a Go test.
package e2e

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// binary is the product, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if err := readSources(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "cip-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "cip")
	if err := build(binary); err != nil {
		return 0, err
	}
	if err := os.Symlink(binary, linkOfKpromo()); err != nil {
		return 0, err
	}
	if err := manyAtOnce(); err != nil {
		return 0, err
	}
	if registryBinary() == "" {
		fmt.Fprintf(os.Stderr, "e2e: NOT TESTED on a real registry: %s does not name one\n", registryVariable)
	}
	if browserPath() == "" {
		fmt.Fprintf(os.Stderr, "e2e: NOT TESTED in a browser: there is no chromium, and %s does not name one\n", browserVariable)
	}
	return m.Run(), nil
}

// manyAtOnce lets more tests run at once than there are processors, unless the caller
// says how many: most of their time they wait, for processes and between tries.
func manyAtOnce() error {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if said {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
}

// build builds cip with the race detector, where that can be built.
func build(to string) error {
	args := []string{"build", "-buildvcs=false", "-o", to} // its version is then "dev" everywhere
	cgo, err := exec.Command("go", "env", "CGO_ENABLED").Output()
	if err != nil {
		return fmt.Errorf("asking for CGO_ENABLED: %w", err)
	}
	if strings.TrimSpace(string(cgo)) == "1" {
		// The demo's registry hashes a password whenever the process starts, which
		// takes a second under the race detector: that package is left out.
		args = append(args, "-race", "-gcflags=golang.org/x/crypto/blowfish=-race=false")
	}
	out, err := exec.Command("go", append(args, "sigs.k8s.io/k8s-container-image-promoter/cmd/cip")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building cip: %w\n%s", err, out)
	}
	return nil
}

// readSources looks at the product's sources, so that go test does not take the
// result of an older product for this one's: it sees what a test looks at, not
// what a command does that the test runs.
func readSources() error {
	for _, name := range []string{"go.mod", "cmd", "internal/cli", "pkg", "manifests"} {
		err := filepath.WalkDir(filepath.Join("..", name), func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			return fmt.Errorf("reading sources: %w", err)
		}
	}
	return nil
}

// environment returns the variables that cip runs with: nothing of the machine's
// accounts, clouds or proxies. dir is empty and cip's own.
func environment(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + filepath.Join(dir, "home"),
		"DOCKER_CONFIG=" + filepath.Join(dir, "docker"),
		"TMPDIR=" + dir,
		"NO_PROXY=127.0.0.1,localhost",
		"GORACE=atexit_sleep_ms=0 halt_on_error=1", // a race ends cip with code 66
	}
}
