// Command images makes the pictures of the documentation: a plan in colour, and
// the auditor's page with some verdicts. It runs the binaries in bin/ against the
// registry of cip demo, on loopback, and takes the page's picture with Chromium.
//
//	make images
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "cip-images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	demo, err := startDemo()
	if err != nil {
		return fmt.Errorf("starting the demo: %w", err)
	}
	defer demo.stop()
	plan, err := demo.plan(dir)
	if err != nil {
		return fmt.Errorf("planning: %w", err)
	}
	plan = strings.ReplaceAll(plan, dir+string(filepath.Separator), "") // as if it ran there
	if err := os.WriteFile("docs/images/plan.svg", terminal("cip run --manifest=promote.yaml", plan), 0o644); err != nil {
		return err
	}
	if err := demo.intrude(dir); err != nil {
		return fmt.Errorf("tagging an image in production: %w", err)
	}
	return demo.page("docs/images/auditor.png")
}

// demo is a running cip demo --serve.
type demo struct {
	host string
	stop func()
}

var servedRE = regexp.MustCompile(`The registry is at (\S+:\d+)`)

// wantedHost is the registry that the files in manifests/ name.
const wantedHost = "localhost:5000"

func startDemo() (*demo, error) {
	cmd := exec.Command("bin/cip", "demo", "--serve")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &demo{stop: func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() }}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := servedRE.FindStringSubmatch(lines.Text()); m != nil {
			if d.host = m[1]; d.host != wantedHost {
				d.stop()
				return nil, fmt.Errorf("port 5000 is in use: the demo's registry is at %s", d.host)
			}
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return d, nil
		}
	}
	d.stop()
	return nil, errors.New("it does not say where its registry is")
}

// The digests of the demo's images.
const (
	apple10 = "sha256:9ab125b9d4428597c3d120b849230b17632eccdf3c6212bf65c0ae10b311f185"
	apple11 = "sha256:55ede7c1d339e4dbdd652d27d345fc5c70dfbb9117a2c8648a168daaa8c15805"
	banana  = "sha256:d44ea81d9853486da856febbd67930db5db167e86b291abd3d2d68a893b34e34"
	missing = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// plan prepares production so that the plan has every kind of item, and returns it in colour.
func (d *demo) plan(dir string) (string, error) {
	registries := fmt.Sprintf("registries:\n- {name: %[1]s/staging, src: true}\n- {name: %[1]s/shop, mutable-tags: [latest]}\n", d.host)
	write := func(images string) (string, error) {
		name := filepath.Join(dir, "promote.yaml")
		return name, os.WriteFile(name, []byte(registries+"images:\n"+images), 0o600)
	}
	before, err := write(fmt.Sprintf("- {name: apple, dmap: {%q: [\"1.1\", latest]}}\n", apple10))
	if err != nil {
		return "", err
	}
	if _, err := cip("run", "--manifest="+before, "--confirm"); err != nil {
		return "", err
	}
	after, err := write(fmt.Sprintf("- {name: apple, dmap: {%q: [\"1.0\"], %q: [\"1.1\", latest]}}\n- {name: banana, dmap: {%q: [\"2.0\"]}}\n- {name: cherry, dmap: {%q: [\"3.0\"]}}\n",
		apple10, apple11, banana, missing))
	if err != nil {
		return "", err
	}
	out, err := cip("run", "--manifest="+after)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil // something is refused: the picture shows it
	}
	return out, err
}

// intrude adds a tag to production that the demo's manifests do not want.
func (d *demo) intrude(dir string) error {
	name := filepath.Join(dir, "intrude.yaml")
	text := fmt.Sprintf("registries:\n- {name: %[1]s/staging, src: true}\n- {name: %[1]s/prod}\nimages:\n- {name: apple, dmap: {%q: [hotfix]}}\n", d.host, apple11)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := cip("run", "--manifest="+name, "--confirm")
	return err
}

func cip(args ...string) (string, error) {
	cmd := exec.Command("bin/cip", append(args, "--quiet")...)
	cmd.Env = append(os.Environ(), "CLICOLOR_FORCE=1")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, &stderr)
	}
	return out.String(), err
}

// page starts the auditor, sends it events, and takes a picture of its page.
func (d *demo) page(name string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command("bin/cip-auditor", "--thin-manifest-dir=manifests/demo", "--listen="+addr, "--sweep-interval=1h", "--quiet")
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() }()
	if err := ready("http://" + addr + "/readyz"); err != nil {
		return err
	}
	for i, e := range []struct{ action, repository, digest, tag string }{
		{"push", "prod/apple", apple10, "1.0"},
		{"push", "prod/apple", apple11, "1.1"},
		{"push", "prod/banana", banana, "2.0"},
		{"push", "prod/apple", apple11, "1.0"},
		{"delete", "prod/banana", banana, ""},
		{"push", "staging/apple", apple11, "build-9"},
	} {
		body := fmt.Sprintf(`{"events":[{"id":"%d","timestamp":%q,"action":%q,"target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":%q,"digest":%q,"tag":%q},"request":{"host":%q},"actor":{"name":"release-bot"}}]}`,
			i, time.Now().UTC().Format(time.RFC3339), e.action, e.repository, e.digest, e.tag, d.host)
		resp, err := http.Post("http://"+addr+"/events/distribution", "application/json", strings.NewReader(body))
		if err != nil {
			return err
		}
		resp.Body.Close()
	}
	profile, err := os.MkdirTemp("", "cip-browser-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(profile)
	to, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	out, err := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
		"--user-data-dir="+profile, "--window-size=1280,960", "--virtual-time-budget=6000", "--screenshot="+to, "http://"+addr+"/").CombinedOutput()
	if err != nil {
		return fmt.Errorf("taking the picture: %w\n%s", err, out)
	}
	return nil
}

// ready waits until a server answers 200.
func ready(url string) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("%s does not answer", url)
}
