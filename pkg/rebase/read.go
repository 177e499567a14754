package rebase

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Reader reads what rebasing needs, each thing once: apps on one run image share
// it, and see one state of it. It is for one goroutine.
type Reader struct {
	client    *registry.Client
	manifests map[place]manifestRead
	pictures  map[place]*picture
}

type place struct {
	repo  name.Repository
	query string
}

type manifestRead struct {
	*registry.Manifest
	err error
}

// NewReader returns a reader.
func NewReader(c *registry.Client) *Reader {
	return &Reader{client: c, manifests: map[place]manifestRead{}, pictures: map[place]*picture{}}
}

func (r *Reader) manifest(ctx context.Context, ref Reference) (*registry.Manifest, error) {
	key := place{ref.Repository, ref.query()}
	read, ok := r.manifests[key]
	if !ok {
		read.Manifest, read.err = r.client.Manifest(ctx, ref.Repository, ref.query())
		r.manifests[key] = read
		if read.err == nil {
			r.manifests[place{ref.Repository, read.Digest}] = read
		}
	}
	return read.Manifest, read.err
}

// picture reads an image by its manifest.
func (r *Reader) picture(ctx context.Context, repo name.Repository, m *registry.Manifest) (*picture, error) {
	key := place{repo, m.Digest}
	if p := r.pictures[key]; p != nil {
		return p, nil
	}
	p, err := newPicture(Reference{Repository: repo, Digest: image.Hash(m.Digest)}, m)
	if err != nil {
		return nil, err
	}
	d := p.configDescriptor()
	if d.Size > maxConfig {
		return nil, fmt.Errorf("the configuration has %d bytes: more than %d are refused", d.Size, maxConfig)
	}
	var raw bytes.Buffer
	if err := r.client.FetchBlob(ctx, repo, d, &raw); err != nil {
		return nil, fmt.Errorf("reading the configuration %s: %w", d.Digest, err)
	}
	if err := p.develop(raw.Bytes()); err != nil {
		return nil, fmt.Errorf("parsing the configuration %s: %w", d.Digest, err)
	}
	r.pictures[key] = p
	return p, nil
}

// Names returns the names of the run image in the labels of an app or of a builder.
func (r *Reader) Names(ctx context.Context, ref Reference) (Names, error) {
	p, err := r.first(ctx, ref)
	if err != nil {
		return Names{}, fmt.Errorf("reading %s: %w", ref, err)
	}
	if label := p.labels[lifecycleLabel]; label != "" {
		m, err := parseMetadata(label)
		if err != nil {
			return Names{}, fmt.Errorf("reading label %s of %s: %w", lifecycleLabel, ref, err)
		}
		return m.names, nil
	}
	if label := p.labels[builderLabel]; label != "" {
		n, err := builderNames(label)
		if err != nil {
			return Names{}, fmt.Errorf("reading label %s of %s: %w", builderLabel, ref, err)
		}
		return n, nil
	}
	return Names{}, fmt.Errorf("reading %s: could not find label %s or %s", ref, lifecycleLabel, builderLabel)
}

// first reads an image, or the first one of an index.
func (r *Reader) first(ctx context.Context, ref Reference) (*picture, error) {
	m, err := r.manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !isIndex(m) {
		return r.picture(ctx, ref.Repository, m)
	}
	_, children, err := parseIndex(m)
	if err != nil {
		return nil, err
	}
	for _, c := range children {
		if !c.attestation {
			return r.child(ctx, ref.Repository, c)
		}
	}
	return nil, errors.New("the index names no image")
}

// child reads an image that an index names.
func (r *Reader) child(ctx context.Context, repo name.Repository, c child) (*picture, error) {
	m, err := r.manifest(ctx, Reference{Repository: repo, Digest: image.Hash(c.Digest)})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.Digest, err)
	}
	if isIndex(m) {
		return nil, fmt.Errorf("reading %s: an index within an index is not supported", c.Digest)
	}
	p, err := r.picture(ctx, repo, m)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.Digest, err)
	}
	return p, nil
}

