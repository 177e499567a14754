package importer

import (
	"maps"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Texts about settings that several tools have.
const (
	noteLogin    = "credentials are not read: cip uses Docker's configuration and the identity of the cloud"
	noteSchedule = "cip runs once: start `cip run --confirm` on a schedule, such as a CronJob"
	noteTLS      = "use --ca-file, --plain-http or --insecure-skip-tls-verify of cip run"
	notePace     = "cip adapts to each host; --threads and --qps are limits"
	noteCache    = "not needed: a run reads each manifest once"
	noteAlways   = "cip always compares digests, and repairs what is incomplete with --deep"
	notePlatform = "cip promotes an index with all of its images: the digest differs from that of one platform"
	noteRelay    = "not needed: cip talks to registries itself"
	noteLister   = "cip lists no repositories during a run"
	noteReferrer = "use --referrers of cip run, which promotes signatures and other referrers"
)

// regsyncSettings are keys of defaults and of steps of regsync.
var regsyncSettings = notes{
	"interval": noteSchedule, "schedule": noteSchedule, "ratelimit": notePace, "parallel": notePace,
	"digestTags": noteReferrer, "referrers": noteReferrer, "referrerFilters": noteReferrer, "referrerSlow": noteReferrer,
	"referrerSource":  "cip reads referrers from the repository of the image",
	"referrerTarget":  "cip writes referrers to the repository of the image",
	"fastCheck":       noteAlways,
	"fastCopy":        noteAlways,
	"forceRecursive":  noteAlways,
	"includeExternal": "cip copies layers with foreign URLs if the source serves them",
	"mediaTypes":      "cip promotes every digest that a manifest lists, whatever its type",
	"backup":          "not needed: tags do not move unless mutable-tags allows it, and the report has the previous digest",
	"hooks":           "cip runs no commands: use the report and the exit code",
}

// regsyncDefaults are keys of defaults that steps do not have.
var regsyncDefaults = notes{
	"blobLimit": "not needed: blobs are streamed", "cacheCount": noteCache, "cacheTime": noteCache,
	"skipDockerConfig": noteLogin, "userAgent": "cip has its own",
}

// regsyncHosts are keys of creds.
var regsyncHosts = notes{
	"user": noteLogin, "pass": noteLogin, "token": noteLogin, "credHelper": noteLogin, "credExpire": noteLogin,
	"credHost": noteLogin, "repoAuth": noteLogin, "clientCert": "client certificates are not supported",
	"clientKey": "client certificates are not supported", "tls": noteTLS, "regcert": noteTLS, "scheme": noteTLS,
	"hostname":   "the host in manifests is the one that cip connects to",
	"pathPrefix": "write the prefix into the registries of the manifest",
	"mirrors":    "a source registry in a manifest can have mirrors",
	"priority":   "mirrors are read in the order of the file", "api": "not needed", "apiOpts": "not needed",
	"blobChunk": "not needed", "blobMax": "not needed", "reqPerSec": notePace, "reqConcurrent": notePace,
}

// regsync reads a configuration of regsync, version 1.
func (r *reader) regsync(root *yaml.Node) {
	top := r.mapping(root, "a configuration of regsync", nil, "version", "creds", "defaults", "sync")
	if f, ok := top["version"]; ok && !yamlread.IsNull(yamlread.Deref(f.Value)) {
		r.Number(f.Value, "version", 0, 1)
	}
	if f, ok := top["creds"]; ok {
		items, _ := r.Items(f.Value, "creds")
		for _, n := range items {
			r.mapping(n, "an entry of creds", regsyncHosts, "registry")
		}
	}
	if f, ok := top["defaults"]; ok {
		all := maps.Clone(regsyncSettings)
		maps.Copy(all, regsyncDefaults)
		r.mapping(f.Value, "defaults", all)
	}
	if f, ok := top["sync"]; ok {
		items, _ := r.Items(f.Value, "sync")
		for _, n := range items {
			r.step(n)
		}
	}
}

// sourceTemplate is the template that targets of regsync have most: the text of source.
var sourceTemplate = regexp.MustCompile(`\{\{ *\.Sync\.Source *\}\}`)

// step reads a step of regsync.
func (r *reader) step(n *yaml.Node) {
	e := r.mapping(n, "a step", regsyncSettings, "source", "target", "type", "tags", "tagSets", "repos", "platform", "platforms")
	if e == nil {
		return
	}
	for _, key := range []string{"platform", "platforms"} {
		if f, ok := e[key]; ok && !isOff(f.Value) {
			r.refuse(f.Key, "%s: %s", key, notePlatform)
		}
	}
	source, ok1 := r.Required(n, e, "source", "a step")
	target, ok2 := r.Required(n, e, "target", "a step")
	kind, ok3 := r.Required(n, e, "type", "a step")
	if !ok1 || !ok2 || !ok3 {
		return
	}
	target = sourceTemplate.ReplaceAllLiteralString(target, source)
	switch kind {
	case "registry":
		r.registryStep(e, source, target)
	case "image", "repository":
		from, err1 := parseReference(source)
		if err1 != nil {
			r.refuse(e["source"].Value, "source: %v", err1)
		}
		to, err2 := parseReference(target)
		if err2 != nil {
			r.refuse(e["target"].Value, "target: %v", err2)
		}
		switch {
		case err1 != nil || err2 != nil:
		case kind == "image":
			r.imageStep(n, e, from, to)
		default:
			r.repositoryStep(n, e, from.repository, to.repository)
		}
	default:
		r.refuse(e["type"].Value, "bad type %q: want image, repository or registry", yamlread.Clip(kind))
	}
}

// imageStep reads a step for one image. Without a tag, regsync means latest.
func (r *reader) imageStep(n *yaml.Node, e map[string]yamlread.Field, from, to reference) {
	for _, key := range []string{"tags", "tagSets", "repos"} {
		if f, ok := e[key]; ok {
			r.warn(f.Key, "%s: regsync ignores it in a step of type image", key)
		}
	}
	if to.digest != "" && to.digest != from.digest {
		r.refuse(e["target"].Value, "target: want the digest of the source, or none")
		return
	}
	c := imageCopy{from: from.repository, to: to.repository, tag: from.tag, as: to.tag, digest: from.digest, node: n}
	if c.tag == "" && c.digest == "" {
		c.tag = "latest"
	}
	if c.as == "" && to.digest == "" {
		c.as = "latest"
	}
	r.add(c)
}

// repositoryStep reads a step for the tags of a repository.
func (r *reader) repositoryStep(n *yaml.Node, e map[string]yamlread.Field, from, to repository) {
	var filters []*yaml.Node
	if f, ok := e["tags"]; ok && !yamlread.IsNull(yamlread.Deref(f.Value)) {
		filters = append(filters, f.Value)
	}
	if f, ok := e["tagSets"]; ok {
		items, _ := r.Items(f.Value, "tagSets")
		filters = append(filters, items...)
	}
	if len(filters) == 0 {
		r.allTags(n, from)
	}
	for _, filter := range filters {
		r.tagFilter(filter, from, to)
	}
}

// tagFilter reads lists of tags that regsync allows and denies.
func (r *reader) tagFilter(n *yaml.Node, from, to repository) {
	e := r.mapping(n, "tags", nil, "allow", "deny", "semverRange")
	if e == nil {
		return
	}
	ranges := r.list(e, "semverRange")
	for _, item := range ranges {
		r.versions(item, yamlread.Deref(item).Value, from, to)
	}
	var deny []*regexp.Regexp
	for _, item := range r.list(e, "deny") {
		re, err := regexp.Compile("^" + yamlread.Deref(item).Value + "$")
		if err != nil {
			r.refuse(item, "deny: %v", err)
			continue
		}
		deny = append(deny, re)
	}
	allow := r.list(e, "allow")
	switch {
	case len(ranges) > 0: // allow only restricts the range
	case len(allow) == 0:
		r.allTags(n, from)
	}
	for _, item := range allow {
		text := yamlread.Deref(item).Value
		if len(ranges) > 0 {
			r.refuse(item, "the pattern %q restricts a range: left out with it", yamlread.Clip(text))
			continue
		}
		for _, tag := range r.pattern(item, text, "^"+text+"$", from, deny) {
			r.add(imageCopy{from: from, to: to, tag: tag, as: tag, node: item})
		}
	}
}

// list returns the texts of the list at a key, or nothing without the key.
func (r *reader) list(e map[string]yamlread.Field, key string) []*yaml.Node {
	f, ok := e[key]
	if !ok {
		return nil
	}
	return r.texts(f.Value, key)
}

// registryStep reads a step for all repositories of a registry. It has an equivalent
// only if the repositories are listed.
func (r *reader) registryStep(e map[string]yamlread.Field, source, target string) {
	var names []*yaml.Node
	repos, ok := e["repos"]
	if ok {
		filter := r.mapping(repos.Value, "repos", nil, "allow", "deny")
		names = r.list(filter, "allow")
		for _, item := range r.list(filter, "deny") {
			r.refuse(item, "deny: patterns of repositories have no equivalent")
		}
	}
	registry, err := image.ParseRegistry(source)
	if err != nil {
		r.refuse(e["source"].Value, "source: %v", err)
		return
	}
	if len(names) == 0 {
		r.refuse(e["source"].Value, "all repositories of %s: a manifest lists each image: "+
			"`cip snapshot %[1]s --minimal-snapshot` prints them as a list of images", registry)
	}
	for _, item := range names {
		text := yamlread.Deref(item).Value
		found, exact, ok := finite("^" + text + "$")
		if !ok || !exact {
			r.refuse(item, "the pattern %q selects any number of repositories: a manifest lists each one", yamlread.Clip(text))
			continue
		}
		for _, name := range found {
			from, err := parseReference(strings.TrimSuffix(source, "/") + "/" + name)
			if err != nil {
				r.refuse(item, "source: %v", err)
				continue
			}
			to, err := parseReference(strings.TrimSuffix(target, "/") + "/" + name)
			if err != nil {
				r.refuse(item, "target: %v", err)
				continue
			}
			r.repositoryStep(item, e, from.repository, to.repository)
		}
	}
}
