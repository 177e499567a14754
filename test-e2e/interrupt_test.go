package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// interruptLimit bounds the end of an interrupted run: three seconds for open
// upload sessions, the rest for slow machines.
const interruptLimit = 20 * time.Second

// job is a promotion of a few images between two registries, or inside one.
type job struct {
	src, dst *rt.Server
	images   []rt.Object
	args     []string // of cip run
}

// names are the images of a job.
var names = []string{"apple", "banana", "cherry", "date"}

// newJob fills a source. Inside one registry src and dst are the same.
func newJob(t testing.TB, src, dst *rt.Server) *job {
	t.Helper()
	j := &job{src: src, dst: dst, images: []rt.Object{
		rt.Image(1, 2), rt.MultiArch(2, 2, 1), rt.Image(3, 3, rt.Base(1)), rt.Image(4, 1, rt.Base(1)),
	}}
	var b strings.Builder
	for i, o := range j.images {
		src.Push(t, "staging/"+names[i], o, "build")
		b.WriteString(entry(names[i], o.Digest, "1.0", "latest"))
	}
	manifest := writeManifest(t, b.String(), src.Host+"/staging", dst.Host+"/prod")
	j.args = trusting(t, dst, "--manifest="+manifest, "--confirm")
	return j
}

// visible fails if a tag of the destination points to what is not all there.
func (j *job) visible(t testing.TB) {
	t.Helper()
	for i, name := range names {
		repo := "prod/" + name
		for tag, digest := range j.dst.Tags(t, repo) {
			if digest != j.images[i].Digest {
				t.Errorf("%s:%s: got %s, want %s", repo, tag, digest, j.images[i].Digest)
			}
			for _, p := range j.dst.Complete(t, repo, tag) {
				t.Errorf("got %s:%s visible, want it complete: %s", repo, tag, p)
			}
		}
	}
}

// truthful fails if a report says that something was done which is not so, or
// leaves out something that is wanted.
func (j *job) truthful(t testing.TB, r *report) (done int) {
	t.Helper()
	reported := map[string]int{}
	for _, p := range r.Promotions {
		reported[p.Digest] += len(p.Tags)
		if p.Status != "done" {
			continue
		}
		done++
		repo := strings.TrimPrefix(p.Destination, j.dst.Host+"/")
		for _, tag := range p.Tags {
			if got := j.dst.Tags(t, repo)[tag]; got != p.Digest {
				t.Errorf("%s:%s is done in the report: got %q, want %s", repo, tag, got, p.Digest)
			}
		}
	}
	for i, o := range j.images {
		if reported[o.Digest] != 2 && r.Summary["upToDate"] == 0 {
			t.Errorf("the report has %d tags of %s, want 2", reported[o.Digest], names[i])
		}
	}
	return done
}

// converges fails unless another run brings everything.
func (j *job) converges(t testing.TB) {
	t.Helper()
	run(t, 0, j.args...)
	for i, o := range j.images {
		for _, p := range wrong(t, j.dst, "prod/"+names[i], o, "1.0", "latest") {
			t.Errorf("after the next run: %s", p)
		}
	}
}

// announced returns a channel that is closed when a fault is first reached.
func announced(f rt.Fault) (reached chan struct{}, announcing rt.Fault) {
	reached = make(chan struct{})
	var once sync.Once
	return reached, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		once.Do(func() { close(reached) })
		f(w, r, next)
	}
}

// awaited waits for a channel.
func awaited(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(runLimit):
		t.Fatalf("%s never came", what)
	}
}