// base reads a run image for a platform. digest is what the name led to.
func (r *Reader) base(ctx context.Context, ref Reference, want platform) (p *picture, digest v1.Hash, err error) {
	m, err := r.manifest(ctx, ref)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	if !isIndex(m) {
		p, err = r.picture(ctx, ref.Repository, m)
		return p, image.Hash(m.Digest), err
	}
	_, children, err := parseIndex(m)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	c := forPlatform(children, want)
	if c == nil {
		return nil, v1.Hash{}, fmt.Errorf("the index names no image for %s", want)
	}
	p, err = r.child(ctx, ref.Repository, *c)
	return p, image.Hash(m.Digest), err
}

// choose returns the run image that an app with this metadata goes on.
func (r *Reader) choose(ctx context.Context, m *metadata, o Options) (to chosen, notes []string, err error) {
	if o.RunImage != "" {
		to.Reference, err = ParseReference(o.RunImage)
		to.given = o.RunImage
		return to, nil, err
	}
	names, err := Choose(o.Files, m.names)
	if err != nil {
		return to, nil, err
	}
	if names.Image == "" {
		names = m.names
	}
	local := union(append([]string{}, o.Mirrors...), Local(o.Files, names))
	if ref, err := ParseReference(names.Image); err == nil && m.lists(ref, nil) {
		to.also = append(names.all(), local...)
	}
	all := Candidates(o.Near, names, local, o.Order)
	to.Reference, err = pick(ctx, all, func(ref Reference) error {
		_, err := r.manifest(ctx, ref)
		return err
	})
	for _, c := range all {
		if c.Rejected != "" && err == nil {
			notes = append(notes, fmt.Sprintf("passing over %s %s: %s", c.Origin, c.Name, c.Rejected))
		}
		if c.Chosen {
			to.given = c.Name
		}
	}
	return to, notes, err
}

// Rebase computes an app on another run image. Nothing is written.
func (r *Reader) Rebase(ctx context.Context, app Reference, o Options) (*Result, error) {
	m, err := r.manifest(ctx, app)
	if err != nil {
		return nil, fmt.Errorf("reading app %s: %w", app, err)
	}
	res := &Result{App: app, Index: isIndex(m), byTag: app.Digest == (v1.Hash{})}
	if res.App.Digest, err = image.ParseDigest(m.Digest); err != nil {
		return nil, fmt.Errorf("reading app %s: %w", app, err)
	}
	if o.Near == "" {
		o.Near = app.RegistryStr()
	}
	if res.Index {
		err = r.index(ctx, res, m, o)
	} else {
		err = r.image(ctx, res, m, o)
	}
	if err != nil {
		return nil, fmt.Errorf("rebasing app %s: %w", app, err)
	}
	first := res.Images[0]
	res.From, res.Onto, res.PlatformAPI = first.From, first.Onto, first.PlatformAPI
	res.Digest = image.Hash(res.Manifest.Digest)
	return res, nil
}

// image computes an app that is one image.
func (r *Reader) image(ctx context.Context, res *Result, m *registry.Manifest, o Options) error {
	app, err := r.picture(ctx, res.App.Repository, m)
	if err != nil {
		return err
	}
	img, err := r.one(ctx, app, o)
	if err != nil {
		return err
	}
	res.Images, res.Manifest, res.UpToDate, res.Notes = []Image{*img}, img.Manifest, img.UpToDate, img.notes
	return nil
}

// one computes one image of an app.
func (r *Reader) one(ctx context.Context, app *picture, o Options) (*Image, error) {
	label := app.labels[lifecycleLabel]
	if label == "" {
		return nil, fmt.Errorf("could not find label %s", lifecycleLabel)
	}
	m, err := parseMetadata(label)
	if err != nil {
		return nil, fmt.Errorf("reading label %s: %w", lifecycleLabel, err)
	}
	to, notes, err := r.choose(ctx, m, o)
	if err != nil {
		return nil, err
	}
	base, digest, err := r.base(ctx, to.Reference, app.platform)
	if err != nil {
		return nil, fmt.Errorf("reading run image %s: %w", to.Reference, err)
	}
	to.digest = digest
	img, err := assemble(app, base, m, to, o)
	if err != nil {
		return nil, err
	}
	img.notes = append(notes, img.notes...)
	return img, nil
}
