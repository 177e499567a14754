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

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Source reads blobs. *registry.Client is one.
type Source interface {
	// FetchBlob writes a blob to w. Before it writes a blob again from its beginning
	// it calls Reset, if w has that method.
	FetchBlob(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error
}

// Blobs brings blobs into repositories.
//
// It is safe for concurrent use.
type Blobs struct {
	client *registry.Client
	source Source
	disk   *disk
	lanes  lanes

	all     memo.Values[string, blob] // by digest
	placed  memo.Tasks[repoDigest]
	traffic memo.Values[string, traffic] // by host
	running sync.WaitGroup               // copies that other callers may wait for

	mu         sync.Mutex
	distrusted map[repoDigest]struct{} // sent even if the repository says that it holds them
	forgotten  map[repoDigest]struct{}
	working    map[name.Repository]chan struct{} // closed by End
	moved      map[name.Repository]Moved
}

// Moved counts the blobs that were brought into a repository. A blob that the
// repository held before is in neither count.
type Moved struct{ Mounted, Copied int }

// repoDigest is a blob in a repository.
type repoDigest struct {
	repo   name.Repository
	digest string
}

// blob holds the deliveries of one blob.
type blob struct {
	mu    sync.Mutex
	hosts map[string]*delivery
}

// delivery is the copy of a blob to one host.
type delivery struct {
	to      name.Repository
	started bool
	done    chan struct{} // closed when it has succeeded or failed
	err     error

	committed bool          // a manifest in the repository refers to the blob
	over      bool          // it is committed, or was forgotten
	waiting   chan struct{} // closed when it is over; nil: nobody waits for that
}

// end marks a delivery as committed or forgotten. The caller holds the blob's lock.
func (t *delivery) end(committed bool) {
	if t.over {
		return
	}
	t.committed, t.over = committed, true
	if t.waiting != nil {
		close(t.waiting)
	}
}

// ended returns whether a delivery is committed, and a channel that is closed when it is
// or never will be.
func (b *Blobs) ended(t *delivery, d v1.Descriptor) (committed bool, over <-chan struct{}) {
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	if t.waiting == nil {
		t.waiting = make(chan struct{})
		if t.over {
			close(t.waiting)
		}
	}
	return t.committed, t.waiting
}

// deliveryTo returns a delivery that was not started.
func (b *Blobs) deliveryTo(dst name.Repository, d v1.Descriptor) *delivery {
	b.traffic.Of(dst.RegistryStr()).total.Add(d.Size)
	return &delivery{to: dst, done: make(chan struct{})}
}

// New returns an empty Blobs that reads from source and writes with c.
func New(c *registry.Client, source Source) *Blobs {
	return &Blobs{
		client: c, source: source, disk: newDisk(c.TempFiles()),
		distrusted: map[repoDigest]struct{}{}, forgotten: map[repoDigest]struct{}{}, working: map[name.Repository]chan struct{}{}, moved: map[name.Repository]Moved{},
	}
}

func (b *Blobs) blob(d v1.Descriptor) *blob { return b.all.Of(d.Digest.String()) }

// add adds a delivery. The caller holds the lock.
func (b *blob) add(t *delivery) *delivery {
	if b.hosts == nil {
		b.hosts = map[string]*delivery{}
	}
	b.hosts[t.to.RegistryStr()] = t
	return t
}

// Expect announces that a repository on another host than the source will need a
// blob. The first Place for a blob serves all hosts that are expected to need it. On
// each of them the first of the repositories, by name, gets the body.
func (b *Blobs) Expect(d v1.Descriptor, dst name.Repository) {
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	switch t := one.hosts[dst.RegistryStr()]; {
	case t == nil:
		one.add(b.deliveryTo(dst, d))
	case !t.started && before(dst, t.to):
		t.to = dst
	}
}

// Begin announces work on a repository until End. Meanwhile, other repositories of its
// host wait for Commit before they mount a blob from it, if the host demands that. A
// repository only waits for those that come before it by name, so that no two wait for
// each other. So the caller must begin the work on repositories in this order.
func (b *Blobs) Begin(dst name.Repository) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.working[dst] == nil {
		b.working[dst] = make(chan struct{})
	}
}

// End announces that a repository gets no more blobs.
func (b *Blobs) End(dst name.Repository) { close(b.work(dst)) }

// work returns a channel that End closes; nil without Begin.
func (b *Blobs) work(dst name.Repository) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.working[dst]
}

// Commit announces that a repository has a manifest that refers to blobs.
func (b *Blobs) Commit(dst name.Repository, blobs []v1.Descriptor) {
	for _, d := range blobs {
		one := b.blob(d)
		one.mu.Lock()
		if t := one.hosts[dst.RegistryStr()]; t != nil && t.to == dst {
			t.end(true)
		}
		one.mu.Unlock()
	}
}

// before orders repositories.
func before(a, b name.Repository) bool { return image.CompareRepositories(a, b) < 0 }

// Place brings a blob from one repository into another: once, until Forget. IsUnread
// distinguishes errors of reading from other errors.
func (b *Blobs) Place(ctx context.Context, dst, from name.Repository, d v1.Descriptor) error {
	return b.placed.Do(ctx, repoDigest{dst, d.Digest.String()}, func() error { return b.bring(ctx, dst, from, d) })
}

// Forget makes the next Place of a blob ask the repository for it again: it lacks a blob
// that it said it has.
func (b *Blobs) Forget(dst name.Repository, d v1.Descriptor) {
	b.client.StopPosts(dst)
	b.mu.Lock()
	b.forgotten[repoDigest{dst, d.Digest.String()}] = struct{}{}
	b.mu.Unlock()
	b.placed.Forget(repoDigest{dst, d.Digest.String()})
	one := b.blob(d)
	one.mu.Lock()
	defer one.mu.Unlock()
	if t := one.hosts[dst.RegistryStr()]; t != nil {
		t.end(false)
		delete(one.hosts, dst.RegistryStr())
	}
}

// isNew reports whether a repository need not be asked for a small blob before it is
// sent: the repository held nothing when it was read. An answer would prove nothing, and
// costs as much as the blob.
func (b *Blobs) isNew(dst name.Repository, d v1.Descriptor) bool {
	b.mu.Lock()
	_, again := b.forgotten[repoDigest{dst, d.Digest.String()}]
	b.mu.Unlock()
	return !again && isSmall(b.client, dst, d.Size)
}

func isSmall(c *registry.Client, dst name.Repository, size int64) bool {
	return size <= spoolMemory && c.WasEmpty(dst)
}

// Requests returns the number of requests that bring a blob that a repository lacks into
// it, at most: it is looked for, an upload is opened, and the blob is sent.
func Requests(c *registry.Client, dst name.Repository, size int64) int {
	if isSmall(c, dst, size) {
		return 2
	}
	return 3
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
