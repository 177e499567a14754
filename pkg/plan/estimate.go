package plan

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Weight is what copying one manifest means, as far as is known before it is copied.
type Weight struct {
	Blobs    []BlobWeight
	Children int // of an index: their blobs are not known
}

// BlobWeight is one blob of a manifest.
type BlobWeight struct {
	Digest string
	Size   int64 // bytes
}

// EstimateWrites returns what carrying out the plan would ask of each host, on top
// of the requests that making it took. It assumes that every blob is lacking and every
// mount granted; pings and tokens are not counted.
func (p *Plan) EstimateWrites(weigh func(v1.Hash) Weight) map[string]Estimate {
	e := estimator{
		hosts: map[string]Estimate{}, placed: map[blobPlace]struct{}{}, weigh: weigh,
	}
	var last *Item // whose content the following items of the same digest share
	for i := range p.Items {
		it := &p.Items[i]
		if !it.Writes() || it.Referrer {
			continue
		}
		same := last != nil && last.Destination == it.Destination && last.Digest == it.Digest
		e.item(it, same)
		last = it
	}
	return e.hosts
}

type estimator struct {
	hosts  map[string]Estimate
	placed map[blobPlace]struct{}
	weigh  func(v1.Hash) Weight
}

// blobPlace is a blob in a repository, or, without a path, anywhere on a host.
type blobPlace struct {
	repo   name.Repository
	digest string
}

func (e *estimator) add(host string, requests int, bytes int64) {
	h := e.hosts[host]
	h.Requests += requests
	h.Bytes += bytes
	e.hosts[host] = h
}

// item adds one item: for each tag a HEAD, a PUT and a HEAD, without tags a PUT and a
// HEAD, and its content unless a former item of the same digest has brought that.
func (e *estimator) item(it *Item, same bool) {
	dst := it.Destination.RegistryStr()
	e.add(dst, 3*len(it.Tags), 0)
	if len(it.Tags) == 0 {
		e.add(dst, 2, 0)
	}
	if same {
		return
	}
	if it.Present {
		e.add(dst, 1, 0) // its manifest is read there
		return
	}
	w := e.weigh(it.Digest)
	if w.Children > 0 {
		e.add(it.From.RegistryStr(), w.Children, 0)
		e.add(dst, w.Children, 0)
		for _, host := range []string{it.From.RegistryStr(), dst} {
			h := e.hosts[host]
			h.AtLeast = true
			e.hosts[host] = h
		}
	}
	for _, b := range w.Blobs {
		e.blob(it, b)
	}
}

func (e *estimator) blob(it *Item, b BlobWeight) {
	dst := it.Destination
	if !e.first(dst, b.Digest) {
		return
	}
	if it.From.RegistryStr() == dst.RegistryStr() || !e.first(image.NewRepository(dst.RegistryStr(), ""), b.Digest) {
		e.add(dst.RegistryStr(), 1, 0) // a mount
		return
	}
	e.add(dst.RegistryStr(), 3, b.Size)
	if e.first(name.Repository{}, b.Digest) {
		e.add(it.From.RegistryStr(), 1, b.Size)
	}
}

// first reports whether a blob was not at a place before, and puts it there.
func (e *estimator) first(repo name.Repository, digest string) bool {
	at := blobPlace{repo, digest}
	if _, ok := e.placed[at]; ok {
		return false
	}
	e.placed[at] = struct{}{}
	return true
}
