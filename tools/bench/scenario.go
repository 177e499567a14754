package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// scenario is work to be measured.
type scenario struct {
	name     string
	content  func() *content // nil: the Kubernetes manifests
	hosts    int             // destination hosts next to the source's; 0: the source's own
	promoted bool            // the destinations hold everything already
	snapshot bool            // a snapshot of the destination, not a promotion
	limit    int             // requests a second to a host; 0: no bound
	burst    int             // requests that the limit allows at once
	sessions bool            // the registries store no blob that is sent with the POST of an upload
	qps      int             // requests a second that cip sends itself at most; 0: no limit
	divided  bool            // also by several processes of cip at once
	faults   float64         // fraction of the requests to be hit
	chain    int             // requests that can only be sent one after the other
	peers    bool
	base     string // the scenario that is the same but for limits or faults
	aim      aim
}

// aim is what cip must stay within; 0: none.
type aim struct {
	Near, Far float64 // seconds of wall time at 20 and at 100 ms
	Peer      float64 // of the wall time of the best peer
	CPU       float64 // seconds
	RSS       float64 // MB
	Requests  int
	Rate      float64 // of the time that the limit alone takes for the requests
	Limited   float64 // fraction of the requests that are answered 429
	Base      float64 // of the base's wall time
}

// The chains:
//   - Nothing to do: tag list, manifest HEAD. A snapshot reads the catalog before that.
//   - In one registry: GET of an index and of a child, mount, PUT of the child and of the index.
//   - Between registries: the GET of a blob and an upload in one request, in place of the mount.
//
// The aims are for the default flags, on two cores.
var scenarios = []*scenario{
	{name: "noop", content: wide, promoted: true, chain: 2, peers: true, aim: aim{Near: 1.4, Far: 3.5, Peer: 0.8, Requests: 2250, RSS: 64}},
	{name: "one", content: mixed, chain: 5, peers: true, aim: aim{Near: 1.7, Far: 4.2, Peer: 0.8, Requests: 2950, RSS: 64}},
	{name: "two", content: mixed, hosts: 1, chain: 6, peers: true, aim: aim{Near: 4.8, Far: 7, Peer: 0.8, Requests: 5000, RSS: 64}},
	{name: "three", content: mixed, hosts: 3, chain: 6, peers: true, aim: aim{Peer: 0.8, RSS: 64}},
	{name: "snapshot", content: wide, promoted: true, snapshot: true, chain: 3, peers: true, aim: aim{Near: 1.6, Peer: 0.8, Requests: 2250, RSS: 64}},
	{name: "kubernetes", promoted: true, chain: 1, aim: aim{Near: 10, CPU: 8, RSS: 150, Requests: 10250}},
	{name: "two-sessions", content: mixed, hosts: 1, sessions: true, chain: 7, aim: aim{RSS: 64}},
	{name: "shards", content: mixed, hosts: 1, chain: 6, divided: true, aim: aim{RSS: 64}},
	{name: "shards-83", content: mixed, hosts: 1, qps: 83, chain: 6, divided: true, aim: aim{RSS: 64}},
	limited("limited-20", 20), limited("limited-200", 200), limited("limited-400", 400),
	{name: "faults", content: mixed, faults: 0.02, chain: 5, base: "one", aim: aim{Base: 2, RSS: 64}},
	{name: "faults-two", content: mixed, hosts: 1, faults: 0.02, chain: 6, base: "two", aim: aim{Base: 2, RSS: 64}},
}

// limited is noop behind a limiter.
func limited(name string, burst int) *scenario {
	return &scenario{name: name, content: wide, promoted: true, limit: 200, burst: burst, chain: 2, base: "noop",
		aim: aim{Rate: 1.15, Limited: 0.01, RSS: 64}}
}

// find returns the scenario of a name, or nil.
func find(name string) *scenario {
	if i := slices.IndexFunc(scenarios, func(s *scenario) bool { return s.name == name }); i >= 0 {
		return scenarios[i]
	}
	return nil
}

// choose returns the scenarios that a list of names asks for, all if it is empty.
func choose(list string) ([]*scenario, error) {
	if list == "" {
		return scenarios, nil
	}
	var chosen []*scenario
	for _, name := range strings.Split(list, ",") {
		s := find(strings.TrimSpace(name))
		if s == nil {
			return nil, fmt.Errorf("there is no scenario %q", name)
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

// role names the i-th host of a scenario.
func (s *scenario) role(i int) string {
	switch {
	case s.hosts == 0:
		return "the registry"
	case i == 0:
		return "source"
	}
	return fmt.Sprintf("destination %d", i)
}

// link is the way to the registries.
type link struct {
	Latency time.Duration // of a round trip
	HTTP2   bool          // over TLS; else HTTP/1.1 without
}

// Distances of registries: in the same region, and on another continent.
const (
	near = 20 * time.Millisecond
	far  = 100 * time.Millisecond
)

// links combines latencies, separated by commas, with all protocols.
func links(latencies string, protocols []bool) (all []link, err error) {
	for _, http2 := range protocols {
		for _, text := range strings.Split(latencies, ",") {
			d, err := time.ParseDuration(strings.TrimSpace(text))
			if err != nil {
				return nil, fmt.Errorf("parsing -latency: %w", err)
			}
			all = append(all, link{d, http2})
		}
	}
	return all, nil
}

// String returns the link as the tables name it.
func (l link) String() string { return l.Latency.String() + " " + l.protocol() }

func (l link) protocol() string {
	if l.HTTP2 {
		return "HTTP/2"
	}
	return "HTTP/1.1"
}

// handshakes returns the round trips before the first request: one of TCP, and one of TLS 1.3.
func (l link) handshakes() int {
	if l.HTTP2 {
		return 2
	}
	return 1
}
