package resolve_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

func TestParseReference(t *testing.T) {
	t.Parallel()
	type labels = map[string]string
	for _, tc := range []struct {
		in, repo, tag string
		labels        labels
	}{
		{"example.com/reduce-worker:1.0.0", "example.com/reduce-worker", "1.0.0", labels{}},
		{"example.com/reduce-worker:1.0.0,version=1.0.0", "example.com/reduce-worker", "1.0.0", labels{"version": "1.0.0"}},
		{"example.com/reduce-worker", "example.com/reduce-worker", "", labels{}},
		{"example.com/a/b,os=linux,arch=amd64", "example.com/a/b", "", labels{"os": "linux", "arch": "amd64"}},
		{"example.com/a,tag=x", "example.com/a", "x", labels{}},
		{"localhost:5000/a", "localhost:5000/a", "", labels{}},
		{"localhost:5000/a:1", "localhost:5000/a", "1", labels{}},
		{"[::1]:5000/a/b:1,k=v", "[::1]:5000/a/b", "1", labels{"k": "v"}},
		{"docker.io/busybox:1", "index.docker.io/library/busybox", "1", labels{}},
		{"example.com/a:x%3Ay,k=a%2Cb%3Dc%20d+e", "example.com/a", "x:y", labels{"k": "a,b=c d+e"}},
		{"example.com/a,digest=sha256%3A00", "example.com/a", "", labels{"digest": "sha256:00"}},
		{"example.com/a,k=a=b,empty=", "example.com/a", "", labels{"k": "a=b", "empty": ""}},
		{"example.com/a,x/y~z=1", "example.com/a", "", labels{"x/y~z": "1"}},
	} {
		got, err := resolve.ParseReference(tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if got.Repository.String() != tc.repo || got.Tag != tc.tag || !maps.Equal(got.Labels, tc.labels) {
			t.Errorf("%s: got %v, want %s, %s, %v", tc.in, got, tc.repo, tc.tag, tc.labels)
		}
	}
	for in, want := range map[string]string{
		"":                          "want host/path",
		"app:1.0":                   "want host/path",
		"app/x:1.0":                 "is not a registry host",
		"example.com/":              "bad repository name",
		"example.com/A:1":           "bad repository name",
		"example.com/a:1:2":         "more than one ':'",
		"localhost:5000/a:1:2":      "more than one ':'",
		"example.com/a:":            "the tag is empty",
		"example.com/a,tag=":        "the tag is empty",
		"example.com/a:x,tag=x":     "the tag is given twice",
		"example.com/a,tag=x,tag=x": "the tag is given twice",
		"example.com/a,v=1,v=1":     "label v is given twice",
		"example.com/a,v=1,v=2":     "label v is given twice",
		"example.com/a,v=1:2":       "write %3A",
		"example.com/a,v=1,x":       "want label=value",
		"example.com/a,":            "want label=value",
		"example.com/a,=1":          `bad label name ""`,
		"example.com/a,V=1":         `bad label name "V"`,
		"example.com/a,name=b":      `bad label name "name"`,
		"example.com/a,v=%zz":       "invalid URL escape",
		"example.com/a:%":           "invalid URL escape",
		"example.com/a@sha256:00":   "digest=sha256%3A",
		"https://example.com/a:1":   "bad image reference",
		"example.com/a," + strings.Repeat("x", 1000): "…",
	} {
		if got, err := resolve.ParseReference(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", in, err, want)
		}
	}
}

// FuzzReference checks that a parsed reference, percent-encoded, parses to the same.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"example.com/a:1,os=linux", "[::1]:5000/a/b,tag=x", "localhost/a:%2c%3a,k=%00", "a.b/c:x:y", "a.b/c,,=", strings.Repeat("\x80", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := resolve.ParseReference(s)
		if err != nil {
			return
		}
		encode := func(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }
		again := ref.Repository.String()
		if ref.Tag != "" {
			again += ":" + encode(ref.Tag)
		}
		for name, value := range ref.Labels {
			again += "," + name + "=" + encode(value)
		}
		got, err := resolve.ParseReference(again)
		if err != nil {
			t.Fatalf("%q, written as %q: %v", s, again, err)
		}
		if diff := cmp.Diff(ref, got, cmpopts.EquateComparable(name.Repository{})); diff != "" {
			t.Fatalf("%q, written as %q (-want +got):\n%s", s, again, diff)
		}
	})
}
