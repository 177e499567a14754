// Package archtest holds the rule of who may import whom, as a test. It has no code.
package archtest

import (
	"errors"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed names, for each package under pkg/, the siblings that it may import,
// and for a pure one the modules too. Packages below it (internal/...) follow its
// row. The flow is manifest → plan ← inventory ← registry, plan → promote → output.
var allowed = map[string][]string{
	"add":        {"image", "inventory", "manifest", "plan", "yamlread", "golang.org/x/sync/errgroup"},                                        // computes edits of manifests
	"attest":     {"evidence", "image", "inventory", "manifest", "memo", "plan", "promote", "provenance", "registry", "secret", "strictjson"}, // writes what is known about a promotion, after it
	"audit":      {"git", "image", "inventory", "load", "manifest", "output", "plan", "registry", "strictjson"},                               // a server, not a part of the flow
	"check":      {"image", "inventory", "manifest", "plan", "provenance", "golang.org/x/sync/errgroup"},
	"evidence":   {"image", "inventory", "manifest", "memo", "provenance", "registry", "strictjson"},
	"git":        {"secret"},                                                                      // trees of files, whatever is in them
	"history":    {"git", "image", "load", "manifest"},                                            // follows tags of manifests through commits
	"image":      {"github.com/Masterminds/semver/v3"},                                            // the order of versions is that of tags
	"imagetags":  {"image", "yamlread"},                                                           // its faults are those of manifests
	"importer":   {"image", "yamlread", "github.com/Masterminds/semver/v3", "go.yaml.in/yaml/v3"}, // files of other tools
	"inventory":  {"image"},
	"load":       {"git", "importer", "manifest", "selector", "tree"},                                                                                    // opens the files that manifest parses
	"lookup":     {"git", "image", "inventory", "load", "manifest", "memo", "output", "rebase", "registry", "resolve", "selector", "strictjson", "tree"}, // reads and writes for resolve
	"manifest":   {"image", "provenance", "selector", "yamledit", "yamlread", "go.yaml.in/yaml/v3"},
	"memo":       {},                                                                                                                                       // one result for each key, whatever it is
	"output":     {"add", "check", "history", "image", "imagetags", "inventory", "manifest", "plan", "propose", "rebase", "resolve", "selector", "verify"}, // formats the values of other packages
	"plan":       {"image", "inventory", "manifest"},
	"promote":    {"check", "evidence", "image", "inventory", "manifest", "memo", "plan", "provenance", "registry", "strictjson", "transfer"},
	"propose":    {"git", "secret"},                                                  // proposes changes of files, whatever is in them
	"provenance": {"image", "strictjson", "yamlread", "go.yaml.in/yaml/v3"},          // policies, read with the manifests that they belong to
	"rebase":     {"image", "inventory", "promote", "registry", "strictjson"},        // makes an image and pushes it
	"registry":   {"image", "inventory", "manifest", "memo", "secret", "strictjson"}, // decides nothing, so it knows no plan; of manifests it needs the settings of registries
	"resolve":    {"image", "imagetags", "manifest", "selector", "github.com/Masterminds/semver/v3", "golang.org/x/sync/errgroup"},
	"scan":       {"check", "image", "load", "yamlread"},                                          // runs scanners
	"secret":     {},                                                                              // what must not be printed, wherever it came from
	"selector":   {"image", "yamlread", "github.com/Masterminds/semver/v3", "go.yaml.in/yaml/v3"}, // read with the manifests that they belong to
	"strictjson": {},
	"transfer":   {"image", "inventory", "memo", "registry"},                                                                         // moves blobs, and knows no manifest or plan
	"tree":       {},                                                                                                                 // files on disk, whatever is in them
	"verify":     {"attest", "check", "evidence", "git", "image", "inventory", "load", "manifest", "plan", "provenance", "registry"}, // follows records to manifests in commits
	"yamledit":   {"yamlread", "go.yaml.in/yaml/v3"},                                                                                 // YAML without keys: the caller knows them
	"yamlread":   {"image", "go.yaml.in/yaml/v3"},                                                                                    // strict YAML, for manifests and selectors
}

// pure packages decide and never look: what they need is handed to them.
var pure = []string{"add", "image", "inventory", "manifest", "plan", "resolve", "check", "imagetags", "importer", "provenance", "selector", "yamledit", "yamlread"}

// forTests are packages that only tests import.
var forTests = []string{"internal/registrytest", "internal/gittest", "internal/sigstoretest"}

// vocabulary are packages of go-containerregistry that hold types, and that every package may import.
var vocabulary = []string{
	"github.com/google/go-containerregistry/pkg/name",
	"github.com/google/go-containerregistry/pkg/v1",
	"github.com/google/go-containerregistry/pkg/v1/types",
}

// impure are the standard library's ways out of a pure package, with what is below them.
var impure = []string{"log", "net", "os", "path/filepath", "syscall"}

// harmless are the imports of that kind which a pure package has a reason for.
var harmless = map[string][]string{
	"image": {"net"}, // host:port and IP syntax; golangci-lint forbids its dialing and looking up
}

func TestImports(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, pkg := range packages(t) {
		name, ok := strings.CutPrefix(pkg.Dir, "pkg/")
		if name, _, _ = strings.Cut(name, "/"); ok && !seen[name] {
			seen[name] = true
			if _, ok := allowed[name]; !ok {
				t.Errorf("pkg/%s has no row in the table of internal/archtest: add one, with a reason in the package comment", name)
			}
		}
		for _, path := range pkg.Imports {
			if why := objection(pkg.Dir, path); why != "" {
				at := pkg.ImportPos[path][0]
				t.Errorf("%s/%s:%d imports %s: %s", pkg.Dir, filepath.Base(at.Filename), at.Line, path, why)
			}
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("the table has a row for pkg/%s, which does not exist: remove the row", name)
		}
	}
}

// objection says why the package in dir may not import path, or "" if it may.
func objection(dir, path string) string {
	path, ours := strings.CutPrefix(path, "sigs.k8s.io/k8s-container-image-promoter/")
	name, ok := strings.CutPrefix(dir, "pkg/")
	name, _, _ = strings.Cut(name, "/")
	isPure := ok && slices.Contains(pure, name)
	switch {
	case dir == "internal/sigstoretest" && ours && path != "internal/registrytest":
		return "of the project's packages it may import internal/registrytest alone, so that every package's tests can use it"
	case dir == "internal/sigstoretest" && ours:
		return ""
	case ours && slices.Contains(forTests, path):
		return "it is for tests"
	case dir == "internal/registrytest" && ours && path != "pkg/image":
		return "of the project's packages it may import pkg/image alone, so that every package's tests can use it"
	case !ok:
		return ""
	case within(path, "testing"):
		return "testing is for tests"
	case ours && within(path, "pkg/"+name):
		return ""
	case ours && !slices.Contains(allowed[name], strings.TrimPrefix(path, "pkg/")):
		return "the table does not allow it"
	case slices.Contains(vocabulary, path):
		return ""
	case isPure && !ours && strings.Contains(path, ".") && !slices.Contains(allowed[name], path):
		return "a pure package imports only the modules in its row"
	case isPure && !ours && slices.ContainsFunc(impure, func(p string) bool { return within(path, p) }) &&
		!slices.Contains(harmless[name], path) && path != "net/netip" && path != "net/url":
		return "a pure package has no network, log or environment"
	}
	return ""
}

func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// packages returns the module's packages as their files are, on every
// platform, with Dir relative to the module. The go command would return the same,
// but a cached test result would not notice when its answer changes.
func packages(t *testing.T) []*build.Package {
	t.Helper()
	const root = "../.."
	ctx := build.Default
	ctx.UseAllFiles = true
	var pkgs []*build.Package
	err := filepath.WalkDir(root, func(dir string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		_, nested := os.Stat(filepath.Join(dir, "go.mod"))
		if name := entry.Name(); dir != root && (nested == nil || name == "testdata" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		pkg, err := ctx.ImportDir(dir, 0)
		if none := (*build.NoGoError)(nil); errors.As(err, &none) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, dir)
		pkg.Dir = filepath.ToSlash(rel)
		pkgs = append(pkgs, pkg)
		return err
	})
	if err != nil {
		t.Fatalf("reading the packages: %v", err)
	}
	return pkgs
}
