package manifest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSyntaxErrorsNameTheirLine(t *testing.T) {
	comment := strings.Repeat("# comment\n", 5)
	rules(t, []ruleTest{
		{"first line", "\ta: b\n", []string{"broken m.yaml:1:1: bad YAML: a tab may not indent a line"}},
		{"later line", "a: b\nc: d: e\n", []string{"broken m.yaml:2:1: bad YAML: mapping values are not allowed in this context"}},
		{"tab as indentation", "a:\n\t- b\n", []string{"broken m.yaml:2:1: bad YAML: a tab may not indent a line"}},
		{"open quote", "a: b\nc: \"x\nd: e\n", []string{"broken m.yaml:2:1: bad YAML: found unexpected end of stream"}},
		{"open bracket", "a: [1, 2\nb: c\n", []string{"broken m.yaml:1:1: bad YAML: did not find expected ',' or ']'"}},
		{"less indentation", comment + "images:\n- name: a\n  dmap:\n    x: [a]\n    y: [b]\n    z: [c]\n   q: [d]\n    r: [e]\n", []string{
			"broken m.yaml:12:1: bad YAML: did not find expected key",
		}},
		{"key in a list", comment + "- a\n- b\n- c\nd: e\n", []string{"broken m.yaml:9:1: bad YAML: did not find expected '-' indicator"}},
		{"last line without its end", "a: b\nc: d\n- e", []string{"broken m.yaml:3:1: bad YAML: did not find expected key"}},
		{"unknown anchor", "a: b # *x\nc: *xy\nd: [é, *x]\n", []string{"broken m.yaml:2:4: bad YAML: unknown anchor"}},
		{"unknown anchor in a list", "a: &xy b # *x\nc: *xy\nd: [é, *x]\n", []string{"broken m.yaml:3:8: bad YAML: unknown anchor"}},
		{"control character", "a: b\né: x\x01\n", []string{"broken m.yaml:2:5: bad YAML: control characters are not allowed"}},
		{"invalid UTF-8", "a: b\nc: x\xff\n", []string{"broken m.yaml:2:5: bad YAML: invalid leading UTF-8 octet"}},
		{"endless nesting", strings.Repeat("[", 20000), []string{"broken m.yaml:1:1: bad YAML: exceeded max depth of 10000"}},
	})
}

func TestTextBeforeASyntaxErrorIsRead(t *testing.T) {
	t.Parallel()
	set := plain(twoRegistries + "images: [{name: a, dmap: {$A: [x, -y]}}]\n---\na: b: c\n")
	equal(t, faults(set), []string{
		`refused m.yaml:4:104: bad tag "-y"` + badTag,
		"broken m.yaml:6:1: bad YAML: mapping values are not allowed in this context",
	})
	equal(t, wanted(set.Manifests[0]), []string{"a a=x"})
}

func TestExpansionIsBounded(t *testing.T) {
	t.Parallel()
	bomb := "x0: &x0 [" + strings.Repeat("t,", 999) + "t]\n"
	entries := "&m {name: a, dmap: {" + a64 + ": &t [" + strings.Repeat("t,", 2000) + "t]}}"
	var deep strings.Builder
	deep.WriteString("- &m0 {name: a, dmap: {}}\n")
	for i := range 102 {
		fmt.Fprintf(&deep, "- &m%d {<<: *m%d, name: a}\n", i+1, i)
	}
	tests := []struct {
		name, in string
		want     string
	}{
		{"many aliases of a large list", twoRegistries + "images: [" + entries + strings.Repeat(", *m", 2000) + "]\n", "more than 2000000 values"},
		{"mapping that merges itself", twoRegistries + "images:\n- &m {<<: [*m, *m], name: a, dmap: {}}\n", "more than 100 merge keys"},
		{"mapping that merges itself by two keys", twoRegistries + "images:\n- &m {<<: *m, name: a, dmap: {}, <<: *m}\n", "more than 100 merge keys"},
		{"long chain of merge keys", twoRegistries + "images:\n" + deep.String(), "more than 100 merge keys"},
		{"list that holds itself", twoRegistries + "images: &m [*m]\n", "an images entry: want a mapping, found a list"},
		{"tags that hold themselves", twoRegistries + "images: [{name: a, dmap: {$A: &t [*t]}}]\n", "a tag: want text, found a list"},
		{"unused bomb", bomb + twoRegistries, `unknown key "x0"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			set := plain(tt.in)
			if len(set.Faults) == 0 || !strings.Contains(fmt.Sprint(set.Faults), tt.want) {
				t.Errorf("got faults %v, want %q", set.Faults, tt.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("got %v, want less than 20s", took)
			}
		})
	}
}

func TestWrongMergeKeys(t *testing.T) {
	rules(t, []ruleTest{
		{"text", twoRegistries + "images:\n- {<<: x, name: a, dmap: {$A: []}}\n", []string{`broken m.yaml:5:8: a merge key: want a mapping, found the value "x"`}},
		{"text in a list", twoRegistries + "images:\n- {<<: [x], name: a, dmap: {$A: []}}\n", []string{`broken m.yaml:5:9: a merge key: want a mapping, found the value "x"`}},
		{"a quoted one is a key", twoRegistries + "images:\n- {'<<': {}, name: a, dmap: {$A: []}}\n", []string{`broken m.yaml:5:4: an images entry: unknown key "<<"`}},
	})
}

func TestFaultsOfAliasedTextAreReportedOnce(t *testing.T) {
	rules(t, []ruleTest{
		{"a list of tags", twoRegistries + "images:\n- {name: a, dmap: {$A: &t [x, -y]}}\n- {name: b, dmap: {$A: *t}}\n", []string{`refused m.yaml:5:100: bad tag "-y"` + badTag}},
	})
}
