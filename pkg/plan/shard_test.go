package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Shards are disjoint, together they are the whole, and a repository is in one of them.
func TestShardsAreDisjointAndComplete(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		w := newWorld(t, rand.New(rand.NewPCG(seed, 4)))
		count := 1 + int(seed%5)
		whole := plan.Desired(w.set, nil)
		shards, tags := whole.Shards(count), 0
		for _, size := range shards.Sizes() {
			tags += size.Tags
		}
		sources, parts := map[name.Repository]int{}, []string{}
		wanted := 0
		for i := range count {
			part := plan.Desired(w.set, nil)
			part.Shard(shards, i, nil)
			parts = append(parts, edgesOf(part)...)
			for _, target := range part.Targets {
				for _, e := range target.Want.Entries {
					for _, src := range e.Sources {
						if at, ok := sources[src.Repository]; ok && at != i {
							t.Errorf("seed %d: %s is in the shards %d and %d, want one", seed, src.Repository, at, i)
						}
						sources[src.Repository] = i
					}
				}
			}
			wanted += part.Edges()
		}
		slices.Sort(parts)
		if diff := cmp.Diff(edgesOf(whole), parts); diff != "" {
			t.Fatalf("seed %d: (-whole +parts)\n%s", seed, diff)
		}
		if wanted > tags {
			t.Errorf("seed %d: got sizes of %d tags, want at least %d", seed, tags, wanted)
		}
		for i := range w.set.Manifests[0].Images { // the order of images means nothing
			images := w.set.Manifests[0].Images
			images[0], images[i] = images[i], images[0]
		}
		if diff := cmp.Diff(shards.Sizes(), plan.Desired(w.set, nil).Shards(count).Sizes()); diff != "" {
			t.Fatalf("seed %d: sizes (-in order +shuffled)\n%s", seed, diff)
		}
	}
}

func TestShardSizes(t *testing.T) {
	t.Parallel()
	const two = "registries: [{name: s.example, src: true}, {name: d.example/p}, {name: d.example/q}]\nimages:\n"
	size := func(i, n, repositories, images, tags int) plan.ShardSize {
		return plan.ShardSize{Shard: fmt.Sprintf("%d/%d", i, n), Repositories: repositories, Images: images, Tags: tags}
	}
	tests := map[string]struct {
		text string
		want []plan.ShardSize
	}{
		"the heaviest first": {two + "- {name: a, dmap: {" + dA + ": ['1']}}\n- {name: b, dmap: {" + dA + ": ['1', '2', '3'], " + dB + ": []}}\n- {name: c, dmap: {" + dA + ": ['1', '2']}}\n",
			[]plan.ShardSize{size(0, 2, 1, 2, 8), size(1, 2, 2, 2, 6)}},
		"ties by name":           {two + "- {name: b, dmap: {" + dB + ": ['1']}}\n- {name: a, dmap: {" + dA + ": [], " + dB + ": ['1']}}\n- {name: c, dmap: {" + dB + ": ['1', '2'], " + dA + ": []}}\n", []plan.ShardSize{size(0, 3, 1, 2, 6), size(1, 3, 1, 2, 4), size(2, 3, 1, 1, 2)}},
		"retag entries":          {two + "- {name: a, retag: [{src_build_tag: x, tag: y}, {src_build_tag: x, tag: z}]}\n", []plan.ShardSize{size(0, 1, 1, 2, 4)}},
		"repeated edges":         {two + "- {name: a, dmap: {" + dA + ": ['1']}}\n- {name: a, dmap: {" + dA + ": ['1']}}\n", []plan.ShardSize{size(0, 1, 1, 1, 2)}},
		"more shards than edges": {registries + "images: [{name: a, dmap: {" + dA + ": ['1']}}]\n", []plan.ShardSize{size(0, 2, 1, 1, 1), size(1, 2, 0, 0, 0)}},
		"two sources of one destination": {registries + "images: [{name: a, dmap: {" + dA + ": ['1']}}]\n---\nregistries: [{name: t.example, src: true}, {name: d.example/p}]\nimages: [{name: a, dmap: {" + dB + ": ['2']}}]\n",
			[]plan.ShardSize{size(0, 2, 2, 2, 2), size(1, 2, 0, 0, 0)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, plan.Desired(load(t, tc.text), nil).Shards(len(tc.want)).Sizes()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The largest of 16 shards of a large tree has at most 1.1 times the average, or is one
// repository.
func TestShardsAreBalanced(t *testing.T) {
	t.Parallel()
	const count = 16
	one := &manifest.Set{Manifests: []*manifest.Manifest{{
		Source: &manifest.Registry{Name: registryOf(t, "s.example")}, Destinations: []*manifest.Registry{{Name: registryOf(t, "d.example")}},
	}}}
	for i, tags := range []int{500, 20, 10} { // the first has more than all others
		img := manifest.Image{Name: fmt.Sprintf("image-%d", i), Digests: []manifest.Digest{{Digest: digest(i)}}}
		for n := range tags {
			img.Digests[0].Tags = append(img.Digests[0].Tags, manifest.Tag{Name: fmt.Sprint(n)})
		}
		one.Manifests[0].Images = append(one.Manifests[0].Images, img)
	}
	for name, set := range map[string]*manifest.Set{"a large tree": kubernetesSet(t), "one large repository": one} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wanted := plan.Desired(set, nil)
			all := 0
			var largest plan.ShardSize
			for _, size := range wanted.Shards(count).Sizes() {
				all += size.Tags
				if size.Tags > largest.Tags {
					largest = size
				}
			}
			if limit := 1.1 * float64(all) / count; float64(largest.Tags) > limit && largest.Repositories > 1 {
				t.Errorf("got %d tags in shard %s of %d repositories, want at most %.0f", largest.Tags, largest.Shard, largest.Repositories, limit)
			}
		})
	}
}

// The parts are the same with and without a selection that has everything, and those of
// a selection count only its edges.
func TestShardsOfASelection(t *testing.T) {
	t.Parallel()
	base := load(t, registries+"images: [{name: a, dmap: {"+dA+": ['1', '2', '3']}}]\n")
	now := load(t, registries+"images: [{name: a, dmap: {"+dA+": ['1', '2', '3', '4']}}, {name: b, dmap: {"+dB+": ['1', '2']}}]\n")
	wanted := plan.Desired(now, nil)
	got := wanted.Shards(2, plan.Since(wanted, plan.Desired(base, nil), nil)).Sizes()
	want := []plan.ShardSize{{Shard: "0/2", Repositories: 1, Images: 1, Tags: 2}, {Shard: "1/2", Repositories: 1, Images: 1, Tags: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if shards := wanted.Shards(2); !shards.Has(0, image.NewRepository("nowhere.example", "x")) {
		t.Error("got an unknown repository in another part, want it in part 0")
	}
}
