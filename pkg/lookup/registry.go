package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// maxConfig bounds the config of an image that is read for its labels, in bytes.
const maxConfig = 8 << 20

// Registry reads tags and images for selectors. It implements resolve.Registry and reads
// each list of tags and each image once. It is safe for concurrent use.
type Registry struct {
	client   *registry.Client
	listings memo.Map[name.Repository, map[string]v1.Hash] // digests by tag, where the registry's listing names them
	images   memo.Map[reference, *resolve.Image]
}

type reference struct {
	repo name.Repository
	ref  string // tag or digest
}

// NewRegistry returns a reader of registries.
func NewRegistry(c *registry.Client) *Registry { return &Registry{client: c} }

// Tags implements resolve.Registry.
func (r *Registry) Tags(ctx context.Context, repo name.Repository) ([]string, error) {
	tags, err := r.listings.Do(ctx, repo, func() (map[string]v1.Hash, error) {
		found, err := r.client.List(ctx, repo, nil)
		if err != nil {
			return nil, err
		}
		return found.ByTag(), nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tags of source %s: %w", repo, err)
	}
	return slices.Sorted(maps.Keys(tags)), nil
}

// Digest implements resolve.Registry.
func (r *Registry) Digest(ctx context.Context, repo name.Repository, ref string) (v1.Hash, bool, error) {
	if d, err := image.ParseDigest(ref); err == nil {
		state, err := r.client.Has(ctx, repo, d)
		if err != nil {
			return v1.Hash{}, false, fmt.Errorf("reading source %s: %w", repo.Digest(d.String()).String(), err)
		}
		return d, state == inventory.Present, nil
	}
	tags, _ := r.listings.Get(ctx, repo)
	d, named := tags[ref]
	if d != (v1.Hash{}) { // only Google's listings have digests
		return d, true, nil
	}
	ask := r.client.Resolve
	if named {
		ask = r.client.ResolveListed
	}
	d, state, err := ask(ctx, repo, ref)
	if err != nil {
		return v1.Hash{}, false, fmt.Errorf("reading source %s: %w", repo.Tag(ref).String(), err)
	}
	return d, state == inventory.Present, nil
}

// Image implements resolve.Registry.
func (r *Registry) Image(ctx context.Context, repo name.Repository, ref string) (*resolve.Image, error) {
	return r.images.Do(ctx, reference{repo, ref}, func() (*resolve.Image, error) { return r.describe(ctx, repo, ref) })
}

func (r *Registry) describe(ctx context.Context, repo name.Repository, ref string) (*resolve.Image, error) {
	where := repo.Tag(ref).String()
	if d, err := image.ParseDigest(ref); err == nil {
		where = repo.Digest(d.String()).String()
	}
	m, err := r.client.Manifest(ctx, repo, ref)
	if err != nil {
		return nil, fmt.Errorf("reading source %s: %w", where, err)
	}
	var d struct { // an image manifest or an index
		Config      *v1.Descriptor    `json:"config"`
		Annotations map[string]string `json:"annotations"`
		Manifests   []v1.Descriptor   `json:"manifests"`
	}
	if err := json.Unmarshal(m.Raw, &d); err != nil {
		return nil, fmt.Errorf("parsing source %s: %w", where, err)
	}
	im := &resolve.Image{Digest: m.Digest, Annotations: d.Annotations, Children: d.Manifests}
	if d.Config == nil {
		return im, nil
	}
	im.Config = d.Config.Digest.String()
	if err := r.config(ctx, repo, d.Config, im); err != nil {
		return nil, fmt.Errorf("reading the config of source %s: %w", where, err)
	}
	return im, nil
}

// config reads labels and platform from the config of an image. Configs of artifacts have neither.
func (r *Registry) config(ctx context.Context, repo name.Repository, d *v1.Descriptor, im *resolve.Image) error {
	if !d.MediaType.IsConfig() {
		return nil
	}
	if d.Size > maxConfig {
		return fmt.Errorf("it is larger than %d MiB", maxConfig>>20)
	}
	var raw bytes.Buffer
	if err := r.client.FetchBlob(ctx, repo, *d, &raw); err != nil {
		return err
	}
	var config struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
		Created      any    `json:"created"`
		Config       struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := strictjson.Unmarshal(raw.Bytes(), &config); err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	im.OS, im.Architecture, im.Variant, im.Labels = config.OS, config.Architecture, config.Variant, config.Config.Labels
	im.Created, _ = config.Created.(string) // any other value is not a time
	return nil
}
