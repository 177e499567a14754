package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// shards is the number of processes that share a promotion.
const shards = 8

// sharded is a promotion of images that share nothing, each from its own repository.
type sharded struct {
	src, dst *rt.Server
	images   []rt.Object
	args     []string
}

func newSharded(t testing.TB) *sharded {
	t.Helper()
	s := &sharded{src: rt.New(t), dst: rt.New(t, rt.Distribution())}
	var b strings.Builder
	for i := range 12 {
		o := rt.Image(i+1, 3)
		s.images = append(s.images, o)
		s.src.Push(t, fmt.Sprintf("staging/image-%d", i), o, "build")
		b.WriteString(entry(fmt.Sprintf("image-%d", i), o.Digest, "1.0", "latest"))
	}
	s.args = []string{"run", "--confirm", "--manifest=" + writeManifest(t, b.String(), s.src.Host+"/staging", s.dst.Host+"/prod")}
	return s
}

// start starts one shard.
func (s *sharded) start(t testing.TB, shard int) *process {
	t.Helper()
	return start(t, append(s.args, fmt.Sprintf("--shard=%d/%d", shard, shards))...)
}

// counts returns the requests of a registry by kind, without those that each process
// sends once.
func counts(s *rt.Server) map[rt.Kind]int {
	all := map[rt.Kind]int{}
	for _, r := range s.Requests() {
		if r.Kind != rt.Ping {
			all[r.Kind]++
		}
	}
	return all
}

// check fails unless all images are promoted.
func (s *sharded) check(t testing.TB) {
	t.Helper()
	for i, o := range s.images {
		for _, p := range wrong(t, s.dst, fmt.Sprintf("prod/image-%d", i), o, "1.0", "latest") {
			t.Error(p)
		}
	}
}

// TestShardsAsProcesses promotes with 8 processes at the same time. Together they send the
// requests of one process, and their reports are the report of one.
func TestShardsAsProcesses(t *testing.T) {
	t.Parallel()
	one, many := newSharded(t), newSharded(t)
	product(t, 0, one.args...)
	processes := make([]*process, shards)
	merge := []string{"report", "merge"}
	for i := range processes {
		processes[i] = many.start(t, i)
		merge = append(merge, processes[i].reportFile())
	}
	for i, p := range processes {
		if out := p.wait(t, runLimit); out.code != 0 {
			t.Fatalf("shard %d: got exit code %d, want 0\n%s", i, out.code, out)
		}
	}
	many.check(t)
	for name, pair := range map[string][2]*rt.Server{"source": {one.src, many.src}, "destination": {one.dst, many.dst}} {
		if diff := cmp.Diff(counts(pair[0]), counts(pair[1])); diff != "" {
			t.Errorf("requests to the %s of one process and of %d shards (-one +shards):\n%s", name, shards, diff)
		}
	}
	if got, want := product(t, 0, merge...).stdout, "24 copied"; !strings.Contains(got, want) {
		t.Errorf("the merged report: got %q, want it to contain %q", got, want)
	}
}

// TestKilledShard kills one of the shards and runs it again.
func TestKilledShard(t *testing.T) {
	t.Parallel()
	s := newSharded(t)
	shard := s.occupied(t)
	var p *process
	var asked atomic.Int64
	started := make(chan struct{})
	s.dst.Fault(rt.Before(func(*http.Request) {
		<-started
		if asked.Add(1) == 8 {
			_ = p.Process.Kill()
		}
	}))
	p = s.start(t, shard)
	close(started)
	if out := p.wait(t, runLimit); out.code >= 0 {
		t.Fatalf("got exit code %d, want a killed process\n%s", out.code, out)
	}
	s.dst.ClearFaults()
	merge := []string{"report", "merge"}
	for i := range shards {
		p := s.start(t, i)
		if out := p.wait(t, runLimit); out.code != 0 {
			t.Fatalf("shard %d: got exit code %d, want 0\n%s", i, out.code, out)
		}
		merge = append(merge, p.reportFile())
	}
	s.check(t)
	product(t, 0, merge...)
	product(t, 1, merge[:len(merge)-1]...) // a report is missing
}

// occupied returns the number of a shard that has images.
func (s *sharded) occupied(t testing.TB) int {
	t.Helper()
	for i := range shards {
		out := start(t, append([]string{"run", s.args[2]}, fmt.Sprintf("--shard=%d/%d", i, shards))...).wait(t, runLimit)
		if out.report != nil && out.report.Summary["copy"] > 0 {
			return i
		}
	}
	t.Fatalf("no shard of %s has an image", filepath.Base(s.args[2]))
	return 0
}
