package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kballard/go-shellquote"

	"sigs.k8s.io/k8s-container-image-promoter/internal/demo"
	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
)

// fenceRE matches a block of code in a page: its language and its text.
var fenceRE = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```")

// blocks returns the blocks of a language in a page.
func blocks(page, language string) []string {
	var all []string
	for _, m := range fenceRE.FindAllStringSubmatch(page, -1) {
		if m[1] == language {
			all = append(all, m[2])
		}
	}
	return all
}

// servers are commands that do not end. Other tests run them.
var servers = []string{"demo", "audit", "completion"}

// commands returns the commands of cip in a page, without their comments, and their exit
// codes: 2 if the comment says so, else 0.
func commands(page string) (lines [][]string, codes []int) {
	for _, block := range blocks(page, "sh") {
		for line := range strings.Lines(block) {
			command, comment, _ := strings.Cut(strings.TrimSpace(line), " #")
			words, err := shellquote.Split(strings.TrimPrefix(command, "bin/"))
			if err != nil || len(words) == 0 || words[0] != "cip" || slices.Contains(servers, strings.Join(words[1:min(2, len(words))], " ")) {
				continue
			}
			code := 0
			if strings.Contains(comment, "exit code 2") {
				code = 2
			}
			lines, codes = append(lines, words[1:]), append(codes, code)
		}
	}
	return lines, codes
}

// section returns the section of a page that starts with a heading.
func section(page, heading string) string {
	_, text, _ := strings.Cut(page, "\n"+heading+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// readPage returns a page of the documentation.
func readPage(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestExamplesRun runs the commands that pages print, in their order, against the
// registry of cip demo. Files that they name are those of manifests/ and of the page.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		page, heading string
		json          string // file of the first JSON block
		least         int    // commands
	}{
		"selectors":  {page: "docs/selectors.md", least: 4},
		"rebase":     {page: "docs/rebase.md", least: 8},
		"image tags": {page: "docs/image-tags.md", json: "app.json", least: 4},
		"retag":      {page: "docs/retag.md", least: 3},
		"README":     {page: "README.md", least: 28},
		"checks":     {page: "docs/checks.md", least: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := readPage(t, tc.page)
			if tc.heading != "" {
				page = section(page, tc.heading)
			}
			reg, err := demo.Start(t.Context(), "0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(reg.Close)
			dir := t.TempDir()
			copyManifests(t, filepath.Join(dir, "manifests"), reg.Host)
			commit := gittest.CommitAll(t, dir)
			addFile(t, filepath.Join(dir, ".git/refs/remotes/origin/main"), commit, 0o600)
			for scanner, report := range map[string]string{"trivy": `{"SchemaVersion": 2, "Results": []}`, "grype": `{"matches": []}`} {
				addFile(t, filepath.Join(dir, "bin", scanner), "#!/bin/sh\necho '"+report+"'\n", 0o700)
			}
			if tc.json != "" {
				if err := os.WriteFile(filepath.Join(dir, tc.json), []byte(blocks(page, "json")[0]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			lines, codes := commands(page)
			if len(lines) < tc.least {
				t.Errorf("got %d commands, want at least %d", len(lines), tc.least)
			}
			for i, line := range lines {
				for j := range line {
					line[j] = strings.ReplaceAll(line[j], demo.Host, reg.Host)
					line[j] = strings.ReplaceAll(line[j], "=DIR", "=manifests/demo")
				}
				if o := example(t, dir, line...); o.code != codes[i] {
					t.Errorf("cip %s: got exit code %d, want %d\n%s", strings.Join(line, " "), o.code, codes[i], o)
				}
			}
		})
	}
}

// example runs a command of cip in a directory. It sets no --report, which has another
// format in cip rebase.
func example(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	p := prepare(t, args...)
	p.Env, p.Dir = environment(p.dir), dir
	p.Env[0] += string(filepath.ListSeparator) + filepath.Join(dir, "bin")
	p.begin(t)
	return p.wait(t, runLimit)
}

// addFile writes a file and the directories above it.
func addFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// copyManifests copies the example manifests, with another registry in place of that of the demo.
func copyManifests(t *testing.T, to, host string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS("../manifests")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(strings.ReplaceAll(string(raw), demo.Host, host)), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestExampleFilesAreValid checks the YAML files that pages print: lists of selectors and
// native files.
func TestExampleFilesAreValid(t *testing.T) {
	t.Parallel()
	const registries = "registries: [{name: localhost:5000/staging, src: true}, {name: localhost:5000/prod}]\n"
	for page, least := range map[string]int{"docs/selectors.md": 3, "docs/image-tags.md": 1, "docs/retag.md": 1} {
		all := blocks(readPage(t, page), "yaml")
		if len(all) < least {
			t.Errorf("%s: got %d files, want at least %d", page, len(all), least)
		}
		for _, text := range all {
			file := filepath.Join(t.TempDir(), "m.yaml")
			args := []string{"check", "--offline", "--skip=removal", "--manifest=" + file}
			switch {
			case strings.HasPrefix(text, "images:"):
				args = []string{"retag", "--parse-only", "-f", file}
			case strings.HasPrefix(text, "sources:"):
				text = registries + "images: []\n" + text
			default:
				text = registries + "images: []\nsources:\n" + text
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			o := example(t, filepath.Dir(file), args...)
			unresolved := strings.Count(o.stdout, "is not resolved: there is no entry in the lock")
			if findings := strings.Count(o.stdout, ": valid: "); findings != unresolved || o.code != min(1, unresolved) {
				t.Errorf("%s: cip %s: got exit code %d and %d findings, want none but of %d selectors that are not resolved\n%s\n%s",
					page, strings.Join(args, " "), o.code, findings, unresolved, text, o)
			}
		}
	}
}
