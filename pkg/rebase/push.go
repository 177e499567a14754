package rebase

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// maxConcurrentBlobs is the maximum number of blobs of one image in flight. The
// client limits the request rate.
const maxConcurrentBlobs = 32

// NameState is the state of a name that a result is saved under.
type NameState int

// The states of a name.
const (
	NamePlanned  NameState = iota + 1 // Push will write it
	NameUpToDate                      // it refers to the result already
	NameSaved                         // Push has written it
	NameFailed                        // reading or writing it failed
)

var nameStates = []string{"", "planned", "up to date", "saved", "failed"}

// String returns the state as it appears in reports.
func (s NameState) String() string { return nameStates[s] }

// Name is a name to save a result under.
//
// A name without a tag saves the result by digest.
type Name struct {
	Reference
	State NameState
	Was   v1.Hash // digest that the tag pointed to; zero if the tag did not exist
	Err   error   // set if the state is NameFailed
}

// Survey reads the current state of the names in refs.
//
// It sends one HEAD request for each name. The name of the app itself needs none,
// because the Reader has read it.
func Survey(ctx context.Context, c *registry.Client, res *Result, refs []Reference) []Name {
	names := make([]Name, len(refs))
	for i, ref := range refs {
		n := Name{Reference: ref, State: NamePlanned}
		state := inventory.Present
		switch {
		case ref.Tag == "":
			n.Digest, n.Was = res.Digest, res.Digest
			if !res.UpToDate || ref.Repository != res.App.Repository {
				state, n.Err = c.Has(ctx, ref.Repository, res.Digest)
			}
		case res.isApp(ref):
			n.Was = res.App.Digest
		default:
			n.Was, state, n.Err = c.ResolveUnconfirmed(ctx, ref.Repository, ref.Tag)
		}
		switch {
		case n.Err != nil:
			n.State, n.Err = NameFailed, fmt.Errorf("reading %s: %w", ref, n.Err)
		case state == inventory.Absent:
			n.Was = v1.Hash{}
		case n.Was == res.Digest:
			n.State = NameUpToDate
		}
		names[i] = n
	}
	return names
}

// isApp reports whether ref is the tag that the app was read by.
func (res *Result) isApp(ref Reference) bool {
	return res.byTag && ref.Repository == res.App.Repository && ref.Tag == res.App.Tag
}

// Push saves a result under all names in state NamePlanned.
//
// It writes layers first, then configurations and manifests, and tags last. It
// sets the state of each name; a failed name does not stop the others. traffic is
// the traffic to the repository of the first name. notes are warnings.
func Push(ctx context.Context, c *registry.Client, res *Result, names []Name) (traffic Traffic, notes []string) {
	p := &pusher{client: c, res: res, writer: promote.NewWriter(c), traffic: map[name.Repository]Traffic{}}
	written := map[name.Repository]error{} // results of writing the content
	for i := range names {
		n := &names[i]
		if n.State != NamePlanned {
			continue
		}
		err, tried := written[n.Repository]
		if !tried {
			if err = p.content(ctx, n.Repository); err != nil {
				delete(p.traffic, n.Repository) // a partial count would be misleading
			}
			written[n.Repository] = err
		}
		if err == nil {
			err = p.name(ctx, n)
		}
		if n.State = NameSaved; err != nil {
			n.State, n.Err = NameFailed, fmt.Errorf("saving %s: %w", n.Reference, err)
		}
	}
	warnings, err := p.writer.Close()
	if notes = append(p.notes, warnings...); err != nil {
		notes = append(notes, err.Error())
	}
	traffic, tried := p.traffic[names[0].Repository]
	if !tried {
		traffic = res.Traffic(names[0].Repository)
	}
	return traffic, notes
}

// pusher writes one result to repositories.
type pusher struct {
	client  *registry.Client
	res     *Result
	writer  *promote.Writer
	traffic map[name.Repository]Traffic
	notes   []string
}

// content writes all content of the result to a repository, except the manifest or
// index that the name refers to.
func (p *pusher) content(ctx context.Context, repo name.Repository) error {
	app := p.res.App.Repository
	if p.res.UpToDate {
		if repo == app {
			return nil
		}
		return p.writer.Copy(ctx, repo, app, p.res.App.Digest)
	}
	p.prepareToken(repo)
	for i := range p.res.Images {
		img := &p.res.Images[i]
		switch {
		case img.UpToDate && repo == app:
			continue
		case img.UpToDate:
			if err := p.writer.Copy(ctx, repo, app, img.Was); err != nil {
				return err
			}
			continue
		}
		if err := p.blobs(ctx, repo, img); err != nil {
			return err
		}
		if !p.res.Index {
			continue
		}
		if err := p.writer.Put(ctx, repo, img.Manifest); err != nil {
			return err
		}
	}
	return nil
}

// prepareToken announces the writes to repo and the mounts into it, so that the
// client gets one token for all of them.
func (p *pusher) prepareToken(repo name.Repository) {
	from := map[name.Repository]name.Repository{repo: {}}
	for i := range p.res.Images {
		for _, b := range p.res.Images[i].blobs {
			if b.from.RegistryStr() == repo.RegistryStr() && b.from != repo {
				from[repo] = b.from
			}
		}
	}
	p.client.ExpectWrites([]name.Repository{repo}, from)
}

// blobs writes the blobs of an image that the repository does not hold yet.
func (p *pusher) blobs(ctx context.Context, repo name.Repository, img *Image) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentBlobs)
	absent := make([]bool, len(img.blobs))
	layers, before := 0, p.writer.Moved(repo)
	for i, b := range img.blobs {
		if b.from != (name.Repository{}) {
			layers++
		}
		if b.from == repo {
			continue
		}
		g.Go(func() error {
			if b.from == (name.Repository{}) {
				return p.writer.Upload(ctx, repo, b.Descriptor, b.raw)
			}
			err := p.writer.Blob(ctx, repo, b.from, b.Descriptor)
			if absent[i] = registry.IsForeign(b.Descriptor) && errors.Is(err, registry.ErrNotFound); absent[i] {
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	after, t := p.writer.Moved(repo), p.traffic[repo]
	mounted, copied := after.Mounted-before.Mounted, after.Copied-before.Copied
	p.traffic[repo] = Traffic{There: t.There + layers - mounted - copied, Mounted: t.Mounted + mounted, Copied: t.Copied + copied}
	for i, b := range img.blobs {
		if absent[i] {
			p.notes = append(p.notes, fmt.Sprintf("foreign layer %s is left out: %s does not serve it", b.Digest.String(), b.from))
		}
	}
	return err
}

// name puts the manifest or index of the result under a name.
//
// If the name is the app's own tag, it must still point to the app that was read.
// Otherwise the push would replace a newer build with a rebase of an old one.
func (p *pusher) name(ctx context.Context, n *Name) error {
	if n.Tag == "" {
		if err := p.writer.Put(ctx, n.Repository, p.res.Manifest); err != nil {
			return err
		}
		return p.writer.Check(ctx, n.Repository, p.res.Manifest)
	}
	return p.writer.Tag(ctx, n.Repository, n.Tag, p.res.Manifest, func(at v1.Hash) error {
		switch {
		case !p.res.isApp(n.Reference), at == n.Was:
			return nil
		case at == (v1.Hash{}):
			return errors.New("the tag does not exist any more")
		}
		return fmt.Errorf("the tag has moved since it was read: it points to %s", at)
	})
}
