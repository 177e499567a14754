// Package transfer brings blobs into repositories.
//
// The body of a blob is read at most once from its source, and sent at most once to
// each destination host; the other repositories of that host mount it. Between source
// and destinations a body is held in memory or in a temporary file, so that a slow
// destination does not delay another and a failed upload does not need another
// download. The package bounds how much memory and disk that takes.
//
// It is a package of its own because a promotion and a rebase both move blobs, and
// neither needs to know how. It does not know manifests, tags or plans.
package transfer

import (
	"context"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Source reads blobs. *registry.Client is one.
type Source interface {
	// FetchBlob writes a blob to w. Before it writes a blob again from its beginning
	// it calls Reset, if w has that method.
	FetchBlob(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error
}

// Blobs brings blobs into repositories. It is safe for concurrent use.
type Blobs struct {
	client *registry.Client
	source Source
	disk   *disk
	lanes  lanes

	mu         sync.Mutex
	all        map[string]*blob // by digest
	placed     memo.Tasks[repoDigest]
	distrusted map[repoDigest]struct{} // sent even if the repository says that it holds them
	moved      map[name.Repository]Moved
	traffic    map[string]*traffic // by host
	running    sync.WaitGroup      // copies that other callers may wait for
}

// Moved counts the blobs that were brought into a repository. A blob that the
// repository held before is in neither count.
type Moved struct{ Mounted, Copied int }

// repoDigest is a blob in a repository.
type repoDigest struct {
	repo   name.Repository
	digest string
}

// blob is one blob, with the hosts that need it.
type blob struct {
	v1.Descriptor
	mu    sync.Mutex
	hosts map[string]*delivery
}

// delivery is the copy of a blob's body to one host.
type delivery struct {
	to      name.Repository
	started bool
	done    chan struct{} // closed when it has succeeded or failed
	err     error
}

// deliveryTo returns a delivery that was not started.
func (b *Blobs) deliveryTo(dst name.Repository, d v1.Descriptor) *delivery {
	b.trafficOf(dst.RegistryStr()).total.Add(d.Size)
	return &delivery{to: dst, done: make(chan struct{})}
}

// New returns an empty Blobs that reads from source and writes with c.
func New(c *registry.Client, source Source) *Blobs {
	return &Blobs{
		client: c, source: source, disk: newDisk(c.TempFiles()), all: map[string]*blob{},
		distrusted: map[repoDigest]struct{}{}, moved: map[name.Repository]Moved{}, traffic: map[string]*traffic{},
	}
}

func (b *Blobs) blob(d v1.Descriptor) *blob {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.all[d.Digest.String()]
	if one == nil {
		one = &blob{Descriptor: d, hosts: map[string]*delivery{}}
		b.all[d.Digest.String()] = one
	}
	return one
}

// Expect announces that a repository on another host than the source will need a
// blob. The first Place for a blob serves all hosts that are expected to need it.
func (b *Blobs) Expect(d v1.Descriptor, dst name.Repository) {
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.hosts[dst.RegistryStr()] == nil {
		one.hosts[dst.RegistryStr()] = b.deliveryTo(dst, d)
	}
}

// Place brings a blob from one repository into another: once, until Forget. IsUnread
// distinguishes errors of reading from other errors.
func (b *Blobs) Place(ctx context.Context, dst, from name.Repository, d v1.Descriptor) error {
	return b.placed.Do(ctx, repoDigest{dst, d.Digest.String()}, func() error { return b.bring(ctx, dst, from, d) })
}

// Forget makes the next Place of a blob ask the repository for it again.
func (b *Blobs) Forget(dst name.Repository, d v1.Descriptor) {
	b.placed.Forget(repoDigest{dst, d.Digest.String()})
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	delete(one.hosts, dst.RegistryStr())
}

// Distrust makes the next Place of a blob send it, even if the repository says that it
// holds the blob: its storage may have lost it.
func (b *Blobs) Distrust(dst name.Repository, digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.distrusted[repoDigest{dst, digest}] = struct{}{}
}

func (b *Blobs) isDistrusted(dst name.Repository, d v1.Descriptor) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.distrusted[repoDigest{dst, d.Digest.String()}]
	return ok
}

// Moved returns how many blobs were brought into a repository.
func (b *Blobs) Moved(dst name.Repository) Moved {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.moved[dst]
}

func (b *Blobs) count(dst name.Repository, m Moved) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moved[dst] = Moved{b.moved[dst].Mounted + m.Mounted, b.moved[dst].Copied + m.Copied}
}

// Wait returns when no copy is running. A Place that was interrupted may leave one.
func (b *Blobs) Wait() { b.running.Wait() }
