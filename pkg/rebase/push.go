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

// blobsAtOnce is how many blobs of one image are brought at once; the client keeps the pace.
const blobsAtOnce = 32

// NameState says what is to become, or became, of a name that a result is saved under.
type NameState int

// The states of names.
const (
	NamePlanned NameState = iota + 1
	NameUpToDate
	NameSaved
	NameFailed
)

var nameStates = []string{"", "planned", "up to date", "saved", "failed"}

// String returns the state as reports have it.
func (s NameState) String() string { return nameStates[s] }

// Name is one name that a result is saved under. Without a tag it is saved by digest.
type Name struct {
	Reference
	State NameState
	Was   v1.Hash // what the tag pointed to; empty: it did not exist
	Err   error   // why it failed
}

// Survey looks at the names that a result is to be saved under: one HEAD each, but
// none for the name that the app was read by.
func Survey(ctx context.Context, c *registry.Client, res *Result, refs []Reference) []Name {
	names := make([]Name, len(refs))
	for i, ref := range refs {
		n := Name{Reference: ref, State: NamePlanned}
		state := inventory.Present
		switch {
		case ref.Tag == "":
			n.Digest, n.Was = res.Digest, res.Digest
			if !res.UpToDate || ref.Repository != res.App.Repository {
				state, n.Err = c.Has(ctx, ref.Repository, res.Digest.String())
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

// isApp reports whether a name is the one that the app was read by.
func (res *Result) isApp(ref Reference) bool {
	return res.byTag && ref.Repository == res.App.Repository && ref.Tag == res.App.Tag
}

// Push saves a result under the planned names and records what became of each:
// layers, then configurations and manifests, tags last. traffic is how the layers
// got into the first name's repository, notes are what people should know.
func Push(ctx context.Context, c *registry.Client, res *Result, names []Name) (traffic Traffic, notes []string) {
	p := &pusher{client: c, res: res, transfer: promote.NewTransfer(c), traffic: map[name.Repository]Traffic{}}
	brought := map[name.Repository]error{}
	for i := range names {
		n := &names[i]
		if n.State != NamePlanned {
			continue
		}
		err, tried := brought[n.Repository]
		if !tried {
			if err = p.content(ctx, n.Repository); err != nil {
				delete(p.traffic, n.Repository) // it tells nothing of what did not get there
			}
			brought[n.Repository] = err
		}
		if err == nil {
			err = p.name(ctx, n)
		}
		if n.State = NameSaved; err != nil {
			n.State, n.Err = NameFailed, fmt.Errorf("saving %s: %w", n.Reference, err)
		}
	}
	warnings, err := p.transfer.Close()
	if notes = append(p.notes, warnings...); err != nil {
		notes = append(notes, err.Error())
	}
	traffic, tried := p.traffic[names[0].Repository]
	if !tried {
		traffic = res.Traffic(names[0].Repository)
	}
	return traffic, notes
}

// pusher brings one result into repositories.
type pusher struct {
	client   *registry.Client
	res      *Result
	transfer *promote.Transfer
	traffic  map[name.Repository]Traffic
	notes    []string
}

// content brings everything below the top manifest into a repository.
func (p *pusher) content(ctx context.Context, repo name.Repository) error {
	app := p.res.App.Repository
	if p.res.UpToDate {
		if repo == app {
			return nil
		}
		return p.transfer.Copy(ctx, repo, app, p.res.App.Digest)
	}
	p.expect(repo)
	for i := range p.res.Images {
		img := &p.res.Images[i]
		switch {
		case img.UpToDate && repo == app:
			continue
		case img.UpToDate:
			if err := p.transfer.Copy(ctx, repo, app, img.Was); err != nil {
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
		if err := p.transfer.Put(ctx, repo, img.Manifest); err != nil {
			return err
		}
	}
	return nil
}

// expect prepares the token for writing to a repository and mounting from another.
func (p *pusher) expect(repo name.Repository) {
	from := map[name.Repository]name.Repository{repo: {}}
	for i := range p.res.Images {
		for _, b := range p.res.Images[i].Blobs {
			if b.From.RegistryStr() == repo.RegistryStr() && b.From != repo {
				from[repo] = b.From
			}
		}
	}
	p.client.ExpectWrites([]name.Repository{repo}, from)
}

// blobs brings the blobs of an image; those of the repository itself are there.
func (p *pusher) blobs(ctx context.Context, repo name.Repository, img *Image) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(blobsAtOnce)
	absent := make([]bool, len(img.Blobs))
	layers, before := 0, p.transfer.Moved(repo)
	for i, b := range img.Blobs {
		if b.From != (name.Repository{}) {
			layers++
		}
		if b.From == repo {
			continue
		}
		g.Go(func() error {
			if b.From == (name.Repository{}) {
				return p.transfer.Upload(ctx, repo, b.Descriptor, b.Raw)
			}
			err := p.transfer.Blob(ctx, repo, b.From, b.Descriptor)
			if absent[i] = b.Foreign() && errors.Is(err, registry.ErrNotFound); absent[i] {
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	after, t := p.transfer.Moved(repo), p.traffic[repo]
	mounted, copied := after.Mounted-before.Mounted, after.Copied-before.Copied
	p.traffic[repo] = Traffic{There: t.There + layers - mounted - copied, Mounted: t.Mounted + mounted, Copied: t.Copied + copied}
	for i, b := range img.Blobs {
		if absent[i] {
			p.notes = append(p.notes, fmt.Sprintf("foreign layer %s is left out: %s does not serve it", b.Digest, b.From))
		}
	}
	return err
}

// name puts the top manifest under a name. The app's own tag must not have moved
// since the app was read: somebody built a newer one.
func (p *pusher) name(ctx context.Context, n *Name) error {
	if n.Tag == "" {
		if err := p.transfer.Put(ctx, n.Repository, p.res.Manifest); err != nil {
			return err
		}
		return p.transfer.Check(ctx, n.Repository, p.res.Manifest)
	}
	return p.transfer.Tag(ctx, n.Repository, n.Tag, p.res.Manifest, func(at v1.Hash) error {
		switch {
		case !p.res.isApp(n.Reference), at == n.Was:
			return nil
		case at == (v1.Hash{}):
			return errors.New("the tag does not exist any more")
		}
		return fmt.Errorf("the tag has moved since it was read: it points to %s", at)
	})
}
