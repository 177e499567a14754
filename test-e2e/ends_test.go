package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// endLimit is how long cip may go on after the first signal.
const endLimit = 10 * time.Second

// TestInterruptSlowAnswers ends promotions while the registry sends its answer to a
// write a byte at a time.
func TestInterruptSlowAnswers(t *testing.T) {
	t.Parallel()
	for _, kind := range []rt.Kind{rt.ManifestPut, rt.UploadPost, rt.UploadPut} {
		for _, status := range []int{http.StatusCreated, http.StatusBadRequest, http.StatusTooManyRequests, http.StatusBadGateway} {
			t.Run(fmt.Sprintf("%s, %d", kind, status), func(t *testing.T) {
				t.Parallel()
				var options []rt.Option
				if kind == rt.UploadPut {
					options = append(options, rt.NoSinglePost())
				}
				dst := rt.New(t, options...)
				j := newJob(t, rt.New(t), dst)
				reached, drip := announced(rt.Drip(status, nil, 50*time.Millisecond))
				dst.Fault(drip, rt.Is(kind))
				p := start(t, append([]string{"run"}, j.args...)...)
				awaited(t, reached, "the write")
				if err := p.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				out := p.wait(t, endLimit)
				if out.code != 130 || out.report == nil {
					t.Errorf("exit code: got %d, want 130 and a report\n%s", out.code, out)
				}
				j.visible(t)
			})
		}
	}
}

// TestStuckOutput ends a run that waits for a reader of stderr who does not read.
func TestStuckOutput(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 5000 { // each with a fault, which is a line on stderr: more than a pipe holds
		b.WriteString(entry(fmt.Sprintf("UPPER%d", i), rt.Image(1, 1).Digest, "1.0"))
	}
	p := prepare(t, "run", "--manifest="+writeManifest(t, b.String(), "127.0.0.1:1/staging", "127.0.0.1:1/prod"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p.Stderr = w
	p.begin(t)
	_ = w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out := p.wait(t, endLimit); out.code != 130 {
		t.Errorf("exit code: got %d, want 130", out.code)
	}
}

// TestClosedOutput closes what cip writes to: nothing that was promoted, and no report, is lost.
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		closed func(p *process) *io.Writer
		code   int
	}{
		"stderr": {func(p *process) *io.Writer { return &p.Stderr }, 0},
		"stdout": {func(p *process) *io.Writer { return &p.Stdout }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := rt.New(t)
			j := newJob(t, rt.New(t), dst)
			p := prepare(t, append([]string{"run", "--log-level=debug"}, j.args...)...)
			dst.Fault(rt.Status(http.StatusBadGateway, nil, ""), rt.Is(rt.Tags), rt.First(1)) // a line on stderr
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			*tc.closed(p) = w
			_ = r.Close()
			p.begin(t)
			_ = w.Close()
			out := p.wait(t, runLimit)
			if out.code != tc.code || out.report == nil {
				t.Fatalf("exit code: got %d, want %d and a report\n%s", out.code, tc.code, out)
			}
			if done := j.truthful(t, out.report); done == 0 {
				t.Error("promotions that are done: got 0, want all")
			}
			j.visible(t)
		})
	}
}
