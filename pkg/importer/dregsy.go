package importer

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Keys of dregsy without an equivalent: of the file, of tasks and of their registries.
var (
	dregsySettings = notes{
		"relay": noteRelay, "skopeo": noteRelay, "docker": noteRelay, "dockerhost": noteRelay, "api-version": noteRelay,
		"lister": noteLister, "watch": "cip runs once and reads its files then",
	}
	dregsyTask     = notes{"interval": noteSchedule, "verbose": "use --log-level", "skipExistingTags": "tags that exist never move, unless mutable-tags allows it"}
	dregsyLocation = notes{"auth": noteLogin, "auth-refresh": noteLogin, "skip-tls-verify": noteTLS, "lister": noteLister}
	dregsyMapping  = notes{"preserve-digests": "cip always preserves digests"}
)

// dregsy reads a configuration of dregsy: tasks with mappings.
func (r *reader) dregsy(root *yaml.Node) {
	top := r.mapping(root, "a configuration of dregsy", dregsySettings, "tasks")
	f, ok := top["tasks"]
	if !ok {
		return
	}
	tasks, _ := r.Items(f.Value, "tasks")
	for _, n := range tasks {
		e := r.mapping(n, "a task", dregsyTask, "name", "source", "target", "mappings")
		if e == nil {
			continue
		}
		source, ok1 := r.location(n, e, "source")
		target, ok2 := r.location(n, e, "target")
		if f, ok := e["mappings"]; ok && ok1 && ok2 {
			items, _ := r.Items(f.Value, "mappings")
			for _, item := range items {
				r.dregsyMapping(item, source, target)
			}
		}
	}
}

// location reads the registry that a task reads or writes.
func (r *reader) location(task *yaml.Node, e map[string]yamlread.Field, key string) (string, bool) {
	f, ok := e[key]
	if !ok {
		r.Fault(yamlread.Broken, task, "a task without %s", key)
		return "", false
	}
	fields := r.mapping(f.Value, key, dregsyLocation, "registry")
	if fields == nil {
		return "", false
	}
	registry, ok := r.Required(f.Value, fields, "registry", key)
	if _, host, named := strings.Cut(registry, "@"); named { // a profile of AWS before the host
		registry = host
	}
	return strings.TrimSuffix(registry, "/"), ok
}

// dregsyMapping reads a repository of the source and its name in the target.
func (r *reader) dregsyMapping(n *yaml.Node, source, target string) {
	e := r.mapping(n, "a mapping", dregsyMapping, "from", "to", "tags", "digests", "platform")
	if e == nil {
		return
	}
	if f, ok := e["platform"]; ok && !isOff(f.Value) && yamlread.Deref(f.Value).Value != "all" {
		r.refuse(f.Key, "platform: %s", notePlatform)
	}
	name, ok := r.Required(n, e, "from", "a mapping")
	if !ok {
		return
	}
	if strings.HasPrefix(name, "regex:") {
		r.refuse(e["from"].Value, "the pattern %q selects any number of repositories: a manifest lists each one", yamlread.Clip(name))
		return
	}
	name = "/" + strings.TrimPrefix(name, "/")
	renamed, ok := r.rename(e, name)
	if !ok {
		return
	}
	from, err := parseRepository(source + name)
	if err != nil {
		r.refuse(e["from"].Value, "from: %v", err)
		return
	}
	to, err := parseRepository(target + renamed)
	if err != nil {
		r.refuse(n, "to: %v", err)
		return
	}
	tags, digests := r.list(e, "tags"), r.list(e, "digests")
	if len(tags) == 0 && len(digests) == 0 {
		r.allTags(n, from)
	}
	for _, item := range digests {
		digest := yamlread.Deref(item).Value
		if _, err := image.ParseDigest(digest); err != nil {
			r.refuse(item, "%v", err)
			continue
		}
		r.add(imageCopy{from: from, to: to, digest: digest, node: item})
	}
	r.dregsyTags(tags, from, to)
}

// rename returns the path in the target of a path in the source.
func (r *reader) rename(e map[string]yamlread.Field, name string) (string, bool) {
	to := r.Optional(e, "to")
	expr, isPattern := strings.CutPrefix(to, "regex:")
	switch {
	case to == "":
		return name, true
	case !isPattern:
		return "/" + strings.TrimPrefix(to, "/"), true
	}
	expr, replacement, ok := strings.Cut(expr, ",")
	re, err := regexp.Compile(expr)
	if err != nil || !ok {
		r.refuse(e["to"].Value, "to: want a regular expression, a comma and a replacement")
		return "", false
	}
	return re.ReplaceAllString(name, replacement), true
}

// dregsyTags reads a list of tags, ranges and patterns. A tag that fails a keep pattern
// is left out.
func (r *reader) dregsyTags(items []*yaml.Node, from, to repository) {
	var drop []func(string) bool
	var rest []*yaml.Node
	for _, item := range items {
		expr, ok := strings.CutPrefix(yamlread.Deref(item).Value, "keep:")
		if !ok {
			rest = append(rest, item)
			continue
		}
		expr, inverted := strings.CutPrefix(strings.TrimSpace(expr), "!")
		re, err := regexp.Compile("^" + expr + "$")
		if err != nil {
			r.refuse(item, "tags: %v", err)
			continue
		}
		drop = append(drop, func(tag string) bool { return re.MatchString(tag) == inverted })
	}
	if len(items) > 0 && len(rest) == 0 {
		r.allTags(items[0], from)
	}
	for _, item := range rest {
		text := yamlread.Deref(item).Value
		add := func(tag string) {
			for _, dropped := range drop {
				if dropped(tag) {
					r.warn(item, "tag %s of %s: left out, as keep says", yamlread.Clip(tag), from)
					return
				}
			}
			r.add(imageCopy{from: from, to: to, tag: tag, as: tag, node: item})
		}
		if expr, ok := strings.CutPrefix(text, "semver:"); ok {
			r.versions(item, strings.TrimSpace(expr), from, to)
			continue
		}
		if expr, ok := strings.CutPrefix(text, "regex:"); ok {
			r.dregsyPattern(item, strings.TrimSpace(expr), from, add)
			continue
		}
		add(text)
	}
}

// dregsyPattern reads a pattern of tags. One that begins with "!" selects all others.
func (r *reader) dregsyPattern(n *yaml.Node, expr string, from repository, add func(tag string)) {
	if strings.HasPrefix(expr, "!") {
		r.anyTags(n, expr, from)
		return
	}
	for _, tag := range r.pattern(n, expr, "^"+expr+"$", from, nil) {
		add(tag)
	}
}
