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

// servers are commands that do not end, or that need a git server. Other tests run them.
var servers = []string{"demo", "audit", "completion", "pr"}

// step is a command of cip in a page with its exit code, or a file to write.
type step struct {
	args []string
	code int // 1 or 2 if the comment says so, else 0
	file string
	text string
}

var (
	fileRE = regexp.MustCompile(`^# (\S+\.yaml)\n`)   // the first line of a file that commands use
	codeRE = regexp.MustCompile(`exit code ([12])\b`) // in the comment of a command
)

// steps returns the commands of cip in a page and the files that they use, in their order.
// Servers are left out.
func steps(page string) []step {
	var all []step
	for _, m := range fenceRE.FindAllStringSubmatch(page, -1) {
		if name := fileRE.FindStringSubmatch(m[2]); m[1] == "yaml" && name != nil {
			all = append(all, step{file: name[1], text: m[2]})
		}
		if m[1] != "sh" {
			continue
		}
		for line := range strings.Lines(m[2]) {
			command, comment, _ := strings.Cut(strings.TrimSpace(line), " #")
			words, err := shellquote.Split(strings.TrimPrefix(command, "bin/"))
			if err != nil || len(words) == 0 || words[0] != "cip" || slices.Contains(servers, strings.Join(words[1:min(2, len(words))], " ")) {
				continue
			}
			s := step{args: words[1:]}
			if code := codeRE.FindStringSubmatch(comment); code != nil {
				s.code = int(code[1][0] - '0')
			}
			all = append(all, s)
		}
	}
	return all
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
		page  string
		json  string // file of the first JSON block
		least int    // commands
	}{
		"selectors":    {page: "docs/selectors.md", least: 4},
		"rebase":       {page: "docs/rebase.md", least: 8},
		"image tags":   {page: "docs/image-tags.md", json: "app.json", least: 4},
		"retag":        {page: "docs/retag.md", least: 3},
		"README":       {page: "README.md", least: 28},
		"checks":       {page: "docs/checks.md", least: 5},
		"handbook":     {page: "docs/handbook.md", least: 12},
		"retag-images": {page: "docs/from-retag-images.md", least: 4},
		"regsync":      {page: "docs/from-regsync.md", least: 6},
		"skopeo":       {page: "docs/from-skopeo.md", least: 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := readPage(t, tc.page)
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
			ran, imported := 0, ""
			page = strings.NewReplacer(demo.Host, reg.Host, "=DIR", "=manifests/demo").Replace(page)
			for _, s := range steps(page) {
				if s.file != "" {
					if err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.text), 0o600); err != nil {
						t.Fatal(err)
					}
					continue
				}
				ran++
				o := example(t, dir, s.args...)
				if o.code != s.code {
					t.Errorf("cip %s: got exit code %d, want %d\n%s", strings.Join(s.args, " "), o.code, s.code, o)
				}
				if s.args[0] == "import" {
					imported += o.stdout + o.stderr
				}
			}
			if imported != "" {
				printed(t, page, imported)
			}
			if ran < tc.least {
				t.Errorf("got %d commands, want at least %d", ran, tc.least)
			}
		})
	}
}

// printed fails the test unless the manifests and the messages in a page were printed.
func printed(t *testing.T, page, output string) {
	t.Helper()
	var all []string
	for _, text := range blocks(page, "yaml") {
		if strings.HasPrefix(text, "registries:") {
			all = append(all, text)
		}
	}
	for _, text := range blocks(page, "text") {
		all = append(all, strings.Split(strings.TrimSpace(text), "\n")...)
	}
	for _, text := range all {
		if !strings.Contains(output, text) {
			t.Errorf("got no such output, want this text of the page:\n%s\noutput:\n%s", text, output)
		}
	}
	if len(all) == 0 {
		t.Error("got no manifests and no messages in the page, want some")
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

// wrapped returns an example in a page as a plain manifest or a native file, which cip can
// check, or false if it is neither part of one nor a whole one.
func wrapped(text string) (string, bool) {
	const registries = "registries: [{name: localhost:5000/staging, src: true}, {name: localhost:5000/prod}]\n"
	has := func(key string) bool { return regexp.MustCompile(`(?m)^` + key + `:`).MatchString(text) }
	item := func(key string) bool { return regexp.MustCompile(`(?m)^  ` + key + `:`).MatchString(text) }
	switch {
	case has("kind"): // of Kubernetes or kustomize
		return "", false
	case has("registries"), has("images") && item("src_build_tag"):
		return text, true
	case has("images"):
		return registries + text, true
	case has("sources"):
		return registries + "images: []\n" + text, true
	case item("dmap"), item("retag"):
		return registries + "images:\n" + text, true
	case item("select"):
		return registries + "images: []\nsources:\n" + text, true
	}
	return "", false
}

// TestExampleFilesAreValid checks the YAML files that pages print: manifests, lists of images,
// selectors and native files. Files of other programs are left out.
func TestExampleFilesAreValid(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range append(pages, "../README.md") {
		for _, example := range blocks(readPage(t, strings.TrimPrefix(filepath.ToSlash(page), "../")), "yaml") {
			text, ours := wrapped(example)
			if !ours {
				continue
			}
			checked++
			checkExample(t, page, text)
		}
	}
	if checked < 14 {
		t.Errorf("got %d files, want at least 14", checked)
	}
}

// checkExample runs cip check on a file. Selectors need not be resolved.
func checkExample(t *testing.T, page, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := example(t, filepath.Dir(file), "check", "--offline", "--skip=removal", "--manifest="+file)
	unresolved := strings.Count(o.stdout, "is not resolved: there is no entry in the lock")
	if findings := strings.Count(o.stdout, ": valid: "); findings != unresolved || o.code != min(1, unresolved) {
		t.Errorf("%s: got exit code %d and %d findings, want none but of %d selectors that are not resolved\n%s\n%s",
			page, o.code, findings, unresolved, text, o)
	}
}
