package output

import (
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// commands are what CI systems obey in what a step prints.
var commands = []string{
	"::error::x", "  ::set-output name=x::y", "a\n::error::x", "a\r\n  ::stop-commands::x", "##[error]x", "a ##[add-mask]x", "###[group]x",
	"##vso[task.setvariable variable=x]y", "a##teamcity[x]", "\n##[error]x", "\u2028::error::x", "a\u0085::error::x",
	strings.Repeat("word ", 40) + "::error::x", "::", "\U000e0041\u202e##[x]",
}

// obeyed reports whether a CI system obeys any of what is printed, as they read lines.
func obeyed(text string) bool {
	return regexp.MustCompile(`(?m)##[A-Za-z]*\[|(^|[\r\n\x{85}\x{2028}])\s*::`).MatchString(text)
}

func TestForeignTextIsNoCommand(t *testing.T) {
	t.Parallel()
	for _, foreign := range commands {
		it := item("copy", "failed", foreign, foreign, foreign)
		it.Tags, it.Error, it.PreviousDigest = []string{foreign, foreign}, foreign, foreign
		r := &plan.Report{
			Version: 1, Manifests: plan.Origin{Path: foreign}, Items: []plan.ReportItem{it}, Faults: []plan.ReportFault{{File: foreign, Line: 1, Message: foreign}},
			Warnings: []string{foreign}, Requests: map[string]int{foreign: 1},
		}
		for _, f := range []Format{Text, JSON, YAML, CSV, Markdown} {
			text := encoded(t, r, f)
			if obeyed(text) {
				t.Errorf("a report of %q as %s is\n%s\nwant nothing that a CI system obeys", foreign, f, text)
			}
			read, back := map[Format]func([]byte, any) error{JSON: json.Unmarshal, YAML: func(b []byte, v any) error { return yaml.UnmarshalStrict(b, v) }}[f], plan.Report{}
			if read == nil {
				continue
			}
			if err := read([]byte(text), &back); err != nil {
				t.Errorf("a report of %q as %s: error %v\n%s", foreign, f, err, text)
			}
			equal(t, &back, complete(r))
		}
		s := inventory.Snapshot{{Name: foreign, Digests: []inventory.Tagged{{Digest: image.Hash(foreign), Tags: []string{foreign}}}}}
		for _, f := range []Format{JSON, YAML, CSV} {
			if text := written(t, func(w io.Writer) error { return WriteSnapshot(w, s, f) }); obeyed(text) {
				t.Errorf("a snapshot of %q as %s is\n%s\nwant nothing that a CI system obeys", foreign, f, text)
			}
		}
		c := &CheckReport{URI: func(s string) string { return s }, Findings: []check.Finding{{Rule: "valid", Level: check.Error, Pos: manifest.Pos{File: foreign, Line: 1}, Message: foreign}}}
		for _, f := range []Format{Text, JSON, Markdown, SARIF} {
			if text := writtenCheck(t, c, f); obeyed(text) {
				t.Errorf("a check of %q as %s is\n%s\nwant nothing that a CI system obeys", foreign, f, text)
			}
		}
		if text := string(escapeLines([]byte("+" + strings.ReplaceAll(foreign, "\n", "\n ") + "\n\t" + strings.TrimSpace(foreign) + "\n"))); obeyed(text) {
			t.Errorf("lines of %q become\n%s\nwant nothing that a CI system obeys", foreign, text)
		}
	}
}

// What is no command stays as it is.
func TestEscapeLeavesTheRest(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a::b", "dial tcp [::1]:5000", "# heading", "## heading", "x ##", "[##]", ": :", "sha256:aa"} {
		if got := Escape(text); got != text {
			t.Errorf("%q becomes %q, want it as it was", text, got)
		}
	}
	equal(t, string(escapeLines([]byte("a\tb\r\n\t::x\n \x1b\n"))), "a\tb\r\n\t\\x3a:x\n \\x1b\n")
}

func TestYAMLOfAnyText(t *testing.T) {
	t.Parallel()
	texts := append(slices.Clone(commands), "", "no", "Y", "~", "null", "1.10", "0x1", "1e3", "5000:30", "2001-01-01", "- a", "a: b", "a #b", "'", "\"", "{}", "\ufeff", "\x00", "a\n", " a ", "é", "\U0001f600")
	text := written(t, func(w io.Writer) error { return writeYAML(w, texts) })
	var back []string
	if err := yaml.Unmarshal([]byte(text), &back); err != nil {
		t.Fatal(err)
	}
	equal(t, back, texts)
	raw, err := json.Marshal(map[string]any{"b": 1, "a": 0.5, "c": nil, "d": []int{}, "e": map[string]int{}, "f": true})
	if err != nil {
		t.Fatal(err)
	}
	got := written(t, func(w io.Writer) error { return writeYAML(w, json.RawMessage(raw)) })
	equal(t, got, "a: 0.5\nb: 1\nc: null\nd: []\ne: {}\nf: true\n")
	if strings.Contains(text, "\u2028") {
		t.Errorf("got %+q, want escapes of what cannot be seen", text)
	}
}
