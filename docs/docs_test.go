// Package docs_test holds the documentation against the code: what it names exists.
package docs_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/internal/cli"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

var (
	codeRE       = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]+`") // blocks and spans
	flagRE       = regexp.MustCompile(`--[a-z][a-z-]*`)
	foreignRE    = regexp.MustCompile("(?m)^ *(?:aws|git|cosign|slsa-verifier|sha256sum|kubectl|curl|kpromo|/kpromo) (?:.*\\\\\n)*.*$") // commands of other programs
	exampleRE    = regexp.MustCompile(`(?m)^ *cip .*`)
	commandRE    = regexp.MustCompile("(?m)(?:^|`)(?:bin/)?cip ([a-z][a-z-]*)")
	identifierRE = regexp.MustCompile(`[a-z-]+(\.[A-Za-z]+)+\b`)
	declaredRE   = regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type |var |const )(\w+)`)
	testRE       = regexp.MustCompile("`(Test[A-Z]\\w*)`")
	testFuncRE   = regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(t \*testing\.T\)`)
	pathRE       = regexp.MustCompile("`((?:cmd|docs|internal|manifests|pkg|test-e2e|tools)/[^` <*]*)")
	linkRE       = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`) // to files
)

// read returns the texts of the files that match a pattern, by name.
func read(t *testing.T, pattern string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: no files: %v", pattern, err)
	}
	all := map[string]string{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(raw)
	}
	return all
}

// pages returns the pages in this directory and the README.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := read(t, "*.md")
	all["../README.md"] = read(t, "../README.md")["../README.md"]
	return all
}

func TestCommandsAndFlagsExist(t *testing.T) {
	t.Parallel()
	cip := filepath.Join(t.TempDir(), "cip")
	run := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("go", "build", "-o", cip, "sigs.k8s.io/k8s-container-image-promoter/cmd/cip")
	known := map[string]bool{}
	var help func(command ...string) string
	help = func(command ...string) string {
		text := run(cip, append(command, "--help")...)
		_, list, _ := strings.Cut(text, "\nAvailable Commands:\n")
		list, _, _ = strings.Cut(list, "\n\n")
		for _, sub := range regexp.MustCompile(`(?m)^  ([a-z][a-z-]*)  `).FindAllStringSubmatch(list, -1) {
			known[sub[1]] = known[sub[1]] || len(command) == 0
			text += help(slices.Concat(command, sub[1:2])...)
		}
		return text
	}
	for _, flag := range flagRE.FindAllString(help(), -1) {
		known[flag] = true
	}
	examples := 0
	for page, text := range read(t, "examples/*.yaml") {
		for _, line := range exampleRE.FindAllString(text, -1) {
			examples++
			for _, word := range append(flagRE.FindAllString(line, -1), strings.Fields(line)[1]) {
				if !known[word] {
					t.Errorf("%s: cip has no %s", page, word)
				}
			}
		}
	}
	if examples < 5 {
		t.Errorf("got %d commands in examples, want more: they are not found any more", examples)
	}
	former := append(formerNames(t, "formerFlags"), kpromoFlags(t)...)
	for page, text := range pages(t) {
		for _, flag := range flagRE.FindAllString(foreignRE.ReplaceAllString(text, ""), -1) {
			if !known[flag] && (page != kpromoPage || !slices.Contains(former, strings.TrimPrefix(flag, "--"))) {
				t.Errorf("%s: there is no flag %s", page, flag)
			}
		}
		for _, command := range commandRE.FindAllStringSubmatch(strings.Join(codeRE.FindAllString(text, -1), "\n"), -1) {
			if !known[command[1]] {
				t.Errorf("%s: there is no command cip %s", page, command[1])
			}
		}
	}
}

// kpromoPage is the page about flags and commands of kpromo.
const kpromoPage = "from-kpromo.md"

// formerNames returns the names in a table of internal/kpromo about flags or commands of kpromo.
func formerNames(t *testing.T, table string) []string {
	t.Helper()
	const file = "../internal/kpromo/former.go"
	_, text, _ := strings.Cut(read(t, file)[file], "\nvar "+table+" = ")
	text, _, _ = strings.Cut(text, "\n}")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\t"([a-z-]+)":`).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	if len(names) < 5 {
		t.Fatalf("%s: got the names %q, want more", table, names)
	}
	return names
}

// kpromoFlags returns the names of the flags of cip kpromo.
func kpromoFlags(t *testing.T) (names []string) {
	t.Helper()
	kpromo, _, err := cli.Cip.Command().Find([]string{"kpromo"})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range kpromo.Commands() {
		command.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	}
	if len(names) < 50 {
		t.Fatalf("got the flags %q of cip kpromo, want more", names)
	}
	return names
}

