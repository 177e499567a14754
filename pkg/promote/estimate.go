package promote

import (
	"context"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"
)

// What estimates assume of the pace. A promotion works on maxUnits images at a time, and
// each has about one request in flight. The start is measured: the benchmark's runs take
// about a second longer, because the pace begins with few requests.
const (
	usualInFlight = maxUnits
	usualStart    = time.Second
)

// Estimate asks for an exact estimate of the cost of Run. Plan then also reads the
// manifests below the indexes that would be copied.
type Estimate struct {
	RoundTrip time.Duration    // from a request to its answer
	Empty     []image.Registry // destinations that are not read: they hold nothing
}

// isEmpty reports whether a repository is not read, because it is said to hold nothing.
func (e *Estimate) isEmpty(repo name.Repository) bool {
	return e != nil && slices.ContainsFunc(e.Empty, func(r image.Registry) bool {
		_, below := r.Relative(repo)
		return below
	})
}

// assumed returns the inventory of a repository that is said to hold nothing.
func (p *Promotion) assumed(t *plan.Target) *inventory.Repository {
	have := &inventory.Repository{}
	have.Close()
	p.client.AssumeEmpty(t.Repository)
	reads := 1 // its list
	if !image.Google(t.Repository.RegistryStr()) {
		for i := range t.Want.Entries {
			if len(t.Want.Entries[i].Tags) == 0 {
				reads++ // a digest without a tag is asked for
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unsent == nil {
		p.unsent = map[string]int{}
	}
	host := t.Repository.RegistryStr()
	if p.unsent[host] == 0 {
		reads++ // the ping
	}
	p.unsent[host] += reads
	return have
}

// readBelow reads the manifests below the digests that would be copied. What cannot be
// read is missing in the estimate, which is then a minimum.
func (p *Promotion) readBelow(ctx context.Context, result *plan.Plan) {
	units, _ := split(result.Items)
	readTrees(ctx, p.sources, units)
	for _, u := range units {
		if u.err != nil && ctx.Err() == nil {
			p.warn("estimating: " + u.dst.String() + "@" + u.digest + ": " + u.err.Error())
		}
	}
}

// estimate returns the requests and bytes of a real run: the reads so far, and the writes.
func (p *Promotion) estimate(result *plan.Plan) map[string]plan.Estimate {
	all := result.EstimateWrites(p.weigh, func(dst name.Repository, size int64) int { return transfer.Requests(p.client, dst, size) })
	for _, requests := range []map[string]int{p.client.Requests(), p.unsent} {
		for host, n := range requests {
			e := all[host]
			e.Requests += n
			all[host] = e
		}
	}
	if p.job.Estimate == nil {
		return all
	}
	pace := plan.Pace{
		QPS: p.job.Registry.QPS, Threads: p.job.Registry.Threads, InFlight: usualInFlight, RoundTrip: p.job.Estimate.RoundTrip, Start: usualStart,
	}
	sum := 0
	for _, e := range all {
		sum += e.Requests
	}
	for host, e := range all {
		e.Seconds = pace.Seconds(e.Requests, sum)
		all[host] = e
	}
	return all
}

// weigh returns what is known of the content of a digest.
func (p *Promotion) weigh(d v1.Hash) (w plan.Weight) {
	seen := map[string]struct{}{}
	var visit func(digest string)
	visit = func(digest string) {
		l := p.sources.kept(digest)
		if l == nil {
			if digest != d.String() {
				w.Unread = append(w.Unread, digest)
			}
			return
		}
		w.Blobs = append(w.Blobs, l.content.Blobs...)
		for _, c := range l.content.Children {
			child := c.Digest.String()
			if _, ok := seen[child]; !ok {
				seen[child] = struct{}{}
				w.Children = append(w.Children, child)
				visit(child)
			}
		}
	}
	visit(d.String())
	return w
}
