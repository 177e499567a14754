package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// killsVariable says how many runs are killed; the soak kills more of them.
const killsVariable = "CIP_TEST_KILLS"

func kills() int {
	if n, err := strconv.Atoi(os.Getenv(killsVariable)); err == nil {
		return n
	}
	return 20
}

// TestKill ends promotions without warning, each at another request, and checks
// that nothing half done is visible and that the next run does the rest.
func TestKill(t *testing.T) {
	t.Parallel()
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	for place, near := range map[string]bool{"one registry": true, "two registries": false} {
		whole := newJob(pair(t, near))
		run(t, 0, whole.args...)
		all := whole.asked()
		for range kills() / 2 {
			at := 1 + rnd.Int64N(int64(all))
			t.Run(fmt.Sprintf("%s, request %d of %d", place, at, all), func(t *testing.T) {
				t.Parallel()
				kill(t, newJob(pair(t, near)), at)
			})
		}
	}
}

// asked returns how many requests both registries have got.
func (j *job) asked() int {
	if j.src == j.dst {
		return j.dst.Count()
	}
	return j.src.Count() + j.dst.Count()
}

// kill kills a run at a request.
func kill(t *testing.T, j *job, at int64) {
	t.Helper()
	var p *process
	var asked atomic.Int64
	started := make(chan struct{})
	stop := rt.Before(func(*http.Request) {
		<-started
		if asked.Add(1) == at {
			_ = p.Process.Kill() // what is on its way may still be done
		}
	})
	j.dst.Fault(stop)
	if j.src != j.dst {
		j.src.Fault(stop)
	}
	p = start(t, append([]string{"run"}, j.args...)...)
	close(started)
	if out := p.wait(t, runLimit); out.code >= 0 && asked.Load() >= at {
		t.Errorf("got exit code %d after %d requests, want it killed at %d\n%s", out.code, asked.Load(), at, out)
	}
	j.dst.ClearFaults()
	j.src.ClearFaults()
	j.visible(t)
	j.converges(t)
}

// pair returns a test, and the source and the destination of a job.
func pair(t *testing.T, near bool) (tb testing.TB, src, dst *rt.Server) {
	dst = rt.New(t, rt.Distribution())
	if near {
		return t, dst, dst
	}
	return t, rt.New(t), dst
}
