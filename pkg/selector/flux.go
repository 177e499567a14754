package selector

import (
	"cmp"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// flux holds one file's resources of Flux image automation.
//
// An ImagePolicy becomes a selector, together with the ImageRepository and the
// GitRepository that it refers to. Their API groups are image.toolkit.fluxcd.io and
// source.toolkit.fluxcd.io. Other kinds, and keys that do not affect the choice, are
// ignored.
type flux struct {
	*reader
	registry *image.Registry // nil: names of selectors include the host
	policies []resource
	images   map[resourceName]resource
	gits     map[resourceName]resource
}

// resourceName identifies a resource among those of its kind.
type resourceName struct{ namespace, name string }

// String returns namespace/name, or name if there is no namespace.
func (n resourceName) String() string { return strings.TrimPrefix(n.namespace+"/"+n.name, "/") }

// resource is one document.
type resource struct {
	at   *yaml.Node
	id   resourceName
	spec *yaml.Node
}

// The kinds of resources that are read.
const (
	kindPolicy = "ImagePolicy"
	kindImages = "ImageRepository"
	kindGit    = "GitRepository"
)

// AddFlux adds a selector for every ImagePolicy in f.
//
// Names are relative to registry, if it is not nil.
func (p *File) AddFlux(f *yamlread.File, registry *image.Registry) {
	resources := &flux{reader: &reader{f}, registry: registry, images: map[resourceName]resource{}, gits: map[resourceName]resource{}}
	for _, root := range f.Docs {
		if IsResource(root) {
			resources.read(root)
		}
	}
	resources.add(p)
}

// IsResource reports whether a document is a Kubernetes resource.
func IsResource(root *yaml.Node) bool {
	return yamlread.Child(root, "kind") != nil && yamlread.Child(root, "metadata") != nil
}

// read adds the resource of one document.
func (f *flux) read(root *yaml.Node) {
	r := resource{root, resourceName{yamlread.Scalar(root, "metadata", "namespace"), yamlread.Scalar(root, "metadata", "name")}, yamlread.Child(root, "spec")}
	switch kind := yamlread.Scalar(root, "kind"); {
	case kind != kindPolicy && kind != kindImages && kind != kindGit:
		f.Fault(yamlread.Warning, root, "%s is not read: only %s, %s and %s are", yamlread.Clip(kind), kindPolicy, kindImages, kindGit)
	case r.id.name == "" || r.spec == nil:
		f.Fault(yamlread.Broken, root, "%s without metadata.name or spec", kind)
	case kind == kindPolicy:
		f.policies = append(f.policies, r)
	case kind == kindImages:
		f.images[r.id] = r
	default:
		f.gits[r.id] = r
	}
}

// add adds a selector to p for every policy that is not suspended.
func (f *flux) add(p *File) {
	for _, policy := range f.policies {
		before := len(f.Faults)
		e := f.selector(policy)
		switch {
		case e == nil || len(f.Faults) > before:
		case yamlread.Scalar(policy.spec, "suspend") == "true":
			f.Fault(yamlread.Warning, policy.at, "%s %s is suspended: not resolved", kindPolicy, policy.id.name)
			p.Suspended = append(p.Suspended, e)
		default:
			p.Entries = append(p.Entries, e)
		}
	}
}

// selector returns the selector of a policy, or nil after a fault.
func (f *flux) selector(policy resource) *Selector {
	ref := cmp.Or(yamlread.Child(policy.spec, "imageRepositoryRef"), yamlread.Child(policy.spec, "imageRepository"))
	images, ok := f.named(f.images, policy, ref, kindImages)
	if !ok {
		return nil
	}
	p := &Selector{Pos: f.Pos(policy.at), Policy: policy.id.String(), AlwaysRefresh: yamlread.Scalar(policy.spec, "digestReflectionPolicy") == "Always"}
	at := yamlread.Child(images.spec, "image")
	if at == nil {
		f.Fault(yamlread.Broken, images.at, "%s %s without spec.image", kindImages, images.id.name)
		return nil
	}
	var err error
	if p.Repository, err = image.ParseRepository(yamlread.Scalar(images.spec, "image")); err != nil {
		f.Fault(yamlread.Broken, at, "%v", err)
		return nil
	}
	p.Output, p.Name = p.Repository, p.Repository.String()
	if f.registry != nil {
		if p.Name, ok = f.registry.Relative(p.Repository); !ok {
			f.Fault(yamlread.Broken, at, "%s is not below the source registry %s", p.Repository, f.registry)
			return nil
		}
	}
	if list := yamlread.Child(images.spec, "exclusionList"); list != nil {
		p.Exclude = yamlread.Values(f.File, map[string]yamlread.Field{"exclusionList": {Key: list, Value: list}}, "exclusionList", pattern)
	}
	if filter := yamlread.Child(policy.spec, "filterTags"); filter != nil {
		p.Filter = f.filter(filter)
	}
	p.Select = f.policy(policy)
	return p
}

// named returns the resource that ref, a mapping {name, namespace}, refers to.
//
// The default namespace is that of the resource from, which holds ref.
func (f *flux) named(among map[resourceName]resource, from resource, ref *yaml.Node, kind string) (resource, bool) {
	if ref == nil {
		f.Fault(yamlread.Broken, from.at, "%s names no %s", from.id.name, kind)
		return resource{}, false
	}
	id := resourceName{yamlread.Scalar(ref, "namespace"), yamlread.Scalar(ref, "name")}
	if id.namespace == "" {
		id.namespace = from.id.namespace
	}
	found, ok := among[id]
	if !ok {
		f.Fault(yamlread.Broken, ref, "there is no %s %q in the file", kind, yamlread.Clip(id.name))
	}
	return found, ok
}

// policy reads spec.policy of a policy.
func (f *flux) policy(policy resource) (s Select) {
	n := yamlread.Child(policy.spec, "policy")
	if n == nil {
		f.Fault(yamlread.Broken, policy.at, "%s %s without spec.policy", kindPolicy, policy.id.name)
		return s
	}
	e := f.Known(n, "policy", "semver", "numerical", "alphabetical", "gitRevision")
	if len(e) != 1 {
		f.Fault(yamlread.Broken, n, "policy wants exactly one of semver, numerical, alphabetical, gitRevision, found %d", len(e))
		return s
	}
	for name, value := range e {
		switch name {
		case "semver":
			s.SemVer = f.semver(value.Value)
		case "numerical":
			s.Numerical = f.order(value.Value, name)
		case "alphabetical":
			s.Alphabetical = f.order(value.Value, name)
		case "gitRevision":
			s.GitRevision = f.revision(policy, value.Value)
		}
	}
	return s
}

// revision reads a gitRevision policy, whose repository is another resource.
func (f *flux) revision(policy resource, n *yaml.Node) *GitRevision {
	ref := cmp.Or(yamlread.Child(n, "gitRepositoryRef"), yamlread.Child(n, "gitRepository"))
	git, ok := f.named(f.gits, policy, ref, kindGit)
	if !ok {
		return nil
	}
	g := &GitRevision{
		Repository: yamlread.Scalar(git.spec, "url"),
		Branch:     cmp.Or(yamlread.Scalar(n, "branch"), yamlread.Scalar(git.spec, "ref", "branch")),
	}
	if g.Repository == "" || g.Branch == "" {
		f.Fault(yamlread.Broken, n, "gitRevision wants the url of its %s, and a branch", kindGit)
	}
	return g
}
