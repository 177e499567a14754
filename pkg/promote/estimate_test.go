package promote_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// The exact estimate is what the real run sends, to each host, also if a destination was
// not read because it is said to be empty.
func TestExactEstimate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sameHost, empty bool
		qps             float64
	}{
		"other hosts":            {},
		"other hosts, not read":  {empty: true},
		"the source's host":      {sameHost: true},
		"not read, with a quota": {empty: true, qps: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, eu, us := registrytest.New(t), registrytest.New(t, registrytest.NoSinglePost(), registrytest.StrictTagList404()), registrytest.New(t, registrytest.NoSinglePost(), registrytest.StrictTagList404())
			var images strings.Builder
			for n := range 4 {
				repo := fmt.Sprintf("image-%d", n)
				img, index := registrytest.Image(10*n, 2, registrytest.Base(1)), registrytest.MultiArch(1000+100*n, 3, 2)
				src.Push(t, "staging/"+repo, img, "build")
				src.Push(t, "staging/"+repo, index, "index")
				images.WriteString(want(repo, img.Digest, "1.0, latest", index.Digest, "2.0"))
			}
			src.Reset()
			destinations := []string{eu.Host + "/prod", us.Host + "/prod"}
			if tc.sameHost {
				destinations = []string{src.Host + "/prod", src.Host + "/other"}
			}
			r := rig{manifest: plain(images.String(), append([]string{src.Host + "/staging"}, destinations...)...), dryRun: true, estimate: &promote.Estimate{RoundTrip: 100 * time.Millisecond}}
			r.options.QPS = tc.qps
			if tc.empty {
				for _, d := range destinations {
					at, err := image.ParseRegistry(d)
					if err != nil {
						t.Fatal(err)
					}
					r.estimate.Empty = append(r.estimate.Empty, at)
				}
			}
			estimate := reportOf(t, r).Estimate
			if tc.empty && eu.Count()+us.Count() > 0 {
				t.Errorf("got %d requests to destinations, want none", eu.Count()+us.Count())
			}
			r.dryRun, r.estimate, r.options = false, nil, registry.Options{}
			did := reportOf(t, r)
			sum := 0
			for _, e := range estimate {
				sum += e.Requests
			}
			for host, sent := range did.Requests {
				e := estimate[host]
				if off := float64(e.Requests-sent) / float64(sent); off < -0.02 || off > 0.02 {
					t.Errorf("%s: got an estimate of %d requests, want %d within 2 %%", host, e.Requests, sent)
				}
				wantSeconds := (plan.Pace{QPS: tc.qps, InFlight: 100, RoundTrip: 100 * time.Millisecond, Start: time.Second}).Seconds(e.Requests, sum)
				if e.AtLeast || e.Seconds != wantSeconds {
					t.Errorf("%s: got %+v, want an exact estimate of %g s", host, e, wantSeconds)
				}
			}
			if len(estimate) != len(did.Requests) {
				t.Errorf("got estimates %v, want one for each of %v", estimate, did.Requests)
			}
			sent := int64(0)
			for host, e := range estimate {
				if host != src.Host {
					sent += e.Bytes
				}
			}
			if sent != did.Bytes {
				t.Errorf("got an estimate of %d bytes, want %d", sent, did.Bytes)
			}
		})
	}
}

// reportOf returns the report of a run.
func reportOf(t *testing.T, r rig) *plan.Report {
	t.Helper()
	p := r.promotion(t)
	defer p.Close()
	result := p.Plan(t.Context())
	if !r.dryRun {
		p.Run(t.Context(), result)
	}
	return p.Report(result, r.dryRun)
}

func TestPace(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pace plan.Pace
		want float64
	}{
		{plan.Pace{QPS: 83, InFlight: 40, RoundTrip: 100 * time.Millisecond}, 1000},
		{plan.Pace{InFlight: 100, RoundTrip: 100 * time.Millisecond}, 166},
		{plan.Pace{InFlight: 100, RoundTrip: 100 * time.Millisecond, Start: time.Second}, 167},
		{plan.Pace{Threads: 10, InFlight: 100, RoundTrip: 100 * time.Millisecond, Start: time.Second}, 830},
		{plan.Pace{QPS: 100, Threads: 10, InFlight: 100, RoundTrip: 100 * time.Millisecond}, 830},
		{plan.Pace{QPS: 83, Start: time.Second}, 1000},
		{plan.Pace{Start: time.Second}, 0},
	} {
		if got := tc.pace.Seconds(83_000, 166_000); got != tc.want {
			t.Errorf("%+v: got %g s for 83,000 of 166,000 requests, want %g s", tc.pace, got, tc.want)
		}
	}
}
