package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// Parts of the registries: sources and destinations.
const (
	staging    = "/staging"
	production = "/prod"
)

// ready is what the serving process says when its registries are filled.
type ready struct {
	Hosts    []string // the source's first
	CA       string   // file with the certificate of all hosts; "": no TLS
	Edges    []edge   // wanted in each destination, unless the manifests are Kubernetes'
	UpToDate int      // edges that the destinations hold already
	Faulty   bool     // the manifests hold entries that are refused
}

// destinations returns the registries that are promoted to.
func (r *ready) destinations() []string {
	all := r.Hosts[1:]
	if len(all) == 0 {
		all = r.Hosts
	}
	var names []string
	for _, h := range all {
		names = append(names, h+production)
	}
	return names
}

// tally is what the serving process has seen since it was ready.
type tally struct {
	Hosts    []hostTally
	CPU      float64  // seconds of the serving process
	Problems []string // what the destinations lack of what is wanted
}

type hostTally struct {
	Kinds    map[registrytest.Kind]int // requests
	Sent     int64                     // bytes, by the client, headers too
	Received int64                     // by the client
	Peak     int                       // requests at once
	Limited  int                       // requests answered 429
	Faults   int
}

func (h *hostTally) requests() (n int) {
	for _, of := range h.Kinds {
		n += of
	}
	return n
}

// world is the registries of one scenario.
type world struct {
	scenario *scenario
	content  *content
	hosts    []*host
	ready    ready
}

// host is a registry and what happens to its requests.
type host struct {
	*registrytest.Server
	limited *registrytest.Injection
	faults  []*registrytest.Injection
}

// process lets registries live as long as the process, which ends if one cannot be had.
type process struct{ dir string }

func (process) Helper()                           {}
func (process) Cleanup(func())                    {}
func (p process) TempDir() string                 { return p.dir }
func (process) Errorf(format string, args ...any) { log.Fatalf(format, args...) }
func (process) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

// serve runs the registries of a scenario: it says on stdout when they are ready
// and, for each line on stdin, what they have seen. It ends with stdin.
func serve(o *options, l link, stdin io.Reader, stdout io.Writer) error {
	s := find(o.serve)
	if s == nil {
		return fmt.Errorf("there is no scenario %q", o.serve)
	}
	t := process{o.dir}
	w, err := newWorld(t, o, s, l)
	if err != nil {
		return err
	}
	runtime.GC() // what filling left behind is not to be cleared away while a client is measured
	out := json.NewEncoder(stdout)
	before := ownTime()
	if err := out.Encode(w.ready); err != nil {
		return err
	}
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		seen := tally{CPU: ownTime() - before}
		for _, h := range w.hosts {
			seen.Hosts = append(seen.Hosts, h.seen())
		}
		if w.content != nil {
			seen.Problems = w.check(t)
		}
		if err := out.Encode(seen); err != nil {
			return err
		}
	}
	return nil
}

// newWorld starts and fills the registries of a scenario.
func newWorld(t registrytest.TB, o *options, s *scenario, l link) (*world, error) {
	w := &world{scenario: s}
	for i := range 1 + s.hosts {
		h := newHost(t, s, l, o.seed+10*uint64(i))
		w.hosts = append(w.hosts, h)
		w.ready.Hosts = append(w.ready.Hosts, h.Host)
	}
	if l.HTTP2 {
		w.ready.CA = w.hosts[0].CAFile(t)
	}
	if s.content == nil {
		return w, w.kubernetes(o)
	}
	w.content = s.content()
	w.ready.Edges = w.content.edges
	w.fill(t, w.hosts[:1], staging)
	if s.promoted {
		w.ready.UpToDate = len(w.content.edges) * len(w.destinations())
		w.fill(t, w.destinations(), production)
	}
	return w, nil
}

// newHost starts a registry that answers late, and perhaps not as the client hopes.
func newHost(t registrytest.TB, s *scenario, l link, seed uint64) *host {
	opts := []registrytest.Option{registrytest.WithCatalog(), registrytest.StrictTagList404(), registrytest.Latency(l.Latency)}
	if l.HTTP2 {
		opts = append(opts, registrytest.HTTP2())
	}
	if s.sessions {
		opts = append(opts, registrytest.NoSinglePost())
	}
	h := &host{Server: registrytest.New(t, opts...)}
	if s.limit > 0 {
		later := registrytest.Header("Retry-After", "1")
		h.limited = h.Fault(registrytest.Status(http.StatusTooManyRequests, later, ""), registrytest.Over(float64(s.limit), s.burst))
	}
	if s.faults > 0 {
		chance := func(i uint64) registrytest.Match { return registrytest.Chance(s.faults/3, seed+i) }
		h.faults = []*registrytest.Injection{
			h.Fault(registrytest.ServerErrors(seed), chance(0)),
			h.Fault(registrytest.ResetBefore(), chance(1)),
			h.Fault(registrytest.ResetAfter(), chance(2)),
			h.Fault(registrytest.Truncate(2000), registrytest.Is(registrytest.BlobGet), chance(3)),
		}
	}
	return h
}

// seen returns what the host has seen.
func (h *host) seen() hostTally {
	t := hostTally{Kinds: map[registrytest.Kind]int{}, Peak: h.Peak()}
	for _, r := range h.Requests() {
		t.Kinds[r.Kind]++
	}
	t.Sent, t.Received = h.Traffic()
	if h.limited != nil {
		t.Limited = h.limited.Hits()
	}
	for _, f := range h.faults {
		t.Faults += f.Hits()
	}
	return t
}

// destinations returns the hosts that are promoted to.
func (w *world) destinations() []*host {
	if len(w.hosts) == 1 {
		return w.hosts
	}
	return w.hosts[1:]
}

// fill puts the content into hosts.
func (w *world) fill(t registrytest.TB, hosts []*host, part string) {
	for _, h := range hosts {
		for _, e := range w.content.edges {
			h.Push(t, part[1:]+"/"+e.Repo, w.content.objects[e.Digest], e.Tag)
		}
	}
}

// check looks for every wanted tag and all that belongs to it in every destination.
func (w *world) check(t registrytest.TB) (problems []string) {
	for _, h := range w.destinations() {
		for _, e := range w.content.edges {
			repo := production[1:] + "/" + e.Repo
			if raw, _, _ := h.Manifest(t, repo, e.Tag); registrytest.Wrap("", raw).Digest != e.Digest {
				problems = append(problems, fmt.Sprintf("%s:%s is not %s", repo, e.Tag, e.Digest))
			}
			problems = append(problems, h.Complete(t, repo, e.Digest)...)
		}
	}
	return problems
}
