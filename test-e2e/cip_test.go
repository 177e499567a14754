package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// runLimit bounds one run of cip; only a run that hangs reaches it, and then prints its stacks.
const runLimit = 2 * time.Minute

// process is a run of cip.
type process struct {
	*exec.Cmd
	dir            string // its own: report, temporary files
	stdout, stderr bytes.Buffer
	ended          chan error
}

// outcome is what a run of cip left.
type outcome struct {
	code           int // -1: a signal ended it
	stdout, stderr string
	report         *report // nil: it wrote none
}

// prepare returns a command of cip that is yet to begin, with a place for its report.
func prepare(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{dir: t.TempDir(), ended: make(chan error, 1)}
	for _, name := range []string{"home", "docker"} {
		if err := os.Mkdir(filepath.Join(p.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.Cmd = exec.Command(binary, args...)
	p.Env = append(environment(p.dir), "CIP_REPORT="+p.reportFile())
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	return p
}

// begin starts the process.
func (p *process) begin(t testing.TB) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatalf("starting cip: %v", err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() }) // no harm if it has ended
}

// start starts a command of cip.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	p := prepare(t, args...)
	p.begin(t)
	return p
}

// login writes an account for registries where Docker keeps them.
func (p *process) login(t testing.TB, user, password string, registries ...*registrytest.Server) {
	t.Helper()
	hosts := make([]string, len(registries))
	for i, s := range registries {
		hosts[i] = s.Host
	}
	if err := writeLogin(filepath.Join(p.dir, "docker"), user, password, hosts...); err != nil {
		t.Fatal(err)
	}
}

// writeLogin writes Docker's configuration into a directory.
func writeLogin(dir, user, password string, hosts ...string) error {
	type auth struct {
		Auth string `json:"auth"`
	}
	auths := map[string]auth{}
	for _, host := range hosts {
		auths[host] = auth{base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	}
	raw, err := json.Marshal(map[string]map[string]auth{"auths": auths})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600)
}

func (p *process) reportFile() string { return filepath.Join(p.dir, "report.json") }

// wait waits for the end of a run, at most so long.
func (p *process) wait(t testing.TB, limit time.Duration) outcome {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case err = <-p.ended:
	case <-timer.C:
		_ = p.Process.Signal(syscall.SIGQUIT)
		err = <-p.ended
		t.Fatalf("cip did not end in %s: %v\n%s", limit, err, p.stderr.String())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("running cip: %v", err)
	}
	out := outcome{code: p.ProcessState.ExitCode(), stdout: p.stdout.String(), stderr: p.stderr.String()}
	if strings.Contains(out.stderr, "DATA RACE") || strings.Contains(out.stderr, "panic:") {
		t.Fatalf("cip: %s", out.stderr)
	}
	if out.code >= 0 {
		for _, name := range litter(p.dir) {
			t.Errorf("got %s left behind, want nothing", name)
		}
	}
	raw, err := os.ReadFile(p.reportFile())
	if err == nil {
		out.report = parseReport(t, raw)
	}
	return out
}

