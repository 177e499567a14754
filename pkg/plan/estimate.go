package plan

import (
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Weight is the content of a manifest, as far as it is known before the copy.
type Weight struct {
	Blobs    []v1.Descriptor // of the manifest and of those below it that were read
	Children []string        // digests of the manifests below it
	Unread   []string        // those of them that were not read: their blobs are unknown
}

// EstimateWrites returns the cost of carrying out the plan, for each host. It does not
// include the requests that made the plan, pings and tokens. It assumes that the
// destinations hold no blob and that every mount succeeds. Referrers and evidence are not
// counted: they make it a minimum. upload returns the number of requests that bring a blob
// of a size into a repository.
func (p *Plan) EstimateWrites(weigh func(v1.Hash) Weight, upload func(dst name.Repository, size int64) int) map[string]Estimate {
	e := estimator{
		hosts: map[string]Estimate{}, seen: map[blobKey]struct{}{}, weigh: weigh, upload: upload,
	}
	var last *Item // the following items of the same digest share its content
	for i := range p.Items {
		it := &p.Items[i]
		if !it.Writes() {
			continue
		}
		if it.Kind != 0 {
			e.atLeast(it.Destination.RegistryStr())
			continue
		}
		same := last != nil && last.Destination == it.Destination && last.Digest == it.Digest
		e.item(it, same)
		last = it
	}
	return e.hosts
}

// Pace is how fast requests are sent.
type Pace struct {
	QPS       float64       // maximum number of requests to a host in a second; 0: no limit
	Threads   int           // maximum number of requests in flight to a host; 0: no limit
	InFlight  int           // requests in flight to all hosts
	RoundTrip time.Duration // from a request to its answer; 0: not known
	Start     time.Duration // that a run is slower at the beginning
}

// Seconds returns the time that requests to one host take, in a run that sends all
// requests to all hosts: the images that are promoted at a time wait for their source
// and for their destination.
func (p Pace) Seconds(requests, all int) float64 {
	var seconds float64
	trip := p.RoundTrip.Seconds()
	if trip > 0 {
		seconds = p.Start.Seconds() + float64(all)*trip/float64(max(1, p.InFlight))
	}
	if p.Threads > 0 {
		seconds = max(seconds, float64(requests)*trip/float64(p.Threads))
	}
	if p.QPS > 0 {
		seconds = max(seconds, float64(requests)/p.QPS)
	}
	return seconds
}

type estimator struct {
	hosts  map[string]Estimate
	seen   map[blobKey]struct{}
	weigh  func(v1.Hash) Weight
	upload func(dst name.Repository, size int64) int
}

// blobKey is a blob in a repository. Without a path it is a blob on a host; the zero
// repository is any host.
type blobKey struct {
	repo   name.Repository
	digest string
}

func (e *estimator) add(host string, requests int, bytes int64) {
	h := e.hosts[host]
	h.Requests += requests
	h.Bytes += bytes
	e.hosts[host] = h
}

// atLeast says that more than the cost of a host is possible.
func (e *estimator) atLeast(host string) {
	h := e.hosts[host]
	h.AtLeast = true
	e.hosts[host] = h
}

// item adds the cost of an item. A tag costs a HEAD, a PUT and a HEAD; a digest without
// a tag costs a PUT and a HEAD. The content is added unless same is set, which says that
// the item before has the same digest.
func (e *estimator) item(it *Item, same bool) {
	dst := it.Destination.RegistryStr()
	if it.Tag == "" {
		e.add(dst, 2, 0)
	} else {
		e.add(dst, 3, 0)
	}
	if same {
		return
	}
	if it.Present {
		e.add(dst, 1, 0) // its manifest is read from the destination
		return
	}
	w := e.weigh(it.Digest)
	for _, child := range w.Children {
		if e.first(it.Destination, child) {
			e.add(dst, 1, 0)
		}
	}
	for _, child := range w.Unread {
		if e.first(it.From, "manifest "+child) {
			e.add(it.From.RegistryStr(), 1, 0)
		}
	}
	if len(w.Unread) > 0 {
		e.atLeast(it.From.RegistryStr())
		e.atLeast(dst)
	}
	for _, b := range w.Blobs {
		e.blob(it, b)
	}
}

func (e *estimator) blob(it *Item, b v1.Descriptor) {
	dst, digest := it.Destination, b.Digest.String()
	if !e.first(dst, digest) {
		return
	}
	if it.From.RegistryStr() == dst.RegistryStr() || !e.first(image.NewRepository(dst.RegistryStr(), ""), digest) {
		e.add(dst.RegistryStr(), 1, 0) // a mount
		return
	}
	e.add(dst.RegistryStr(), e.upload(dst, b.Size), b.Size)
	if e.first(name.Repository{}, digest) {
		e.add(it.From.RegistryStr(), 1, b.Size)
	}
}

// first reports whether it is called for the first time with these arguments.
func (e *estimator) first(repo name.Repository, digest string) bool {
	at := blobKey{repo, digest}
	if _, ok := e.seen[at]; ok {
		return false
	}
	e.seen[at] = struct{}{}
	return true
}
