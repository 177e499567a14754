package output

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestProgressOfNothing(t *testing.T) {
	t.Parallel()
	var p *Progress
	p.SetHosts(nil)
	p.Start("reading", 3)
	p.Step()
	p.Finish()
	var b strings.Builder
	if w := p.Writer(&b); w != &b {
		t.Errorf("got %T, want the writer itself", w)
	}
}

// prod is a destination in the middle of two images.
var prod = HostProgress{Host: "prod.example.com", Images: 10, ImagesDone: 2, Bytes: 4 << 30, BytesDone: 1 << 30}

func TestLayout(t *testing.T) {
	t.Parallel()
	reading := progressRow{label: "reading repositories 0:05", texts: [progressColumns]string{1: "120/340"}}
	reading.set(120. / 340)
	head := progressRow{label: "promoting 1:02", texts: [progressColumns]string{1: "2/20"}}
	head.set(0.1)
	far := HostProgress{Host: "us-central1-docker.pkg.dev", Images: 1000, ImagesDone: 998, Bytes: 1000 << 20, BytesDone: 990 << 20}
	two := []progressRow{head, prod.shown(24 << 20), far.shown(1 << 30)}
	for name, tc := range map[string]struct {
		rows  []progressRow
		width int
		want  string
	}{
		"reading, 80": {[]progressRow{reading}, 80, `
reading repositories 0:05 [=============>                       ]  35%  120/340`},
		"reading, 40": {[]progressRow{reading}, 40, `
reading reposit…  35%  120/340`},
		"unknown total, 80": {[]progressRow{{label: "reading repositories 0:05", ratio: -1, texts: [progressColumns]string{1: "120"}}}, 80, `
reading repositories 0:05                                           120`},
		"one host, 80": {two[:2], 80, `
promoting 1:02   [=>               ]  10%         2/20
prod.example.com [=====>           ]  30%  2/10 images  1.0/4.0 GiB  24.0 MiB/s`},
		"two hosts, 120": {two, 120, `
promoting 1:02             [===>                                  ]  10%             2/20
prod.example.com           [===========>                          ]  30%      2/10 images       1.0/4.0 GiB  24.0 MiB/s
us-central1-docker.pkg.dev [=====================================>]  99%  998/1000 images  990.0/1000.0 MiB   1.0 GiB/s`},
		"two hosts, 80": {two, 80, `
promoting 1:02       10%             2/20
prod.example.com     30%      2/10 images       1.0/4.0 GiB  24.0 MiB/s
us-central1-docker…  99%  998/1000 images  990.0/1000.0 MiB   1.0 GiB/s`},
		"two hosts, 40": {two, 40, `
promoting 1:02    10%             2/20
prod.example.com  30%      2/10 images
us-central1-doc…  99%  998/1000 images`},
		"nothing": {nil, 80, "\n"},
	} {
		got := layout(tc.rows, tc.width)
		if d := cmp.Diff(tc.want, "\n"+strings.Join(got, "\n")); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	for width := range 200 {
		for _, line := range layout(two, width) {
			if n := utf8.RuneCountInString(line); n >= max(1, width) {
				t.Errorf("%d columns: got %q of %d, want fewer", width, line, n)
			}
		}
	}
}

// A bar moves within an image, and is full when all images are done.
func TestProgressOfHost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		host HostProgress
		want string
	}{
		"begun":              {HostProgress{Images: 4}, "0%, 0/4 images"},
		"one large image":    {HostProgress{Images: 1, Bytes: 100 << 20, BytesDone: 50 << 20}, "50%, 0/1 image, 50.0/100.0 MiB, 7 B/s"},
		"some in progress":   {prod, "30%, 2/10 images, 1.0/4.0 GiB, 7 B/s"},
		"few bytes so far":   {HostProgress{Images: 100, Bytes: 5, BytesDone: 5}, "4%, 0/100 images, 5/5 B, 7 B/s"},
		"only mounts":        {HostProgress{Images: 3, ImagesDone: 3}, "100%, 3/3 images"},
		"done":               {HostProgress{Images: 3, ImagesDone: 3, Bytes: 9, BytesDone: 9}, "100%, 3/3 images, 9/9 B, 7 B/s"},
		"copies that failed": {HostProgress{Images: 3, ImagesDone: 3, Bytes: 9, BytesDone: 2}, "100%, 3/3 images, 2/9 B, 7 B/s"},
	} {
		r := tc.host.shown(7)
		if got := r.text(", "); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	var hosts []HostProgress
	for i := range 20 {
		hosts = append(hosts, HostProgress{Host: fmt.Sprintf("h%02d", i), Images: 1, ImagesDone: 1, Bytes: 3, BytesDone: 2})
	}
	got := fold(hosts)
	last := HostProgress{Host: "5 other hosts", Images: 5, ImagesDone: 5, Bytes: 15, BytesDone: 10}
	if want := append(slices.Clone(hosts[:15]), last); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := fold(hosts[:16]); !slices.Equal(got, hosts[:16]) {
		t.Errorf("got %v, want all 16", got)
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	at := time.Unix(0, 0)
	m := meter{samples: []sample{{at: at}}}
	for i, want := range []float64{0, 10, 10, 10, 10, 10, 28, 46} {
		bytes := int64(10 * i)
		if i > 5 {
			bytes = 50 + 100*int64(i-5)
		}
		if got := m.rate(at.Add(time.Duration(i)*time.Second), bytes); got != want {
			t.Errorf("after %d s: %g bytes/s, want %g", i, got, want)
		}
	}
}

// A long run logs a line every 30 seconds, about each host where there are any.
func TestProgressLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		p := NewProgressLog(func(line string) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, line)
		})
		p.Start("reading repositories", 4)
		p.Step()
		time.Sleep(61 * time.Second)
		p.Start("looking into repositories", 4) // too short for a line
		time.Sleep(29 * time.Second)
		p.Finish()
		var hosts atomic.Pointer[[]HostProgress]
		hosts.Store(&[]HostProgress{})
		p.SetHosts(func() []HostProgress { return *hosts.Load() })
		p.Start("promoting", 20)
		time.Sleep(31 * time.Second)
		hosts.Store(&[]HostProgress{{Host: "eu.example.com", Images: 10}, prod})
		time.Sleep(30 * time.Second)
		p.Finish()
		p.Finish()
		time.Sleep(time.Hour)
		want := []string{
			"reading repositories: 25%, 1/4",
			"reading repositories: 25%, 1/4",
			"promoting: 0%, 0/20",
			"promoting to eu.example.com: 0%, 0/10 images",
			"promoting to prod.example.com: 30%, 2/10 images, 1.0/4.0 GiB, 17.1 MiB/s",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("lines (-want +got):\n%s", d)
		}
	})
}
