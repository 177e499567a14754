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

// Reader reads images from registries and computes rebased apps.
//
// It reads each image once. Apps that use the same run image therefore share the
// requests and see the same version of it. A Reader is not safe for concurrent use.
type Reader struct {
	client    *registry.Client
	manifests map[manifestKey]manifestRead
	images    map[manifestKey]*inputImage
}

type manifestKey struct {
	repo  name.Repository
	query string // tag or digest
}

// manifestRead is the result of reading a manifest. Errors are kept as well.
type manifestRead struct {
	*registry.Manifest
	err error
}

// NewReader returns a Reader that uses client c.
func NewReader(c *registry.Client) *Reader {
	return &Reader{client: c, manifests: map[manifestKey]manifestRead{}, images: map[manifestKey]*inputImage{}}
}

func (r *Reader) manifest(ctx context.Context, ref Reference) (*registry.Manifest, error) {
	key := manifestKey{ref.Repository, ref.query()}
	read, ok := r.manifests[key]
	if !ok {
		read.Manifest, read.err = r.client.Manifest(ctx, ref.Repository, ref.query())
		r.manifests[key] = read
		if read.err == nil {
			r.manifests[manifestKey{ref.Repository, read.Digest.String()}] = read
		}
	}
	return read.Manifest, read.err
}

// inputImage returns the image of manifest m, reading its configuration.
func (r *Reader) inputImage(ctx context.Context, repo name.Repository, m *registry.Manifest) (*inputImage, error) {
	key := manifestKey{repo, m.Digest.String()}
	if p := r.images[key]; p != nil {
		return p, nil
	}
	p, err := newInputImage(Reference{Repository: repo, Digest: m.Digest}, m)
	if err != nil {
		return nil, err
	}
	d := p.configPart.Descriptor
	if d.Size > maxConfig {
		return nil, fmt.Errorf("the configuration has %d bytes, the limit is %d", d.Size, maxConfig)
	}
	var raw bytes.Buffer
	if err := r.client.FetchBlob(ctx, repo, d, &raw); err != nil {
		return nil, fmt.Errorf("reading the configuration %s: %w", d.Digest.String(), err)
	}
	if err := p.parseConfig(raw.Bytes()); err != nil {
		return nil, fmt.Errorf("parsing the configuration %s: %w", d.Digest.String(), err)
	}
	r.images[key] = p
	return p, nil
}

// Names returns the run image in the labels of an app or a builder.
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
	return Names{}, fmt.Errorf("reading %s: could not find label %s or %s: it was not made by buildpacks", ref, lifecycleLabel, builderLabel)
}

// first reads an image, or an index's first image.
func (r *Reader) first(ctx context.Context, ref Reference) (*inputImage, error) {
	m, err := r.manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !isIndex(m) {
		return r.inputImage(ctx, ref.Repository, m)
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
	return nil, errors.New("the index has no image")
}

// child reads an image of an index.
func (r *Reader) child(ctx context.Context, repo name.Repository, c child) (*inputImage, error) {
	m, err := r.manifest(ctx, Reference{Repository: repo, Digest: c.Digest})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.Digest.String(), err)
	}
	if isIndex(m) {
		return nil, fmt.Errorf("reading %s: an index within an index is not supported", c.Digest.String())
	}
	p, err := r.inputImage(ctx, repo, m)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.Digest.String(), err)
	}
	return p, nil
}

// base reads a run image for a platform.
//
// digest is the digest of ref, which may be an index.
func (r *Reader) base(ctx context.Context, ref Reference, want platform) (p *inputImage, digest v1.Hash, err error) {
	m, err := r.manifest(ctx, ref)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	if !isIndex(m) {
		p, err = r.inputImage(ctx, ref.Repository, m)
		return p, m.Digest, err
	}
	_, children, err := parseIndex(m)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	c := forPlatform(children, want)
	if c == nil {
		return nil, v1.Hash{}, fmt.Errorf("the index has no image for %s", want)
	}
	p, err = r.child(ctx, ref.Repository, *c)
	return p, m.Digest, err
}

// choose returns the new base for an app with metadata m. notes are warnings about
// candidates that could not be read.
func (r *Reader) choose(ctx context.Context, m *metadata, o Options) (to newBase, notes []string, err error) {
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
	local := LocalMirrors(o.Mirrors, o.Files, names)
	if ref, err := ParseReference(names.Image); err == nil && m.lists(ref, nil) {
		to.also = append(names.all(), local...)
	}
	all := Candidates(o.Host, names, local, o.Order)
	best, err := pick(ctx, all, func(ref Reference) (v1.Hash, error) {
		m, err := r.manifest(ctx, ref)
		if err != nil {
			return v1.Hash{}, err
		}
		return m.Digest, nil
	})
	if err != nil {
		return to, nil, err
	}
	to.Reference, to.given = best.Reference, best.Name
	for _, c := range all {
		if c.Rejected != "" {
			notes = append(notes, fmt.Sprintf("passing over %s %s: %s", c.Origin, c.Name, c.Rejected))
		}
	}
	return to, notes, nil
}

// Rebase computes app on another run image. It writes nothing.
func (r *Reader) Rebase(ctx context.Context, app Reference, o Options) (*Result, error) {
	m, err := r.manifest(ctx, app)
	if err != nil {
		return nil, fmt.Errorf("reading app %s: %w", app, err)
	}
	res := &Result{App: app, Index: isIndex(m), byTag: app.Digest == (v1.Hash{})}
	if res.App.Digest, err = image.ParseDigest(m.Digest.String()); err != nil {
		return nil, fmt.Errorf("reading app %s: %w", app, err)
	}
	if o.Host == "" {
		o.Host = app.RegistryStr()
	}
	if res.Index {
		err = r.index(ctx, res, m, o)
	} else {
		err = r.singleImage(ctx, res, m, o)
	}
	if err != nil {
		return nil, fmt.Errorf("rebasing app %s: %w", app, err)
	}
	first := res.Images[0]
	res.From, res.Onto, res.PlatformAPI = first.From, first.Onto, first.PlatformAPI
	res.Digest = res.Manifest.Digest
	return res, nil
}

// singleImage rebases an app of one image, without index.
func (r *Reader) singleImage(ctx context.Context, res *Result, m *registry.Manifest, o Options) error {
	app, err := r.inputImage(ctx, res.App.Repository, m)
	if err != nil {
		return err
	}
	img, err := r.rebaseImage(ctx, app, o)
	if err != nil {
		return err
	}
	res.Images, res.Manifest, res.UpToDate, res.Notes = []Image{*img}, img.Manifest, img.UpToDate, img.notes
	return nil
}

// rebaseImage rebases one image of an app.
func (r *Reader) rebaseImage(ctx context.Context, app *inputImage, o Options) (*Image, error) {
	label := app.labels[lifecycleLabel]
	if label == "" {
		return nil, fmt.Errorf("could not find label %s: it was not made by buildpacks", lifecycleLabel)
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