// TestInterrupt ends promotions while the registry does not answer, each at another step.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	const far, near = false, true // two registries, or one
	steps := []struct {
		name  string
		near  bool
		atSrc bool
		when  []rt.Match
		done  bool // something is done by then
	}{
		{"pinging", far, false, []rt.Match{rt.Is(rt.Ping)}, false},
		{"listing tags", far, false, []rt.Match{rt.Is(rt.Tags)}, false},
		{"reading a manifest", far, true, []rt.Match{rt.Is(rt.ManifestGet)}, false},
		{"reading a blob", far, true, []rt.Match{rt.Is(rt.BlobGet)}, false},
		{"looking for a blob", far, false, []rt.Match{rt.Is(rt.BlobHead)}, false},
		{"uploading in one request", far, false, []rt.Match{rt.Is(rt.UploadPost)}, false},
		{"opening an upload", far, false, []rt.Match{rt.Is(rt.UploadPost), rt.After(1)}, false},
		{"uploading", far, false, []rt.Match{rt.Is(rt.UploadPut), rt.After(2)}, false},
		{"mounting", near, false, []rt.Match{rt.Is(rt.Mount), rt.After(1)}, false},
		{"looking at a tag", near, false, []rt.Match{rt.Is(rt.ManifestHead), rt.Ref("latest")}, false},
		{"putting a manifest", far, false, []rt.Match{rt.Is(rt.ManifestPut)}, false},
		{"putting the last tag", near, false, []rt.Match{rt.Is(rt.ManifestPut), rt.Repo("prod/date"), rt.Ref("latest")}, true},
	}
	for i, step := range steps {
		sig := []os.Signal{syscall.SIGINT, syscall.SIGTERM}[i%2]
		t.Run(step.name+", "+sig.String(), func(t *testing.T) {
			t.Parallel()
			dst := rt.New(t, rt.NoMultiTag(), rt.NoSinglePost())
			src := dst
			if !step.near {
				src = rt.New(t)
			}
			j := newJob(t, src, dst)
			at := dst
			if step.atSrc {
				at = src
			}
			reached, hang := announced(rt.Hang())
			at.Fault(hang, step.when...)
			dst.Fault(rt.Status(http.StatusInternalServerError, nil, ""), rt.Is(rt.UploadPut), rt.First(1)) // then the blob is looked for
			p := start(t, append([]string{"run"}, j.args...)...)
			awaited(t, reached, "the request to hang")
			if done := interrupt(t, j, p, sig); step.done && done == 0 {
				t.Error("got nothing done in the report, want some")
			}
			j.converges(t)
		})
	}
}

// TestInterruptUploads checks that no upload session is left when blobs are on
// their way, as many as may be at once.
func TestInterruptUploads(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			dst := rt.New(t, rt.NoSinglePost())
			j := newJob(t, rt.New(t), dst)
			dst.Fault(rt.Hang(), rt.Is(rt.UploadPut))
			const threads = 6 // fewer than there are blobs
			p := start(t, append([]string{"run", fmt.Sprintf("--threads=%d", threads)}, j.args...)...)
			dst.Await(t, threads, rt.UploadPut)
			interrupt(t, j, p, sig)
			if n := dst.OpenUploads(); n > 0 {
				t.Errorf("got %d open uploads, want 0\n%s", n, dst.Summary())
			}
			j.converges(t)
		})
	}
}

// TestInterruptOpening checks that an upload session is not left either when the
// registry had opened it and its answer was on the way.
func TestInterruptOpening(t *testing.T) {
	t.Parallel()
	dst := rt.New(t)
	j := newJob(t, rt.New(t), dst)
	reached, answer := announced(late(time.Second))
	dst.Fault(answer, rt.Is(rt.UploadPost))
	p := start(t, append([]string{"run"}, j.args...)...)
	awaited(t, reached, "the upload")
	interrupt(t, j, p, syscall.SIGTERM)
	if n := dst.OpenUploads(); n > 0 {
		t.Errorf("got %d open uploads, want 0\n%s", n, dst.Summary())
	}
	j.converges(t)
}

// late lets the registry act at once and answer after a while, whether or not the client still listens.
func late(by time.Duration) rt.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		timer := time.NewTimer(by)
		defer timer.Stop()
		select {
		case <-r.Context().Done():
		case <-timer.C:
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the client may be gone
	}
}

