package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// manifestKinds are the kinds of files in which people write manifests.
var manifestKinds = []string{"plain", "thin", "images", "native", "sources"}

// schemaOf compiles what cip schema prints for a kind; "" is none.
func schemaOf(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	args := []string{"schema"}
	if kind != "" {
		args = append(args, kind)
	}
	var out, stderr bytes.Buffer
	to := streams{out: &out, err: &stderr, getenv: func(string) string { return "" }}
	if code := execute(t.Context(), newRootCmd(to), args, to); code != 0 {
		t.Fatalf("got exit code %d, want 0: %s", code, &stderr)
	}
	doc, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// documents reads YAML as the YAML language server does: dates are text.
func documents(text []byte) (docs []any, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		plain(&n)
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, err
		}
		docs = append(docs, v)
	}
}

func plain(n *yaml.Node) {
	for i, c := range n.Content {
		if c.Kind == yaml.ScalarNode && (c.ShortTag() == "!!timestamp" || n.Kind == yaml.MappingNode && i%2 == 0 && c.ShortTag() != "!!merge") {
			c.Tag = "!!str"
		}
		plain(c)
	}
}

// fits returns what a schema says against a text.
func fits(s *jsonschema.Schema, text string) error {
	docs, err := documents([]byte(text))
	if err != nil {
		return err
	}
	for _, d := range docs {
		if err := s.Validate(d); err != nil {
			return err
		}
	}
	return nil
}

// kindOf returns the kind of a manifest file, "" if it is not one.
func kindOf(name string, text []byte) string {
	switch path.Base(name) {
	case "promoter-manifest.yaml":
		return "thin"
	case "images.yaml":
		return "images"
	case "sources.yaml":
		return "sources"
	}
	switch {
	case path.Ext(name) != ".yaml":
		return ""
	case bytes.Contains(text, []byte("registries:")):
		return "plain"
	case bytes.Contains(text, []byte("src_build_tag")):
		return "native"
	}
	return ""
}

// accepted reports whether cip takes a file without a fault that is more than a warning.
func accepted(kind, text string) bool {
	const thin = "registries:\n- {name: example.com/s, src: true}\n- {name: example.com/p}\n"
	files := fstest.MapFS{
		"manifests/x/promoter-manifest.yaml": {Data: []byte(thin)},
		"images/x/images.yaml":               {Data: []byte("[]")},
	}
	switch kind {
	case "plain", "native":
		files["m.yaml"] = &fstest.MapFile{Data: []byte(text)}
		set, _ := manifest.PlainSelectors(files, "m.yaml", "")
		return set.OK()
	case "thin":
		files["manifests/x/promoter-manifest.yaml"] = &fstest.MapFile{Data: []byte(text)}
	case "images":
		files["images/x/images.yaml"] = &fstest.MapFile{Data: []byte(text)}
	case "sources":
		files["images/x/sources.yaml"] = &fstest.MapFile{Data: []byte(text)}
	}
	set, _ := manifest.ThinSelectors(files, "", false)
	return set.OK()
}

