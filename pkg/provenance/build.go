package provenance

import (
	"encoding/json"
	"strings"
)

// build is what provenance of either version says about a build.
type build struct {
	builder      string
	invocation   string   // the builder's name of the build
	external     []string // sources in the parameters that the builder was called with
	dependencies []dependency
	workflow     workflowAt
}

// dependency is an entry of resolvedDependencies, or of materials.
type dependency struct {
	URI string
	git bool
}

// workflowAt is a GitHub workflow at a ref. The repository is a URI.
type workflowAt struct{ repository, path, ref string }

// readBuild reads the predicate of provenance.
//
// A field of the wrong type counts as one that is missing, except that a source which
// cannot be read matches nothing.
func readBuild(s *Statement) build {
	var predicate any
	if json.Unmarshal(s.Predicate, &predicate) != nil {
		return build{}
	}
	if s.PredicateType == ProvenanceV1 {
		return readV1(predicate)
	}
	return readV02(predicate)
}

func readV1(predicate any) build {
	parameters := at(predicate, "buildDefinition", "externalParameters")
	b := build{
		builder:      text(predicate, "runDetails", "builder", "id"),
		invocation:   text(predicate, "runDetails", "metadata", "invocationId"),
		dependencies: readDependencies(at(predicate, "buildDefinition", "resolvedDependencies")),
		workflow: workflowAt{
			repository: text(parameters, "workflow", "repository"),
			path:       text(parameters, "workflow", "path"),
			ref:        text(parameters, "workflow", "ref"),
		},
	}
	if has(parameters, "source") {
		source, ok := at(parameters, "source").(string)
		if !ok {
			source = text(parameters, "source", "uri")
		}
		b.external = append(b.external, source)
	}
	if has(at(parameters, "workflow"), "repository") {
		b.external = append(b.external, b.workflow.repository)
	}
	return b
}

func readV02(predicate any) build {
	b := build{
		builder:      text(predicate, "builder", "id"),
		invocation:   text(predicate, "metadata", "buildInvocationID"),
		dependencies: readDependencies(at(predicate, "materials")),
	}
	if b.invocation == "" {
		b.invocation = text(predicate, "metadata", "buildInvocationId") // as the specification spells it in other places
	}
	config := at(predicate, "invocation", "configSource")
	uri := text(config, "uri")
	if has(config, "uri") {
		b.external = []string{uri}
	}
	b.workflow.path = text(config, "entryPoint")
	b.workflow.repository, b.workflow.ref, _ = strings.Cut(uri, "@")
	return b
}

func readDependencies(list any) []dependency {
	entries, _ := list.([]any)
	var all []dependency
	for _, e := range entries {
		d := dependency{URI: text(e, "uri")}
		uri, _, _ := strings.Cut(d.URI, "@")
		d.git = strings.HasPrefix(uri, "git+") || strings.HasPrefix(uri, "git://") ||
			strings.HasSuffix(strings.TrimRight(uri, "/"), ".git") ||
			has(at(e, "digest"), "gitCommit") || has(at(e, "digest"), "sha1")
		all = append(all, d)
	}
	return all
}

// at returns the value at a path of keys, or nil.
func at(v any, path ...string) any {
	for _, key := range path {
		object, _ := v.(map[string]any)
		v = object[key]
	}
	return v
}

// has reports whether v is an object with the key.
func has(v any, key string) bool {
	object, _ := v.(map[string]any)
	_, ok := object[key]
	return ok
}

// text returns the string at a path of keys, or "".
func text(v any, path ...string) string {
	s, _ := at(v, path...).(string)
	return s
}
