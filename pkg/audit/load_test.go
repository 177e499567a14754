package audit

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// flood sends n events, some of them twice, over a number of connections.
//
// Each must be accepted.
func flood(t testing.TB, url string, body func(i int) string, n, connections int) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	todo := make(chan int)
	var g sync.WaitGroup
	for range connections {
		g.Go(func() {
			for i := range todo {
				resp, err := client.Post(url+"/events/distribution", "application/json", strings.NewReader(body(i)))
				if err != nil {
					t.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusAccepted {
					t.Errorf("event %d: got status %s, want 202", i, resp.Status)
				}
			}
		})
	}
	for i := range n {
		todo <- i
		if i%10 == 0 {
			todo <- i
		}
	}
	close(todo)
	g.Wait()
}

// floodBody returns wanted and unwanted pushes, deletions, and events of other repositories.
func floodBody(host, digest string) func(int) string {
	return func(i int) string {
		id := fmt.Sprint("event-", i)
		switch i % 4 {
		case 0:
			return distributionBody(id, "push", host, "prod/apple", "1.0", digest)
		case 1:
			return distributionBody(id, "push", host, "prod/apple", fmt.Sprint("rogue-", i), digest)
		case 2:
			return distributionBody(id, "delete", host, "prod/apple", "1.0", "")
		}
		return distributionBody(id, "push", host, "src/apple", "1.0", digest)
	}
}

// In a flood, each event gets the right verdict, and memory is bounded.
func TestFlood(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	const n = 4000
	flood(t, r.url, floodBody(reg.Host, apple.Digest), n, 50)
	counts, ids := map[outcome]int{}, map[string]int{}
	for _, record := range r.await(n) {
		counts[record.Verdict]++
		ids[record.ID]++
	}
	if counts[verified] != n/4 || counts[rejected] != n/2 || counts[ignored] != n/4 || len(ids) != n {
		t.Errorf("verdicts: got %v of %d events, want them of %d events", counts, len(ids), n)
	}
	if pending := r.auditor.store.Pending(); pending != 0 {
		t.Errorf("waiting events: got %d, want 0", pending)
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	if mem.HeapAlloc > 256<<20 {
		t.Errorf("heap: got %d MiB, want 256 at most", mem.HeapAlloc>>20)
	}
}

// BenchmarkFlood measures how many events are received and judged in a second.
func BenchmarkFlood(b *testing.B) {
	reg := registrytest.New(b)
	apple := registrytest.Image(1, 1)
	reg.Push(b, "prod/apple", apple, "1.0")
	r := newRig(b, reg, entry("apple", apple.Digest, "1.0"), func(o *Options) { o.State = b.TempDir() + "/audit.db" })
	b.ResetTimer()
	flood(b, r.url, floodBody(reg.Host, apple.Digest), b.N, 100)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "received/s")
	r.await(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "judged/s")
}