// What cip accepts, its schemas accept: in the examples, the end-to-end tests and, where they are, real manifests.
func TestSchemasAcceptWhatCipAccepts(t *testing.T) {
	t.Parallel()
	schemas := map[string]*jsonschema.Schema{}
	for _, kind := range append([]string{""}, manifestKinds...) {
		schemas[kind] = schemaOf(t, kind)
	}
	seen := map[string]int{}
	check := func(name, text string) {
		kind := kindOf(name, []byte(text))
		if kind == "" || strings.Contains(text, "kind: ImagePolicy") || !accepted(kind, text) {
			return
		}
		seen[kind]++
		for _, k := range []string{kind, ""} {
			if err := fits(schemas[k], text); err != nil {
				t.Errorf("%s (%s, schema %q): %v", name, kind, k, err)
			}
		}
	}
	const examples = "../../manifests"
	for _, root := range []string{examples, "../../../shared/data"} {
		err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := os.ReadFile(name)
			check(name, string(text))
			return err
		})
		switch {
		case errors.Is(err, fs.ErrNotExist) && root != examples:
			t.Logf("%s is not there: real manifests are left out", root)
		case err != nil:
			t.Error(err)
		}
	}
	scripts, err := filepath.Glob("../../test-e2e/testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no end-to-end tests: %v", err)
	}
	registry := regexp.MustCompile(`(?m)^(?:registry|storage) (\w+)`)
	for _, script := range scripts {
		a, err := txtar.ParseFile(script)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for _, m := range registry.FindAllSubmatch(a.Comment, -1) {
			values[string(m[1])] = fmt.Sprintf("localhost:%d", 5000+len(values))
		}
		for _, f := range a.Files {
			check(script+": "+f.Name, os.Expand(string(f.Data), func(key string) string {
				if host := values[key]; host != "" {
					return host
				}
				return fmt.Sprintf("sha256:%064x", key)[:7+64]
			}))
		}
	}
	t.Logf("files that were tried, by kind: %v", seen)
	for _, kind := range manifestKinds {
		if seen[kind] == 0 {
			t.Errorf("got no file of kind %s, want some tried", kind)
		}
	}
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0", 64)
	const registries = "registries: [{name: example.com/s, src: true}, {name: example.com/p}]\n"
	const policy = `provenance:
  mode: require
  signers: ["sigstore::i::me"]
  builders: [{id: b, level: 3, signers: ["sigstore::i::me"], caller: {refs: [refs/heads/main], workflows: [.github/workflows/a.yml]}}]
  sources: [s]
  predicateTypes: [t]
  level: 2
  levels: [{images: [a], level: 3}]
`
	source := func(selection string) string { return "- {name: a, select: {" + selection + "}}" }
	for kind, tc := range map[string]struct{ good, bad []string }{
		"plain": {
			good: []string{registries, registries + policy, registries + "provenance: {mode: off, level: 2}", registries + "provenance: {mode: off}", registries + "provenance:",
				"registries: [{name: example.com/s, src: true}, {name: example.com/p, public-name: p.example.com, attestations: true, referrers: accepted}]",
				registries + "images:\n- {name: a/b, dmap: {" + digest + ": [1.10, v1, true, 2021-01-01]}}"},
			bad: []string{
				"{}", "images: []", registries + "image: []", "registries: [{name: example.com/s, src: true}]",
				"registries: [{name: example.com/s}, {name: example.com/p}]",
				"registries: [{name: staging, src: true}, {name: example.com/p}]",
				"registries: [{name: example.com/s, src: true, absent-status: [403]}, {name: example.com/p}]",
				"registries: [{name: example.com/s, src: true}, {name: example.com/p, mirrors: [example.com/q]}]",
				"registries: [{name: example.com/s, src: true}, {name: example.com/p, absent-status: [403, 429]}]",
				registries + "provenance: {mode: require}", registries + "provenance: {mode: all}", registries + "provenance: {mode: }",
				registries + strings.Replace(policy, "level: 2", "level: 1", 1), registries + strings.Replace(policy, "sources: [s]", "sources: []", 1),
				registries + strings.Replace(policy, "refs: [refs/heads/main]", "refs: [main]", 1), registries + strings.Replace(policy, "refs: ", "events: [push], refs: ", 1),
				registries + strings.Replace(policy, "images: [a]", "images: [a/]", 1), registries + strings.Replace(policy, "sources: [s]", "sources: [s@v1]", 1),
				"registries: [{name: example.com/s, src: true, public-name: p.example.com}, {name: example.com/p}]",
				"registries: [{name: example.com/s, src: true}, {name: example.com/p, referrers: some}]",
				registries + "provenance: {modes: off}", registries + "provenance: x",
				registries + "images: [{name: a}]", registries + "images: [{dmap: {}}]", registries + "images: [{name: A, dmap: {}}]",
				registries + "images: [{name: a, dmap: {" + digest + ": v1}}]", registries + "images: [{name: a, dmap: {sha256:0: [v1]}}]",
				registries + "images: [{name: a, dmap: {" + digest + ": [-v1]}}]", registries + "images: [{name: a, retag: [{tag: x}]}]",
				registries + "images: [{name: a, retag: [{tag: x, src_build_tag: y, digest: z}]}]",
			},
		},
		"thin":   {good: []string{registries + "imagesPath: x"}, bad: []string{registries + "images: []"}},
		"images": {good: []string{"", "[]", "# nothing", "- {name: a, dmap: {" + digest + ": []}}"}, bad: []string{"images: []", "- {name: a, tags: []}"}},
		"native": {
			good: []string{"images: [{name: example.com/a, src_build_tag: b, tag: 4.0}]"},
			bad:  []string{"images: []", "images: [{name: a, src_build_tag: b, tag: c}]", "images: [{name: example.com/a, tag: c}]"},
		},
		"sources": {
			good: []string{source("tag: v1"), source("numerical: "), source("semver: {range: 1.x}"), source("alias: latest, imageTags: a.json"), source("gitRevision: {repository: ., branch: main}")},
			bad:  []string{"- {name: a}", source(""), source("tag: v1, digest: " + digest), source("alias: x"), source("semver: {}"), source("gitRevision: {branch: main}"), source("numerical: {order: up}")},
		},
		"lock": {
			good: []string{"[]", "- {name: a, intent: i, digest: " + digest + ", tags: [v1], git: {behind: 1, by: tag}}"},
			bad:  []string{"- {name: a}", "- {name: a, digest: x}", "- {name: a, digest: " + digest + ", when: now}"},
		},
		"image-tags": {
			good: []string{`{}`, `{"aliases": {"latest": "1.x"}, "labels": {"1.x": {"version": "1.2"}}}`},
			bad:  []string{`{"alias": {}}`, `{"aliases": {"a": ""}}`, `{"labels": {"a": {"name": "x"}}}`, `{"labels": {"a": {"B": "x"}}}`},
		},
		"report": {bad: []string{"{}", `{"version": 2}`}},
		"":       {good: []string{registries, "[]", source("tag: v1")}, bad: []string{"{}", "a: b", "- {name: a}"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := schemaOf(t, kind)
			for _, text := range tc.good {
				if err := fits(s, text); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			}
			for _, text := range tc.bad {
				if fits(s, text) == nil {
					t.Errorf("the schema: got no error, want one for %s", text)
				}
				if slices.Contains(manifestKinds, kind) && accepted(kind, text) {
					t.Errorf("cip itself: got no error, want one for %s", text)
				}
			}
		})
	}
}

