package yamlread

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rootOf returns the last document of a text.
func rootOf(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var root *yaml.Node
	if err := Parse([]byte(text), func(n *yaml.Node) { root = n }); err != nil {
		t.Fatalf("parsing %q: %v", text, err)
	}
	return root
}

// TestLookup compares Lookup with Fields.
func TestLookup(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"a: 1\nb: 2\n",
		"a: 1\na: 2\n",
		"[a, b]",
		"~",
		"x: &x {a: 1, b: 2}\n<<: *x\nb: 3\n",
		"x: &x {a: 1}\ny: &y {a: 2, b: 2, <<: {c: 3}}\n<<: [*x, *y, {c: 4, d: 5}]\n",
		"<<: {a: 1}\n<<: {b: 2}\n",
		"<<: [[{a: 1}], b, {c: 2}]\n",
		"? [a]\n: 1\n? &k b\n: 2\n*k : 3\n",
		"&x\na: 1\n<<: *x\n",
	} {
		root := rootOf(t, text)
		want := map[string]*yaml.Node{}
		fields, _ := new(File).Fields(root, "")
		for _, f := range fields {
			want[f.Name()] = f.Value
		}
		for _, key := range []string{"a", "b", "c", "d", "x", "<<"} {
			f, ok := Lookup(root, key)
			if value, there := want[key]; ok != there || f.Value != value {
				t.Errorf("%q in %q: got %v %v, want %v", key, text, ok, f.Value, value)
			}
		}
	}
}

// TestLookupEnds checks that Lookup stops after a number of merged mappings.
func TestLookupEnds(t *testing.T) {
	t.Parallel()
	const levels = 40 // each twice in the next: more paths than can be walked
	var text strings.Builder
	text.WriteString("l0: &l0 {z: 1}\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&text, "l%d: &l%d {<<: [*l%d, *l%d]}\n", i, i, i-1, i-1)
	}
	fmt.Fprintf(&text, "<<: *l%d\n", levels)
	if f, ok := Lookup(rootOf(t, text.String()), "missing"); ok {
		t.Errorf("got %v, want no field", f.Value)
	}
}

func TestClosest(t *testing.T) {
	t.Parallel()
	names := []string{"name", "service-account", "src", "mutable-tags"}
	tests := []struct {
		key, hint string
		ok        bool
	}{
		{"src", "", true},
		{"Name", `: did you mean "name"?`, false},
		{"nmae", `: did you mean "name"?`, false},
		{"scr", `: did you mean "src"?`, false},
		{"service_account", `: did you mean "service-account"?`, false},
		{"serviceAccount", `: did you mean "service-account"?`, false},
		{"mutabletag", `: did you mean "mutable-tags"?`, false},
		{"dest", "", false},
		{"", "", false},
		{strings.Repeat("x", 1000), "", false},
	}
	for _, tt := range tests {
		hint, ok := closest(tt.key, names)
		if hint != tt.hint || ok != tt.ok {
			t.Errorf("closest(%q) = %q, %v, want %q, %v", tt.key, hint, ok, tt.hint, tt.ok)
		}
	}
}
