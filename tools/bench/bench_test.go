package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// small is a promotion of one index and one image.
func small() *content {
	c := &content{objects: map[string]registrytest.Object{}}
	c.add("x", "v1", registrytest.Index([]registrytest.Object{registrytest.Image(1, 1), registrytest.Image(2, 1)}))
	c.add("y", "v1", registrytest.Image(3, 1))
	return c
}

// A tag counts as promoted when all that belongs to it is in every destination.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := &scenario{content: small, hosts: 2, promoted: true}
	for name, tc := range map[string]struct {
		damage func(w *world)
		want   int
	}{
		"complete":        {func(*world) {}, 0},
		"tag lost":        {func(w *world) { w.hosts[2].DeleteTag(t, "prod/x", "v1") }, 1},
		"tag moved":       {func(w *world) { w.hosts[1].Push(t, "prod/y", registrytest.Image(4, 1), "v1") }, 1},
		"child lost":      {func(w *world) { w.hosts[1].DeleteManifest(t, "prod/x", registrytest.Image(1, 1).Digest) }, 1},
		"layer lost":      {func(w *world) { w.hosts[2].DeleteBlob(t, "prod/y", registrytest.Image(3, 1).Blobs[1].Digest) }, 1},
		"source not read": {func(w *world) { w.hosts[0].DeleteTag(t, "staging/x", "v1") }, 0},
	} {
		w, err := newWorld(t, &options{}, s, link{HTTP2: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.check(t); len(got) != 0 {
			t.Errorf("%s: before: problems %q, want none", name, got)
		}
		tc.damage(w)
		if got := w.check(t); len(got) != tc.want {
			t.Errorf("%s: problems %q, want %d", name, got, tc.want)
		}
	}
}

// The content of the scenarios is what docs/benchmarks.md says.
func TestContent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		content      *content
		edges, blobs int
	}{
		"wide":  {wide(), 2000, 1 + 2*2000},
		"mixed": {mixed(), 270, 5*5 + 250*4 + 5*4 + 100*2},
	} {
		blobs := map[string]bool{}
		for _, o := range tc.content.objects {
			for _, digest := range o.BlobDigests() {
				blobs[digest] = true
			}
		}
		if len(tc.content.edges) != tc.edges || len(blobs) != tc.blobs {
			t.Errorf("%s: %d edges and %d blobs, want %d and %d", name, len(tc.content.edges), len(blobs), tc.edges, tc.blobs)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                        "20ms HTTP/1.1, 100ms HTTP/1.1, 20ms HTTP/2, 100ms HTTP/2",
		"-tls":                    "20ms HTTP/2, 100ms HTTP/2",
		"-tls=false -latency 5ms": "5ms HTTP/1.1",
	} {
		o := &options{}
		if err := o.flags().Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		all, err := links(o.latency, o.protocols)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range all {
			got = append(got, l.String())
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q: links %q, want %q", args, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	host := func(requests, peak int) hostTally {
		return hostTally{Kinds: map[registrytest.Kind]int{registrytest.ManifestHead: requests}, Peak: peak}
	}
	for name, tc := range map[string]struct {
		scenario string
		link     link
		requests int
		hosts    []hostTally
		want     float64
	}{
		"busiest host":    {"two", link{100 * time.Millisecond, false}, 500, []hostTally{host(200, 100), host(300, 30)}, (10 + 6 + 1) * 0.1},
		"TLS":             {"noop", link{20 * time.Millisecond, true}, 2000, []hostTally{host(2000, 100)}, (20 + 2 + 2) * 0.02},
		"limiter":         {"limited-200", link{20 * time.Millisecond, false}, 2200, []hostTally{host(2200, 100)}, 10},
		"not a request":   {"noop", link{20 * time.Millisecond, false}, 0, []hostTally{host(0, 0)}, 3 * 0.02},
		"without latency": {"noop", link{}, 100, []hostTally{host(100, 1)}, 0},
	} {
		s := &sample{Scenario: tc.scenario, Link: tc.link, Requests: tc.requests, Seen: tally{Hosts: tc.hosts}}
		if got := s.limit(); fmt.Sprintf("%.3f", got) != fmt.Sprintf("%.3f", tc.want) {
			t.Errorf("%s: limit %.3f s, want %.3f", name, got, tc.want)
		}
	}
}

// An aim without a figure counts as missed; only peers may be left out.
func TestAims(t *testing.T) {
	t.Parallel()
	at := link{far, true}
	fast := usage{Wall: 3, CPU: 1, RSS: 60}
	for name, tc := range map[string]struct {
		peers   bool
		samples []*sample
		want    []string
	}{
		"all met": {true, []*sample{
			{Scenario: "noop", Client: ours, Link: at, usage: fast, Requests: 2200}, {Scenario: "noop", Client: crane, Link: at, usage: usage{Wall: 4}},
		}, nil},
		"slower than one peer": {true, []*sample{
			{Scenario: "noop", Client: ours, Link: at, usage: fast, Requests: 2200},
			{Scenario: "noop", Client: crane, Link: at, usage: usage{Wall: 9}}, {Scenario: "noop", Client: tuned, Link: at, usage: usage{Wall: 3.5}},
		}, []string{"× wall of the best peer missed"}},
		"peer over another link": {true, []*sample{
			{Scenario: "noop", Client: ours, Link: at, usage: fast, Requests: 2200}, {Scenario: "noop", Client: crane, Link: link{near, true}, usage: usage{Wall: 4}},
		}, []string{"× wall of the best peer not measured"}},
		"without peers": {false, []*sample{{Scenario: "noop", Client: ours, Link: at, usage: fast, Requests: 2200}}, nil},
		"everything missed": {false, []*sample{{Scenario: "one", Client: ours, Link: at, usage: usage{Wall: 5, RSS: 70}, Requests: 4000}},
			[]string{"wall, s missed", "RSS, MB missed", "requests missed"}},
		"limited":        {true, []*sample{{Scenario: "limited-20", Client: ours, Link: at, usage: usage{Wall: 13}, Requests: 2200, Limited: 30}}, []string{"× wall at 200 requests/s missed", "answered 429, % missed"}},
		"without a base": {true, []*sample{{Scenario: "faults", Client: ours, Link: at, usage: fast}}, []string{"× wall of one not measured"}},
	} {
		r := &results{Samples: tc.samples}
		r.compare()
		rows, missed := r.aims(tc.peers)
		var got []string
		for _, row := range rows[1:] {
			if row[5] != "met" {
				got = append(got, row[2]+" "+row[5])
			}
		}
		if !slices.Equal(got, tc.want) || missed != len(tc.want) {
			t.Errorf("%s: %q, %d missed, want %q", name, got, missed, tc.want)
		}
	}
}

// Figures of several runs are kept in one file; a new one takes the place of its predecessor.
func TestFiguresInPieces(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "figures.json")
	for _, one := range []*sample{
		{Scenario: "two", Client: ours, usage: usage{Wall: 2}, Requests: 10},
		{Scenario: "noop", Client: ours, Link: link{far, false}, usage: usage{Wall: 7}, Requests: 10},
		{Scenario: "noop", Client: crane, usage: usage{Wall: 9}, Requests: 30},
		{Scenario: "noop", Client: ours, usage: usage{Wall: 5}, Requests: 10},
		{Scenario: "noop", Client: ours, usage: usage{Wall: 3}, Requests: 10},
	} {
		r, err := load(file)
		if err != nil {
			t.Fatal(err)
		}
		r.add(one)
		if err := r.save(file); err != nil {
			t.Fatal(err)
		}
	}
	r, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	r.compare()
	var got []string
	for _, s := range r.Samples {
		got = append(got, fmt.Sprintf("%v %s %s %g %g", s.Link.Latency, s.Scenario, s.Client, s.Wall, s.TimesWall))
	}
	if want := []string{"0s noop cip 3 0", "0s noop crane 9 3", "0s two cip 2 0", "100ms noop cip 7 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Estimates are of first promotions, and shards of the scenarios that are about them.
func TestClients(t *testing.T) {
	t.Parallel()
	all := tools{ours: "cip", crane: "crane", regsync: "regsync", skopeo: "skopeo"}
	for scenario, want := range map[string]string{
		"noop":       "cip, crane, regsync tuned",
		"two":        "cip, crane, regsync tuned",
		"snapshot":   "cip, crane",
		"kubernetes": "cip",
		"shards":     "cip, estimate of cip, cip 4 shards, cip 16 shards, cip 64 shards",
	} {
		if got := strings.Join(find(scenario).clients(&options{}, all), ", "); got != want {
			t.Errorf("%s: clients %q, want %q", scenario, got, want)
		}
	}
	everybody := &options{clients: strings.Join(everyone, ",")}
	for scenario, want := range map[string]string{
		"noop":       "cip, crane, regsync, regsync tuned, skopeo",
		"one":        "cip, estimate of cip, crane, regsync, regsync tuned, skopeo",
		"limited-20": "cip",
	} {
		if got := strings.Join(find(scenario).clients(everybody, all), ", "); got != want {
			t.Errorf("%s: clients %q, want %q", scenario, got, want)
		}
	}
}

func TestExpected(t *testing.T) {
	t.Parallel()
	requests, seconds, err := expected([]byte(`{"estimate": {"a": {"requests": 3, "seconds": 1.5}, "b": {"requests": 4, "seconds": 2.5}}}`))
	if requests != 7 || seconds != 2.5 || err != nil {
		t.Errorf("expected %d requests, %g s, %v; want 7 requests, 2.5 s", requests, seconds, err)
	}
	if _, _, err := expected([]byte("no JSON")); err == nil {
		t.Error("no JSON: got no error, want one")
	}
}
