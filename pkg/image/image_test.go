package image_test

import (
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

func TestParseRegistry(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"gcr.io/project":             "gcr.io/project",
		"gcr.io/project/":            "gcr.io/project",
		"registry.example:5000":      "registry.example:5000",
		"localhost":                  "localhost",
		"localhost:5000/a/b":         "localhost:5000/a/b",
		"REGISTRY.example/a":         "registry.example/a",
		"[::1]:5000/a":               "[::1]:5000/a",
		"docker.io/starlingx":        "index.docker.io/starlingx",
		"index.docker.io/starlingx":  "index.docker.io/starlingx",
		"registry-1.docker.io/a":     "index.docker.io/a",
		"us-docker.pkg.dev/p/r/a__b": "us-docker.pkg.dev/p/r/a__b",
		"REG.example.com:443/prod":   "reg.example.com/prod",
		"index.docker.io:443/a":      "index.docker.io/a",
		"192.0.2.1:443/a":            "192.0.2.1/a",
		"[2001:db8::1]:443/a":        "[2001:db8::1]/a",
		"reg.example.com:80/a":       "reg.example.com:80/a",
		"reg.example.com:8443/a":     "reg.example.com:8443/a",
		"registry:443/a":             "registry:443/a", // without the port it is not a registry host
		"localhost:443/a":            "localhost:443/a",
		"127.0.0.1:443/a":            "127.0.0.1:443/a",
		"[::1]:443/a":                "[::1]:443/a",
	} {
		if r, err := image.ParseRegistry(in); err != nil || r.String() != want {
			t.Errorf("%q: got %q %v, want %q", in, r, err, want)
		}
	}
	for _, in := range []string{
		"", "project/images", "https://gcr.io/p", "gcr.io//p", "gcr.io/P", "gcr.io/p//", "gcr.io/a b", "gcr.io:0/p", "gcr.io:0443/p", "gcr.io:x/p", "gcr.io:/p",
		":5000/p", "a..b/p", "-a.b/p", "[::1/p", "[::1]x/p", "[1.2.3.4]:80/p", "[::1]:/p", "gcr.io/../p", "gcr.io/p@sha256:0", "gcr.io/\x1bp", "g\u0441r.io/p",
		"a.b/" + strings.Repeat("x", 300),
	} {
		if r, err := image.ParseRegistry(in); err == nil {
			t.Errorf("%q: got %q, want an error", in, r)
		} else if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 400 {
			t.Errorf("%q: got error %q, want it printable, 400 bytes at most", in, err)
		}
	}
}

func TestRepository(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ registry, name, want string }{
		{"gcr.io/p", "apple", "gcr.io/p/apple"},
		{"gcr.io/p/x", "y", "gcr.io/p/x/y"},
		{"gcr.io/p", "x/y", "gcr.io/p/x/y"}, // the same repository
		{"docker.io", "busybox", "index.docker.io/library/busybox"},
		{"docker.io", "a/b", "index.docker.io/a/b"},
		{"docker.io/a", "b", "index.docker.io/a/b"},
	} {
		r, err := image.ParseRegistry(tc.registry)
		if err != nil {
			t.Fatal(err)
		}
		if repo, err := r.Repository(tc.name); err != nil || repo.String() != tc.want {
			t.Errorf("%s and %s: got %q %v, want %q", tc.registry, tc.name, repo, err, tc.want)
		}
		for _, bad := range []string{"", "/x", "x/", "x//y", "X", "x:1", "../x", "x\n", "x.-y", strings.Repeat("x", 300)} {
			if repo, err := r.Repository(bad); err == nil {
				t.Errorf("%q: got %q, want an error", bad, repo)
			}
		}
	}
}

func TestRelativeKeepsToPathElements(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		registry, repo, want string
		in                   bool
	}{
		{"gcr.io/prod", "gcr.io/prod/a", "a", true},
		{"gcr.io/prod", "gcr.io/prod/a/b", "a/b", true},
		{"gcr.io/prod", "gcr.io/prod-other/a", "", false},
		{"gcr.io/prod", "gcr.io/prod", "prod", true},
		{"gcr.io/a/prod", "gcr.io/a/prod", "prod", true},
		{"gcr.io", "gcr.io/a", "a", true},
		{"gcr.io/prod", "eu.gcr.io/prod/a", "", false},
	} {
		reg, err := image.ParseRegistry(tc.registry)
		if err != nil {
			t.Fatal(err)
		}
		repo, err := image.ParseRepository(tc.repo)
		if err != nil {
			t.Fatal(err)
		}
		if got, in := reg.Relative(repo); in != tc.in || in && got != tc.want {
			t.Errorf("%s below %s: got %q %v, want %q %v", tc.repo, tc.registry, got, in, tc.want, tc.in)
		}
	}
}

func TestDigestsAndTags(t *testing.T) {
	t.Parallel()
	good := "sha256:" + strings.Repeat("0a", 32)
	if d, err := image.ParseDigest(good); err != nil || d.String() != good || d.Hex != strings.Repeat("0a", 32) {
		t.Errorf("got %q %v, want %q", d, err, good)
	}
	for _, bad := range []string{"", good[:70], good + "0", strings.ToUpper(good), "sha512:" + strings.Repeat("0", 128), good + "\n"} {
		if _, err := image.ParseDigest(bad); err == nil {
			t.Errorf("%q: want an error", bad)
		}
	}
	for _, tag := range []string{"1.10", "_x", "v1", strings.Repeat("x", 128)} {
		if err := image.CheckTag(tag); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".x", "-x", "a b", "a:b", "ä", strings.Repeat("x", 129), "x\n", "x\x1b[31m"} {
		if err := image.CheckTag(bad); err == nil || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q: got %v, want a printable error", bad, err)
		}
	}
}