// A lock and a report as cip writes them fit their schemas.
func TestSchemasOfWhatIsWritten(t *testing.T) {
	t.Parallel()
	d := image.Hash("sha256:" + strings.Repeat("0", 64))
	lock, err := selector.EncodeLocks([]selector.Lock{{
		Name: "a", Intent: "i", Digest: d, Tag: "1.10", Tags: []string{"1.0"}, TagList: "t", Ref: "r",
		Git:    &selector.LockGit{Repository: "r", Branch: "main", Behind: 2, By: "tree"},
		Alias:  &selector.LockAlias{File: "f", Path: []string{"latest", "1.10"}, Labels: map[string]string{"version": "2"}},
		Rebase: &selector.LockRebase{App: d, From: selector.LockBase{Reference: "r", TopLayer: "l"}, PlatformAPI: "0.12"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := fits(schemaOf(t, "lock"), string(lock)); err != nil {
		t.Errorf("%v\n%s", err, lock)
	}
	m := filepath.Join(t.TempDir(), "m.yaml")
	bad := "registries: [{name: 'localhost:1/s', src: true}, {name: 'localhost:1/p'}]\nimages: [{name: a, dmap: {bad: [x]}}]\n"
	if err := os.WriteFile(m, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"json", "yaml"} {
		var out, stderr bytes.Buffer
		s := streams{out: &out, err: &stderr, getenv: func(string) string { return "" }}
		if code := execute(t.Context(), newRootCmd(s), []string{"run", "--manifest=" + m, "-o", format}, s); code != exitFailed {
			t.Fatalf("got exit code %d, want %d: %s", code, exitFailed, &stderr)
		}
		if format == "json" && !json.Valid(out.Bytes()) {
			t.Fatalf("got output that is not JSON, want JSON: %s", &out)
		}
		if err := fits(schemaOf(t, "report"), out.String()); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
	}
}

// An editor shows the description of what does not match a pattern, not the pattern.
func TestSchemaExplainsPatterns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../schema/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var all any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	patterns := 0
	var walk func(at string, node any)
	walk = func(at string, node any) {
		switch node := node.(type) {
		case map[string]any:
			if _, ok := node["pattern"].(string); ok {
				patterns++
				if node["description"] == nil {
					t.Errorf("%s: got a pattern without a description, want both", at)
				}
			}
			for key, sub := range node {
				walk(at+"/"+key, sub)
			}
		case []any:
			for i, sub := range node {
				walk(fmt.Sprint(at, "/", i), sub)
			}
		}
	}
	walk("", all)
	if patterns < 5 {
		t.Errorf("got %d patterns, want some", patterns)
	}
}
