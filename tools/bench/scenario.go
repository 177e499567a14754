package main

import (
	"fmt"
	"slices"
	"strings"
)

// scenario is work to be measured.
type scenario struct {
	name     string
	content  func() *content // nil: the Kubernetes manifests
	hosts    int             // destination hosts next to the source's; 0: the source's own
	promoted bool            // the destinations hold everything already
	snapshot bool            // a snapshot of the destination, not a promotion
	limit    int             // requests a second to a host; 0: no bound
	faults   float64         // fraction of the requests to be hit
	peers    bool
	base     string // the scenario that is the same but for limits or faults
	aim      aim
}

// aim is what cip is to stay within; 0: no aim.
type aim struct {
	Wall     float64 // seconds
	CPU      float64 // seconds
	RSS      float64 // MB
	Requests int
	Limited  float64 // fraction of the requests that are answered 429
	Times    float64 // of the base's wall time
}

// The aims are for the default flags and latency, on two cores.
var scenarios = []*scenario{
	{name: "noop", content: wide, promoted: true, peers: true, aim: aim{Wall: 1.4, Requests: 2250, RSS: 64}},
	{name: "one", content: mixed, peers: true, aim: aim{Wall: 1.7, Requests: 2950, RSS: 64}},
	{name: "two", content: mixed, hosts: 1, peers: true, aim: aim{Wall: 4.8, Requests: 6600, RSS: 64}},
	{name: "three", content: mixed, hosts: 3, peers: true, aim: aim{RSS: 64}},
	{name: "snapshot", content: wide, promoted: true, snapshot: true, aim: aim{Wall: 1.6, Requests: 2250, RSS: 64}},
	{name: "kubernetes", promoted: true, aim: aim{Wall: 10, CPU: 8, RSS: 150, Requests: 10250}},
	{name: "limited", content: wide, promoted: true, limit: 200, base: "noop", aim: aim{Wall: 11.5, Limited: 0.01, RSS: 64}},
	{name: "faults", content: mixed, faults: 0.02, base: "one", aim: aim{Times: 2, RSS: 64}},
	{name: "faults-two", content: mixed, hosts: 1, faults: 0.02, base: "two", aim: aim{Times: 2, RSS: 64}},
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