// The parsers do not use regular expressions. These define their grammars.
var (
	tagRE    = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
	digestRE = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

func agree(t *testing.T, s string) {
	t.Helper()
	if err := image.CheckTag(s); (err == nil) != tagRE.MatchString(s) {
		t.Errorf("tag %q: got %v, want valid %t", s, err, tagRE.MatchString(s))
	}
	if _, err := image.ParseDigest(s); (err == nil) != digestRE.MatchString(s) {
		t.Errorf("digest %q: got %v, want valid %t", s, err, digestRE.MatchString(s))
	}
}

// TestGrammars tries every byte at each position that has its own rule.
func TestSplitReference(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0a", 32)
	for in, want := range map[string][3]string{
		"a.b/c":                          {"a.b/c", "", ""},
		"a.b/c:1":                        {"a.b/c", "1", ""},
		"a.b:5000/c":                     {"a.b:5000/c", "", ""},
		"a.b:5000/c:1":                   {"a.b:5000/c", "1", ""},
		"a.b/c@" + digest:                {"a.b/c", "", digest},
		"a.b:5000/c:1@" + digest:         {"a.b:5000/c", "1", digest},
		"c":                              {"c", "", ""},
		"a.b/c:":                         {},
		"a.b/c:-":                        {},
		"a.b/c@sha256:0":                 {},
		"a.b/c@":                         {},
		"a.b/c@" + digest + "@" + digest: {},
	} {
		repository, tag, d, err := image.SplitReference(in)
		if got := [3]string{repository, tag, image.DigestString(d)}; got != want || (err != nil) != (want[0] == "") {
			t.Errorf("%q: got %q, error %v, want %q", in, got, err, want)
		}
		if got := image.JoinReference(repository, tag, d); err == nil && got != in {
			t.Errorf("joined again: got %q, want %q", got, in)
		}
	}
}

func TestParseDockerRepository(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"busybox":       "index.docker.io/library/busybox",
		"a/b":           "index.docker.io/a/b",
		"docker.io/a/b": "index.docker.io/a/b",
		"localhost/a":   "localhost/a",
		"a.b/c":         "a.b/c",
		"a:1/c":         "a:1/c",
		"localhost":     "index.docker.io/library/localhost",
	} {
		if repo, err := image.ParseDockerRepository(in); err != nil || repo.String() != want {
			t.Errorf("%q: got %q, error %v, want %q", in, repo, err, want)
		}
	}
	if repo, err := image.ParseDockerRepository("A/b"); err == nil {
		t.Errorf("A/b: got %q, want an error", repo)
	}
}

func TestGrammars(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0", 64)
	for c := range 256 {
		b := string([]byte{byte(c)})
		for _, s := range []string{b, "a" + b, "a" + b + "a", strings.Repeat("a", 127) + b} {
			agree(t, s)
		}
		for i := range len(digest) + 1 {
			agree(t, digest[:i]+b+digest[min(i+1, len(digest)):])
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1:80": true, "127.9.9.9": true, "[::1]:5000": true, "a.localhost:1": true,
		"example.com": false, "10.0.0.1:5000": false, "localhost.example.com": false, "gcr.io": false,
	} {
		if got := image.Loopback(host); got != want {
			t.Errorf("%s: got %v, want %v", host, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"gcr.io/p", "[::1]:5/x", "docker.io/a", "docker.io:443/a", "[2001:db8::1]:443", "a.b:1/c/d", "\x00", "localhost"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		agree(t, s)
		r, err := image.ParseRegistry(s)
		if err != nil {
			return
		}
		again, err := image.ParseRegistry(r.String())
		if err != nil || again != r {
			t.Errorf("%q parses to %q: parsing that got %q %v, want the same", s, r, again, err)
		}
		if repo, err := r.Repository("x"); err == nil {
			if again, err := image.ParseRepository(repo.String()); err != nil || again != repo {
				t.Errorf("%q has repository %q: parsing that got %q %v, want the same", s, repo, again, err)
			}
		}
	})
}

func TestGoogle(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"gcr.io": true, "eu.gcr.io": true, "us-docker.pkg.dev": true, "docker.us-west1.rep.pkg.dev": true,
		"notgcr.io": false, "gcr.io.evil.example": false, "pkg.dev": false, "docker.io": false, "": false,
	} {
		if got := image.Google(host); got != want {
			t.Errorf("%s: got %v, want %v", host, got, want)
		}
	}
}

func TestFirstNames(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"":                nil,
		"a":               {"a"},
		"a, b":            {"a", "b"},
		"a, b and 2 more": {"a", "b", "c", "d"},
	} {
		if got := image.FirstNames(names, 2); got != want {
			t.Errorf("%q: got %q, want %q", names, got, want)
		}
	}
}

func TestJoinNames(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"a or b":       {"a", "b"},
		"a, b, c or d": {"a", "b", "c", "d"},
	} {
		if got := image.JoinNames(names, "or"); got != want {
			t.Errorf("%q: got %q, want %q", names, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want string }{
		"fits":              {"abcdé", "abcdé"},
		"too long":          {"abcdefg", "abcdef…"},
		"inside a rune":     {"abcdeéf", "abcde…"},
		"inside a long one": {"abc𝄞d", "abc…"},
		"empty":             {"", ""},
	} {
		if got := image.Clip(tc.in, 6); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	_, err := image.ParseDigest(strings.Repeat("x", 139) + "é")
	if err == nil || strings.Contains(err.Error(), `\x`) {
		t.Errorf("got %v, want a message cut between characters", err)
	}
}
