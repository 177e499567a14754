package main

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

const tagsPerRepo = 10

// layerSize makes a layer of 4 kB: small, because requests are measured and not bytes.
var layerSize = registrytest.LayerSize(2560)

// content is what a source holds and its destinations are to hold.
type content struct {
	edges   []edge
	objects map[string]registrytest.Object // by digest, what the edges name
}

// edge is a wanted tag. Repo is the name below a registry's prefix.
type edge struct{ Repo, Tag, Digest string }

func (c *content) add(repo, tag string, o registrytest.Object) {
	c.edges = append(c.edges, edge{repo, tag, o.Digest})
	c.objects[o.Digest] = o
}

// wide is many tags of small images.
func wide() *content {
	c := &content{objects: map[string]registrytest.Object{}}
	for i := range 200 * tagsPerRepo {
		c.add(fmt.Sprintf("image-%03d", i/tagsPerRepo), fmt.Sprintf("v1.%d", i%tagsPerRepo), registrytest.Image(i, 1, bases(0, 1), layerSize))
	}
	return c
}

// mixed is 250 images of eight layers in 25 repositories, and 20 indexes of five
// platforms in two. Five bases are shared by five repositories each, and the base
// of a platform by all indexes.
func mixed() *content {
	c := &content{objects: map[string]registrytest.Object{}}
	const singles = 25 * tagsPerRepo
	for i := range singles {
		r, t := i/tagsPerRepo, i%tagsPerRepo
		c.add(fmt.Sprintf("single-%02d", r), fmt.Sprintf("v1.%d", t), registrytest.Image(i, 3, bases(r%5, 5), layerSize))
	}
	platforms := []string{"linux/amd64", "linux/arm64", "linux/ppc64le", "linux/riscv64", "linux/s390x"}
	for i := range 2 * tagsPerRepo {
		var children []registrytest.Object
		for p, name := range platforms {
			seed := singles + i*len(platforms) + p
			children = append(children, registrytest.Image(seed, 1, bases(10+p, 4), registrytest.Platform(name), layerSize))
		}
		c.add(fmt.Sprintf("multi-%d", i/tagsPerRepo), fmt.Sprintf("v1.%d", i%tagsPerRepo), registrytest.Index(children))
	}
	return c
}

// bases are the n layers of a base, which the images on it share.
func bases(base, n int) registrytest.BuildOption {
	var seeds []int
	for i := range n {
		seeds = append(seeds, base*10+i)
	}
	return registrytest.Base(seeds...)
}

// marshal encodes values that always can be.
func marshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}
