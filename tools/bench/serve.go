package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
)

// Parts of the registries: sources and destinations.
const (
	staging    = "/staging"
	production = "/prod"
)

// ready is what the serving process says when its registries are filled.
type ready struct {
	Hosts    []string // the source's first
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
	Kinds    map[string]int // requests
	Sent     int64          // bytes, by the client, headers too
	Received int64          // by the client
	Peak     int            // requests at once
	Limited  int            // requests answered 429
	Faults   int
}

// world is the registries of one scenario.
type world struct {
	scenario *scenario
	content  *content
	hosts    []*host
	ready    ready
}

// serve runs the registries of a scenario: it says on stdout when they are ready
// and, for each line on stdin, what they have seen. It ends with stdin.
func serve(o *options, stdin io.Reader, stdout io.Writer) error {
	w := &world{scenario: find(o.serve)}
	if w.scenario == nil {
		return fmt.Errorf("there is no scenario %q", o.serve)
	}
	for i := range 1 + w.scenario.hosts {
		h, err := newHost(o, w.scenario, i)
		if err != nil {
			return err
		}
		w.hosts = append(w.hosts, h)
		w.ready.Hosts = append(w.ready.Hosts, h.listener.Addr().String())
	}
	if err := w.fill(o); err != nil {
		return err
	}
	for _, h := range w.hosts {
		server := &http.Server{Handler: h}           //nolint:gosec // on loopback, for the one client
		go func() { _ = server.Serve(h.listener) }() // until the process ends
	}
	runtime.GC() // what filling left behind is not to be cleared away while a client is measured
	out := json.NewEncoder(stdout)
	before := ownTime()
	if err := out.Encode(w.ready); err != nil {
		return err
	}
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		t := tally{CPU: ownTime() - before}
		for _, h := range w.hosts {
			t.Hosts = append(t.Hosts, h.seen())
		}
		if w.content != nil {
			t.Problems = w.check()
		}
		if err := out.Encode(t); err != nil {
			return err
		}
	}
	return nil
}

// destinations returns the hosts that are promoted to.
func (w *world) destinations() []*host {
	if len(w.hosts) == 1 {
		return w.hosts
	}
	return w.hosts[1:]
}

// fill puts the content into the source and, if that is so already, the destinations.
func (w *world) fill(o *options) error {
	if w.scenario.content == nil {
		return w.kubernetes(o)
	}
	w.content = w.scenario.content()
	w.ready.Edges = w.content.edges
	parts := map[string][]*host{staging: w.hosts[:1]}
	if w.scenario.promoted {
		parts[production] = w.destinations()
		w.ready.UpToDate = len(w.content.edges) * len(w.destinations())
	}
	for part, hosts := range parts {
		for _, h := range hosts {
			f := filler{h: h, there: map[string]struct{}{}}
			for _, e := range w.content.edges {
				if err := f.object(part[1:]+"/"+e.Repo, e.Tag, w.content.objects[e.Digest]); err != nil {
					return fmt.Errorf("filling the registries: %w", err)
				}
			}
		}
	}
	return nil
}

// check looks for every wanted tag and all that belongs to it in every destination.
func (w *world) check() (problems []string) {
	for _, h := range w.destinations() {
		for _, e := range w.content.edges {
			if err := h.complete(production[1:]+"/"+e.Repo, e.Tag, w.content.objects[e.Digest]); err != nil {
				problems = append(problems, err.Error())
			}
		}
	}
	return problems
}
