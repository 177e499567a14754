package importer

import (
	"path"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// skopeoSettings are keys of a registry in a file of skopeo sync.
var skopeoSettings = notes{"credentials": noteLogin, "cert-dir": noteTLS}

// skopeo reads the file of `skopeo sync --src yaml`: registries by name.
//
// The destination is on the command line of skopeo.
func (r *reader) skopeo(root *yaml.Node) {
	registries, ok := r.Fields(root, "a file of skopeo sync")
	if !ok {
		return
	}
	for _, registry := range registries {
		subject := "a registry of skopeo sync"
		e := r.mapping(registry.Value, subject, skopeoSettings, "images", "images-by-tag-regex", "images-by-semver", "tls-verify")
		if e == nil {
			continue
		}
		if f, ok := e["tls-verify"]; ok && !r.Boolean(f.Value, "tls-verify") {
			r.warn(f.Key, "tls-verify: %s", noteTLS)
		}
		if f, ok := e["images"]; ok {
			r.skopeoTags(registry, f.Value)
		}
		r.skopeoPatterns(registry, e, "images-by-tag-regex")
		r.skopeoPatterns(registry, e, "images-by-semver")
	}
}

// skopeoTags reads the tags and digests of repositories.
func (r *reader) skopeoTags(registry yamlread.Field, images *yaml.Node) {
	repos, _ := r.Fields(images, "images")
	for _, repo := range repos {
		for _, way := range r.skopeoWays(registry, repo) {
			if yamlread.Deref(repo.Value).Kind == yaml.ScalarNode && !yamlread.IsNull(yamlread.Deref(repo.Value)) {
				r.WrongType(repo.Value, "the tags of an image", "a list")
				break
			}
			refs := r.texts(repo.Value, "tags")
			if len(refs) == 0 {
				r.allTags(repo.Key, way.from)
				break
			}
			for _, n := range refs {
				c := imageCopy{from: way.from, to: way.to, node: n}
				text := yamlread.Deref(n).Value
				if _, err := image.ParseDigest(text); err == nil {
					c.digest = text
				} else {
					c.tag, c.as = text, text+r.options.AppendSuffix
				}
				r.add(c)
			}
		}
	}
}

// skopeoPatterns reads the repositories whose tags a pattern or a range selects.
func (r *reader) skopeoPatterns(registry yamlread.Field, e map[string]yamlread.Field, key string) {
	f, ok := e[key]
	if !ok {
		return
	}
	repos, _ := r.Fields(f.Value, key)
	for _, repo := range repos {
		text, ok := r.Text(repo.Value, key)
		if !ok {
			continue
		}
		for _, way := range r.skopeoWays(registry, repo) {
			if key == "images-by-semver" {
				r.versions(repo.Value, text, way.from, way.to)
				continue
			}
			for _, tag := range r.pattern(repo.Value, text, text, way.from, nil) {
				r.add(imageCopy{from: way.from, to: way.to, tag: tag, as: tag + r.options.AppendSuffix, node: repo.Value})
			}
		}
	}
}

// way is a repository and where it is copied to.
type way struct{ from, to repository }

// skopeoWays returns the destinations of a repository.
//
// skopeo keeps the last element of the name, or with --scoped all of it and the host.
func (r *reader) skopeoWays(registry, repo yamlread.Field) []way {
	from, err := parseRepository(registry.Name() + "/" + repo.Name())
	if err != nil {
		r.refuse(repo.Key, "%v", err)
		return nil
	}
	var ways []way
	for _, d := range r.options.Destinations {
		name := path.Base(from.path)
		if r.options.Scoped {
			name = from.String()
		}
		to, err := parseRepository(d.String() + "/" + name)
		if err != nil {
			r.refuse(repo.Key, "%v", err)
			continue
		}
		ways = append(ways, way{from, to})
	}
	return ways
}
