package manifest

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
	if err := parse([]byte(text), func(n *yaml.Node) { root = n }); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestLookup holds looking one key up against reading all fields.
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
		fields, _ := new(reader).fields(root, "")
		for _, f := range fields {
			want[f.name()] = f.value
		}
		for _, key := range []string{"a", "b", "c", "d", "x", "<<"} {
			f, ok := lookup(root, key)
			if value, there := want[key]; ok != there || f.value != value {
				t.Errorf("%q in %q: got %v %v, want %v", key, text, ok, f.value, value)
			}
		}
	}
}

// TestLookupEnds holds that one key is not looked for among any number of merged ones.
func TestLookupEnds(t *testing.T) {
	t.Parallel()
	const levels = 40 // each twice in the next: more paths than can be walked
	var text strings.Builder
	text.WriteString("l0: &l0 {z: 1}\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&text, "l%d: &l%d {<<: [*l%d, *l%d]}\n", i, i, i-1, i-1)
	}
	fmt.Fprintf(&text, "<<: *l%d\n", levels)
	if f, ok := lookup(rootOf(t, text.String()), "missing"); ok {
		t.Errorf("found %v", f.value)
	}
}