// interrupt interrupts a run that hangs, and looks at what is left. It returns how many promotions are done.
func interrupt(t *testing.T, j *job, p *process, sig os.Signal) (done int) {
	t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	out := p.wait(t, interruptLimit)
	if out.code != 130 {
		t.Fatalf("exit code %d, want 130\n%s", out.code, out)
	}
	if out.report == nil {
		t.Fatalf("got no report, want one\n%s", out)
	}
	if !strings.Contains(out.stderr, "interrupted") {
		t.Errorf("got stderr %s, want it to contain %q", out.stderr, "interrupted")
	}
	for _, p := range out.report.Promotions {
		if p.Status != "done" && p.Status != "skipped" {
			t.Errorf("%s %s %s: want it done or skipped: %s", p.Action, p.Status, p.Destination, p.Error)
		}
	}
	j.visible(t)
	j.src.ClearFaults()
	j.dst.ClearFaults()
	return j.truthful(t, out.report)
}

// TestInterruptTwice checks that a second signal ends cip at once.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	dst := rt.New(t, rt.NoSinglePost())
	j := newJob(t, rt.New(t), dst)
	uploading, hang := announced(rt.Hang())
	dst.Fault(hang, rt.Is(rt.UploadPut))
	parting, hangToo := announced(rt.Hang())
	dst.Fault(hangToo, rt.Is(rt.UploadDelete))
	p := start(t, append([]string{"run"}, j.args...)...)
	awaited(t, uploading, "the upload")
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	awaited(t, parting, "the end of the upload session")
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if out := p.wait(t, interruptLimit); out.code != -1 && out.code != 130 {
		t.Errorf("exit code %d, want an end by the signal\n%s", out.code, out)
	}
	j.visible(t)
}

// TestInterruptWaits ends promotions that wait for something other than an answer
// of the registry.
func TestInterruptWaits(t *testing.T) {
	t.Parallel()
	later := rt.Header("Retry-After", "100") // more would not be waited for
	for name, wait := range map[string]struct {
		fault rt.Fault
		when  rt.Match
		atSrc bool
	}{
		"a token server that hangs":     {rt.Hang(), rt.Is(rt.Token), false},
		"a token server that stalls":    {rt.Stall(5), rt.Is(rt.Token), false},
		"minutes, says the registry":    {rt.Status(http.StatusTooManyRequests, later, ""), rt.Is(rt.ManifestPut), false},
		"minutes, says the ping":        {rt.Status(http.StatusTooManyRequests, later, ""), rt.Is(rt.Ping), false},
		"minutes, says the token":       {rt.Status(http.StatusTooManyRequests, later, ""), rt.Is(rt.Token), false},
		"half a minute, says the token": {rt.Status(http.StatusServiceUnavailable, rt.Header("Retry-After", "30"), ""), rt.Is(rt.Token), true},
		"a blob that stalls":            {rt.Stall(100), rt.Is(rt.BlobGet), true},
		"errors, again and again":       {rt.Status(http.StatusBadGateway, nil, ""), rt.Is(rt.UploadPost), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth := rt.TokenAuth(map[string]string{"alice": secret})
			src, dst := rt.New(t, auth), rt.New(t, auth)
			j := newJob(t, src, dst)
			at := dst
			if wait.atSrc {
				at = src
			}
			reached, fault := announced(wait.fault)
			at.Fault(fault, wait.when)
			p := prepare(t, append([]string{"run"}, j.args...)...)
			p.login(t, "alice", secret, src, dst)
			p.begin(t)
			awaited(t, reached, "the request")
			if err := p.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			out := p.wait(t, interruptLimit)
			if out.code != 130 || out.report == nil {
				t.Errorf("exit code %d, want 130 and a report\n%s", out.code, out)
			}
			j.visible(t)
			// A host that asked to be left alone is: its sessions stay.
			if n := dst.OpenUploads(); n > 0 && name != "minutes, says the registry" {
				t.Errorf("got %d open uploads, want 0\n%s", n, dst.Summary())
			}
		})
	}
}
