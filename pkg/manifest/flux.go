package manifest

import (
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// flux collects the resources of Flux' image automation that a stream holds: an
// ImagePolicy becomes a producer, with the ImageRepository and GitRepository it
// names (apiVersion image.toolkit.fluxcd.io and source.toolkit.fluxcd.io). Other
// kinds, and keys that have no bearing on the choice, are passed over.
type flux struct {
	*reader
	registry *image.Registry // nil: producers' names are fully qualified
	policies []resource
	images   map[resourceName]resource
	gits     map[resourceName]resource
}

// resourceName tells resources of one kind apart.
type resourceName struct{ namespace, name string }

// resource is one document.
type resource struct {
	at   *yaml.Node
	id   resourceName
	spec *yaml.Node
}

// Kinds of resources.
const (
	kindPolicy = "ImagePolicy"
	kindImages = "ImageRepository"
	kindGit    = "GitRepository"
)

// isResource reports whether a document has the shape of a Kubernetes resource.
func isResource(root *yaml.Node) bool {
	return child(root, "kind") != nil && child(root, "metadata") != nil
}

// child returns what a mapping holds under a path of keys, or nil.
func child(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		f, ok := lookup(n, key)
		if !ok {
			return nil
		}
		n = f.value
	}
	return n
}

// scalar returns the text below a mapping; "" if there is none.
func scalar(n *yaml.Node, keys ...string) string {
	if n = child(n, keys...); n == nil || deref(n).Kind != yaml.ScalarNode || null(deref(n)) {
		return ""
	}
	return deref(n).Value
}

// read takes in one document.
func (f *flux) read(root *yaml.Node) {
	r := resource{root, resourceName{scalar(root, "metadata", "namespace"), scalar(root, "metadata", "name")}, child(root, "spec")}
	if f.images == nil {
		f.images, f.gits = map[resourceName]resource{}, map[resourceName]resource{}
	}
	switch kind := scalar(root, "kind"); {
	case kind != kindPolicy && kind != kindImages && kind != kindGit:
		f.fault(Warning, root, "%s is not read: only %s, %s and %s are", clip(kind), kindPolicy, kindImages, kindGit)
	case r.id.name == "" || r.spec == nil:
		f.fault(Broken, root, "%s without metadata.name or spec", kind)
	case kind == kindPolicy:
		f.policies = append(f.policies, r)
	case kind == kindImages:
		f.images[r.id] = r
	default:
		f.gits[r.id] = r
	}
}

// add makes every policy a producer of p.
func (f *flux) add(p *Producers) {
	for _, policy := range f.policies {
		if scalar(policy.spec, "suspend") == "true" {
			f.fault(Warning, policy.at, "%s %s is suspended: not resolved", kindPolicy, policy.id.name)
			continue
		}
		before := len(f.faults)
		if e := f.producer(policy); e != nil && len(f.faults) == before {
			p.Entries = append(p.Entries, e)
		}
	}
}

// producer returns what a policy asks for.
func (f *flux) producer(policy resource) *Producer {
	ref := child(policy.spec, "imageRepositoryRef")
	if ref == nil {
		ref = child(policy.spec, "imageRepository")
	}
	images, ok := f.named(f.images, policy, ref, kindImages)
	if !ok {
		return nil
	}
	p := &Producer{Pos: f.pos(policy.at), AlwaysRefresh: scalar(policy.spec, "digestReflectionPolicy") == "Always"}
	at := child(images.spec, "image")
	if at == nil {
		f.fault(Broken, images.at, "%s %s without spec.image", kindImages, images.id.name)
		return nil
	}
	var err error
	if p.Repository, err = image.ParseRepository(scalar(images.spec, "image")); err != nil {
		f.fault(Broken, at, "%v", err)
		return nil
	}
	p.Output, p.Name = p.Repository, p.Repository.String()
	if f.registry != nil {
		if p.Name, ok = f.registry.Relative(p.Repository); !ok {
			f.fault(Broken, at, "%s is not below the source registry %s", p.Repository, f.registry)
			return nil
		}
	}
	if list := child(images.spec, "exclusionList"); list != nil {
		p.Exclude = values(f.reader, map[string]field{"exclusionList": {list, list}}, "exclusionList", pattern)
	}
	if filter := child(policy.spec, "filterTags"); filter != nil {
		p.Filter = f.filter(map[string]field{"filterTags": {filter, filter}})
	}
	p.Select = f.policy(policy)
	return p
}

// named returns the resource that a reference {name, namespace} of another names.
func (f *flux) named(among map[resourceName]resource, from resource, ref *yaml.Node, kind string) (resource, bool) {
	if ref == nil {
		f.fault(Broken, from.at, "%s names no %s", from.id.name, kind)
		return resource{}, false
	}
	id := resourceName{scalar(ref, "namespace"), scalar(ref, "name")}
	if id.namespace == "" {
		id.namespace = from.id.namespace
	}
	found, ok := among[id]
	if !ok {
		f.fault(Broken, ref, "there is no %s %q in the file", kind, clip(id.name))
	}
	return found, ok
}

// policy reads spec.policy.
func (f *flux) policy(policy resource) (s Select) {
	n := child(policy.spec, "policy")
	if n == nil {
		f.fault(Broken, policy.at, "%s %s without spec.policy", kindPolicy, policy.id.name)
		return s
	}
	e := f.known(n, "policy", "semver", "numerical", "alphabetical", "gitRevision")
	if len(e) != 1 {
		f.fault(Broken, n, "policy wants exactly one of semver, numerical, alphabetical, gitRevision, found %d", len(e))
		return s
	}
	for name, value := range e {
		switch name {
		case "semver":
			s.SemVer = f.semver(value.value)
		case "numerical":
			s.Numerical = f.order(value.value, name)
		case "alphabetical":
			s.Alphabetical = f.order(value.value, name)
		case "gitRevision":
			s.GitRevision = f.revision(policy, value.value)
		}
	}
	return s
}

// revision reads a gitRevision policy, whose repository is a resource of its own.
func (f *flux) revision(policy resource, n *yaml.Node) *GitRevision {
	ref := child(n, "gitRepositoryRef")
	if ref == nil {
		ref = child(n, "gitRepository")
	}
	git, ok := f.named(f.gits, policy, ref, kindGit)
	if !ok {
		return nil
	}
	g := &GitRevision{Repository: scalar(git.spec, "url"), Branch: scalar(n, "branch")}
	if g.Branch == "" {
		g.Branch = scalar(git.spec, "ref", "branch")
	}
	if g.Repository == "" || g.Branch == "" {
		f.fault(Broken, n, "gitRevision wants the url of its %s, and a branch", kindGit)
	}
	return g
}