// TestKpromoPage checks that the page names each flag and command of kpromo that cip explains.
func TestKpromoPage(t *testing.T) {
	t.Parallel()
	page := read(t, kpromoPage)[kpromoPage]
	for _, flag := range formerNames(t, "formerFlags") {
		if !strings.Contains(page, "`--"+flag+"`") {
			t.Errorf("%s: got no flag --%s, want it", kpromoPage, flag)
		}
	}
	for _, flag := range kpromoFlags(t) {
		if !strings.Contains(page, "`--"+flag) {
			t.Errorf("%s: got no flag --%s of cip kpromo, want it", kpromoPage, flag)
		}
	}
	for _, command := range formerNames(t, "formerCommands") {
		if !strings.Contains(page, "`kpromo "+command+"`") {
			t.Errorf("%s: got no command kpromo %s, want it", kpromoPage, command)
		}
	}
}

// TestExamplesParse checks that the examples for CI systems are YAML with the keys without
// which those systems do not run them, that they comment once, and that those that
// promote run one at a time and keep the report.
func TestExamplesParse(t *testing.T) {
	t.Parallel()
	type example struct {
		keys     []string
		comments int    // on a pull request
		one      string // what makes runs wait for each other; empty: they may overlap
		kept     string // what keeps the report
	}
	want := map[string]example{
		"examples/github-actions.yaml": {[]string{"on", "jobs", "permissions"}, 1, "", ""},
		"examples/github-promote.yaml": {[]string{"on", "jobs", "permissions", "concurrency"}, 0, "cancel-in-progress: false", "upload-artifact"},
		"examples/prow-job.yaml":       {[]string{"presubmits", "postsubmits", "periodics"}, 1, "max_concurrency: 1", `--report="$ARTIFACTS/report.json"`},
		"examples/gitlab-ci.yaml":      {[]string{"check", "promote"}, 1, "resource_group: promote", "paths: [report.json]"},
		"examples/cloudbuild.yaml":     {[]string{"steps", "substitutions"}, 0, "", "gsutil"},
	}
	for page, text := range read(t, "examples/*.yaml") {
		var doc map[string]yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Errorf("%s: %v", page, err)
		}
		if want[page].keys == nil {
			t.Errorf("%s: the test has no expectation for it", page)
		}
		for _, key := range want[page].keys {
			if _, ok := doc[key]; !ok {
				t.Errorf("%s: there is no %s", page, key)
			}
		}
		if n := strings.Count(text, "comment.md") - strings.Count(text, "[comment.md]"); n != 2*want[page].comments {
			t.Errorf("%s: comment.md is there %d times, want it written and posted %d times", page, n, want[page].comments)
		}
		promotes := strings.Contains(text, "--confirm")
		if promotes != (want[page].kept != "") || promotes && !strings.Contains(text, "--since=") {
			t.Errorf("%s: it promotes: got %v, want %v with --since", page, promotes, want[page].kept != "")
		}
		for _, part := range []string{want[page].one, want[page].kept} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: there is no %s", page, part)
			}
		}
		delete(want, page)
	}
	for page := range want {
		t.Errorf("there is no %s", page)
	}
}

// The examples for the auditor parse, and the flags of the service exist.
func TestAuditorExamples(t *testing.T) {
	t.Parallel()
	for page, text := range read(t, "examples/auditor/*") {
		var err error
		switch filepath.Ext(page) {
		case ".yaml":
			err = yaml.Unmarshal([]byte(text), &map[string]any{})
		case ".json":
			err = json.Unmarshal([]byte(text), &map[string]any{})
		case ".sh":
			err = exec.Command("bash", "-n", page).Run()
		case ".service":
			help, _ := exec.Command("go", "run", "sigs.k8s.io/k8s-container-image-promoter/cmd/cip-auditor", "--help").CombinedOutput()
			for _, flag := range flagRE.FindAllString(text, -1) {
				if !strings.Contains(string(help), flag+" ") {
					t.Errorf("%s: got a flag %s, want one of\n%s", page, flag, help)
				}
			}
		}
		if err != nil {
			t.Errorf("%s: %v", page, err)
		}
	}
	page := read(t, "audit-setup.md")["audit-setup.md"]
	for name := range read(t, "examples/auditor/*") {
		if !strings.Contains(page, "]("+name+")") {
			t.Errorf("audit-setup.md: got no link to %s, want one", name)
		}
	}
	for system := range event.Decoders() {
		if !strings.Contains(page+fmt.Sprint(read(t, "examples/auditor/*")), "audit.example.com/events/"+system) {
			t.Errorf("audit-setup.md: got no address for %s, want one", system)
		}
	}
}