// litter returns what is in a directory for temporary files that cip should have removed.
func litter(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(dir) // there may be none
	for _, e := range entries {
		if !slices.Contains([]string{"home", "docker", "report.json"}, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// product runs a command of cip and returns what it left. It fails unless cip ends with code.
func product(t testing.TB, code int, args ...string) outcome {
	t.Helper()
	out := start(t, args...).wait(t, runLimit)
	if out.code != code {
		t.Fatalf("cip %s: exit code %d, want %d\n%s", args[0], out.code, code, out)
	}
	return out
}

// run runs cip run and returns what it left. It fails unless cip ends with code.
func run(t testing.TB, code int, args ...string) outcome {
	t.Helper()
	out := product(t, code, append([]string{"run"}, args...)...)
	if out.report == nil {
		t.Fatalf("got no report of cip run, want one\n%s", out)
	}
	return out
}

// String returns the outcome for failure messages.
func (o outcome) String() string { return fmt.Sprintf("stdout:\n%s\nstderr:\n%s", o.stdout, o.stderr) }

// report is the JSON report as its readers see it.
type report struct {
	DryRun     bool           `json:"dryRun"`
	Summary    map[string]int `json:"summary"`
	Promotions []promotion    `json:"promotions"`
	Faults     []fault        `json:"faults"`
	Warnings   []string       `json:"warnings"`
	Estimate   map[string]struct {
		Requests int   `json:"requests"`
		Bytes    int64 `json:"bytes"`
		AtLeast  bool  `json:"atLeast"`
	} `json:"estimate"`
	Requests map[string]int `json:"requests"`
	Bytes    int64          `json:"bytesCopied"`
}

// fault is a fault of a file in a report.
type fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// promotion is one item of a report.
type promotion struct {
	Kind           string   `json:"kind"`
	What           string   `json:"what"`
	Action         string   `json:"action"`
	Status         string   `json:"status"`
	Source         string   `json:"source"`
	Destination    string   `json:"destination"`
	Digest         string   `json:"digest"`
	Tags           []string `json:"tags"`
	PreviousDigest string   `json:"previousDigest"`
	Error          string   `json:"error"`
}

// parseReport reads a report and checks what holds of every report.
func parseReport(t testing.TB, raw []byte) *report {
	t.Helper()
	var r report
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatalf("reading the report: %v\n%s", err, raw)
	}
	for i, p := range r.Promotions {
		if p.Tags == nil {
			t.Errorf("report: item %d: got no list of tags, want one", i)
		}
		if (p.Error == "") != (p.Status == "planned" || p.Status == "done") {
			t.Errorf("report: item %d: got %s with error %q, want an error exactly if neither planned nor done", i, p.Status, p.Error)
		}
		if i == 0 {
			continue
		}
		last := r.Promotions[i-1]
		if p.Destination < last.Destination || p.Destination == last.Destination && p.Digest < last.Digest {
			t.Errorf("report: item %d: got %s %s after %s %s, want them sorted", i, p.Destination, p.Digest, last.Destination, last.Digest)
		}
	}
	return &r
}

// writeManifest writes a plain manifest, its first registry being the source, and returns its path.
func writeManifest(t testing.TB, images string, registries ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "promote.yaml")
	rewrite(t, path, images, registries...)
	return path
}

// rewrite replaces a plain manifest atomically: a reader sees the old or the new one.
func rewrite(t testing.TB, path, images string, registries ...string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("registries:\n")
	for i, r := range registries {
		fmt.Fprintf(&b, "- name: %s\n", r)
		if i == 0 {
			b.WriteString("  src: true\n")
		}
	}
	b.WriteString("images:\n" + images)
	err := os.WriteFile(path+".new", []byte(b.String()), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// entry is an images entry of one digest.
func entry(name, digest string, tags ...string) string {
	for i, tag := range tags {
		tags[i] = fmt.Sprintf("%q", tag)
	}
	return fmt.Sprintf("- name: %s\n  dmap:\n    %q: [%s]\n", name, digest, strings.Join(tags, ", "))
}

// wrong returns what of an object is not in a repository as it was made, or does not have these tags.
func wrong(t testing.TB, s *registrytest.Server, repo string, o registrytest.Object, tags ...string) []string {
	t.Helper()
	problems := s.Complete(t, repo, o.Digest)
	var visit func(registrytest.Object)
	visit = func(o registrytest.Object) {
		for _, c := range o.Children {
			visit(c)
		}
		raw, mediaType, ok := s.Manifest(t, repo, o.Digest)
		if ok && (!bytes.Equal(raw, o.Raw) || mediaType != o.MediaType) {
			problems = append(problems, fmt.Sprintf("%s@%s: %s, %d bytes; want %s, %d bytes",
				repo, o.Digest, mediaType, len(raw), o.MediaType, len(o.Raw)))
		}
	}
	visit(o)
	have := s.Tags(t, repo)
	for _, tag := range tags {
		if have[tag] != o.Digest {
			problems = append(problems, fmt.Sprintf("%s:%s is %q, want %s", repo, tag, have[tag], o.Digest))
		}
	}
	return problems
}
