package promote

import (
	"slices"
	"strings"
	"sync/atomic"
)

// HostProgress is the progress of writing to one destination host.
type HostProgress struct {
	Host               string
	Images, ImagesDone int   // digests in repositories, whatever their outcome
	Bytes, BytesDone   int64 // of blobs to be sent; it moves while a large blob is sent
}

// Hosts returns the progress of Run at each destination host, sorted by host. It may be
// called at any time, as often as a display needs it. Before the first write there are
// no hosts. Bytes grows while copies turn out to be necessary, because a blob that is
// mounted is not sent; at the end of a run that is not interrupted BytesDone is Bytes,
// unless a copy failed before its blobs.
func (p *Promotion) Hosts() []HostProgress {
	e := p.running.Load()
	if e == nil {
		return nil
	}
	out := make([]HostProgress, len(e.hosts))
	for i, h := range e.hosts {
		out[i] = HostProgress{Host: h.name, Images: h.images, ImagesDone: int(h.done.Load())}
		out[i].BytesDone, out[i].Bytes = e.blobs.Sent(h.name)
	}
	return out
}

// hostCount counts the units of one destination host.
type hostCount struct {
	name   string
	images int
	done   atomic.Int64
}

// countHosts counts the units of each host, sorted by host.
func countHosts(units []*unit) []*hostCount {
	at := map[string]*hostCount{}
	var all []*hostCount
	for _, u := range units {
		host := u.dst.RegistryStr()
		if at[host] == nil {
			at[host] = &hostCount{name: host}
			all = append(all, at[host])
		}
		at[host].images++
		u.host = at[host]
	}
	slices.SortFunc(all, func(a, b *hostCount) int { return strings.Compare(a.name, b.name) })
	return all
}