func TestIdentifiersAndFilesExist(t *testing.T) {
	t.Parallel()
	packages := map[string]map[string]bool{}
	for _, pattern := range []string{"../pkg/*/*.go", "../pkg/*/internal/*/*.go"} {
		for file, text := range read(t, pattern) {
			name := filepath.Base(filepath.Dir(file))
			if packages[name] == nil {
				packages[name] = map[string]bool{}
			}
			for _, d := range declaredRE.FindAllStringSubmatch(text, -1) {
				packages[name][d[1]] = true
			}
		}
	}
	for page, text := range pages(t) {
		for _, id := range identifierRE.FindAllString(strings.Join(codeRE.FindAllString(text, -1), "\n"), -1) {
			parts := strings.Split(id, ".")
			names, ours := packages[parts[0]]
			for _, name := range parts[1:] {
				if ours && parts[1] != "example" && parts[1] != "gitlab" && parts[1] != "go" && parts[1] != "txtar" && parts[1] != "yaml" && !names[name] { // registry.example.com is a host, check.go and image.yaml are files
					t.Errorf("%s: there is no %s", page, id)
				}
			}
		}
		for _, m := range append(pathRE.FindAllStringSubmatch(text, -1), linkRE.FindAllStringSubmatch(text, -1)...) {
			dir := filepath.Dir(page)
			if m[0][0] == '`' {
				dir = ".."
			}
			if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	}
}

// TestTestsExist holds that there are the tests that pages name, wherever they are.
func TestTestsExist(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	for _, root := range []string{"../cmd", "../internal", "../pkg", "../test-e2e"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, m := range testFuncRE.FindAllStringSubmatch(string(raw), -1) {
				tests[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := 0
	for page, text := range pages(t) {
		for _, m := range testRE.FindAllStringSubmatch(text, -1) {
			named++
			if !tests[m[1]] {
				t.Errorf("%s: there is no test %s", page, m[1])
			}
		}
	}
	if named < 50 {
		t.Errorf("got %d tests named in the pages, want more: they are not found any more", named)
	}
}

var (
	anchorRE  = regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`)
	headingRE = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noAnchor  = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// TestAnchorsExist holds that links lead to headings, under the names that GitHub gives them.
func TestAnchorsExist(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for page, text := range all {
		for _, link := range anchorRE.FindAllStringSubmatch(text, -1) {
			to := page
			if link[1] != "" {
				to = strings.TrimPrefix(filepath.ToSlash(filepath.Join(filepath.Dir(page), link[1])), "../docs/")
			}
			target, known := all[to]
			if !known {
				continue // a page elsewhere
			}
			var anchors []string
			for _, h := range headingRE.FindAllStringSubmatch(target, -1) {
				anchors = append(anchors, strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
			}
			if !slices.Contains(anchors, link[2]) {
				t.Errorf("%s: got a link to #%s of %s, want one of %v", page, link[2], to, anchors)
			}
		}
	}
}

// TestRecipes holds that each recipe has the accounts, a manifest, and an environment for the
// hosts in the manifest.
func TestRecipes(t *testing.T) {
	t.Parallel()
	authRE := regexp.MustCompile(`DOCKER_AUTH_CONFIG='(.*)'`)
	recipes := strings.Split(read(t, "recipes.md")["recipes.md"], "\n## ")[2:] // after the table, and what is for all
	if len(recipes) != 12 {
		t.Errorf("got %d recipes, want 12", len(recipes))
	}
	for _, recipe := range recipes {
		title, text, _ := strings.Cut(recipe, "\n")
		for _, part := range []string{"\n| account |", "\n| promoter", "\n| reader", "\n```yaml\nregistries:\n", "\n```sh\n", "cip run --thin-manifest-dir=DIR --confirm\n"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: got no %q, want it", title, part)
			}
		}
		for _, m := range authRE.FindAllStringSubmatch(text, -1) {
			var config struct {
				Auths map[string]struct{ Username, Password string }
			}
			if err := json.Unmarshal([]byte(m[1]), &config); err != nil {
				t.Errorf("%s: %s: %v", title, m[1], err)
			}
			for host, auth := range config.Auths {
				host = strings.TrimSuffix(strings.TrimPrefix(host, "https://index."), "/v1/")
				if !strings.Contains(text, "\n- name: "+host+"/") || auth.Username == "" || auth.Password == "" {
					t.Errorf("%s: got a credential %+v for %s, want one for a host in the manifest", title, auth, host)
				}
			}
		}
	}
}
