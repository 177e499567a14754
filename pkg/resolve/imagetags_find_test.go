package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// stubRepository is a registry with one repository. A digest is made of one letter. It
// records the requests.
type stubRepository struct {
	tags   map[string]string
	images map[string]*resolve.Image
	broken string // a tag or letter that cannot be read

	mu       sync.Mutex
	requests []string
}

var errBroken = errors.New("the registry is broken")

func hash(letter string) v1.Hash {
	return image.Hash("sha256:" + strings.Repeat(fmt.Sprintf("%02x", letter[0]), 32))
}

// letters replaces the digests in a text with their letters.
func letters(s string) string {
	if !strings.Contains(s, "sha256:") {
		return s
	}
	if c, err := strconv.ParseUint(strings.TrimPrefix(s, "sha256:")[:2], 16, 8); err == nil && s == hash(string(rune(c))).String() {
		return string(rune(c))
	}
	for c := byte('A'); c <= 'Z'; c++ {
		s = strings.ReplaceAll(s, hash(string(c)).String(), string(c))
	}
	return s
}

func (s *stubRepository) note(what, ref string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, what+" "+letters(ref))
	if s.broken != "" && letters(ref) == s.broken {
		return errBroken
	}
	return nil
}

func (s *stubRepository) Tags(context.Context, name.Repository) ([]string, error) {
	var all []string
	for tag := range s.tags {
		all = append(all, tag) // in random order
	}
	return all, s.note("list", "tags")
}

func (s *stubRepository) Digest(_ context.Context, _ name.Repository, ref string) (v1.Hash, bool, error) {
	if err := s.note("head", ref); err != nil {
		return v1.Hash{}, false, err
	}
	letter, ok := s.tags[ref]
	if !ok {
		letter = letters(ref)
		_, ok = s.images[letter]
	}
	if !ok {
		return v1.Hash{}, false, nil
	}
	return hash(letter), true, nil
}

func (s *stubRepository) Image(_ context.Context, _ name.Repository, ref string) (*resolve.Image, error) {
	if err := s.note("get", ref); err != nil {
		return nil, err
	}
	im := s.images[letters(ref)]
	if im == nil {
		return nil, fmt.Errorf("no image %s", letters(ref))
	}
	return im, nil
}

type set = map[string]string

// single returns an image for a platform.
func single(letter, platform string, annotations, labels set) *resolve.Image {
	p := append(strings.Split(platform, "/"), "", "")
	return &resolve.Image{
		Digest: hash(letter), Config: "sha256:" + strings.Repeat(letter+letter, 32), Annotations: annotations, Labels: labels,
		OS: p[0], Architecture: p[1], Variant: p[2],
	}
}

// child returns an index entry for "L os/arch/variant", or "L" without a platform.
func child(s string, annotations set) v1.Descriptor {
	letter, platform, _ := strings.Cut(s, " ")
	p := append(strings.Split(platform, "/"), "", "")
	return v1.Descriptor{Digest: hash(letter), Platform: &v1.Platform{OS: p[0], Architecture: p[1], Variant: p[2]}, Annotations: annotations}
}

func index(letter string, annotations set, children ...v1.Descriptor) *resolve.Image {
	return &resolve.Image{Digest: hash(letter), Annotations: annotations, Children: children}
}

const version = "org.opencontainers.image.version"

// repository returns a repository for all cases.
//
// A is an index with children of many platforms. S and T are two builds of one version.
// N is an index without platforms. D has three tags.
func repository() *stubRepository {
	attested := set{"vnd.docker.reference.type": "attestation-manifest"}
	return &stubRepository{
		tags: set{"multi": "A", "3.0.1-2": "S", "3.0.1-3": "T", "bare": "N", "old": "D", "older": "D", "1.0": "D", "odd": "V", "sha256-" + strings.Repeat("0", 64): "X", "x.sig": "X"},
		images: map[string]*resolve.Image{
			"A": index("A", set{"team": "fruit"}, child("B linux/amd64", nil), child("C linux/arm64/v8", set{"variety": "cold"}),
				child("E linux/arm64/v9", nil), child("F linux/arm/v6", nil), child("G linux/arm/v7", nil), child("H windows/amd64", nil),
				child("I linux/386", nil), child("J unknown/unknown", attested), child("K linux/amd64", attested)),
			"B": single("B", "linux/amd64", nil, set{"team": "base image", "common": "yes", "own": "b"}),
			"C": single("C", "linux/arm64", nil, set{"common": "yes", "own": "c"}),
			"E": single("E", "linux/arm64/v9", nil, set{"common": "yes"}),
			"F": single("F", "linux/arm/v6", nil, set{"common": "yes"}),
			"G": single("G", "linux/arm", nil, set{"common": "yes"}),
			"H": single("H", "windows/amd64", nil, set{"common": "yes"}),
			"I": single("I", "linux/386", nil, set{"common": "yes"}),
			"S": single("S", "linux/amd64", set{version: "3.0.1"}, set{"build": "2", version: "22.04"}),
			"T": single("T", "linux/amd64", nil, set{"build": "3", version: "3.0.1"}),
			"N": index("N", nil, child("O", nil), child("P", nil), child("Q", nil)),
			"O": single("O", "linux/s390x", nil, nil),
			"P": single("P", "linux/ppc64le", nil, nil),
			"Q": index("Q", nil, child("R linux/riscv64", nil)),
			"V": {Digest: hash("V"), Children: []v1.Descriptor{{Digest: image.Hash("../x"), Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}, child("W linux/arm64", nil)}},
			"R": single("R", "linux/riscv64", nil, nil),
			"D": single("D", "linux/amd64", nil, set{"common": "yes", "build": "1"}),
		},
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	digest := func(letter string) string { return hash(letter).String() }
	for _, tc := range []struct {
		name     string
		labels   set
		want     string // TAG DIGEST, or a part of the error
		fails    bool
		requests string // "": not checked
	}{
		{name: "version is a tag", labels: set{"version": "multi"}, want: "multi A", requests: "head multi"},
		{name: "digest", labels: set{"digest": digest("S")}, want: " S", requests: "head S"},
		{name: "missing digest", labels: set{"digest": digest("Z")}, want: "no image of source reg.example/app has digest=Z: the registry does not hold that digest", fails: true},
		{name: "digest and the version that is its tag", labels: set{"digest": digest("D"), "version": "old"}, want: " D", requests: "head D, head old"},
		{name: "digest and the version in its annotation", labels: set{"digest": digest("S"), "version": "3.0.1"}, want: " S", requests: "get S, head 3.0.1, head S"},
		{name: "digest and another version", labels: set{"digest": digest("S"), "version": "old"}, want: "S has version=3.0.1, not old", fails: true},
		{name: "digest of an index, and a platform", labels: set{"digest": digest("A"), "os": "linux", "arch": "i386"}, want: " I", requests: "get A, head A, head I"},

		{name: "aarch64", labels: set{"version": "multi", "os": "linux", "arch": "aarch64"}, want: " C"},
		{name: "arm64", labels: set{"version": "multi", "os": "linux", "arch": "arm64"}, want: " C"},
		{name: "arm64 v8", labels: set{"version": "multi", "os": "linux", "arch": "arm64", "variant": "v8"}, want: " C"},
		{name: "arm64 v9", labels: set{"version": "multi", "os": "linux", "arch": "aarch64", "variant": "v9"}, want: " E"},
		{name: "armv6l", labels: set{"version": "multi", "os": "linux", "arch": "armv6l"}, want: " F"},
		{name: "armv7l", labels: set{"version": "multi", "os": "linux", "arch": "armv7l"}, want: " G"},
		{name: "arm and a variant", labels: set{"version": "multi", "os": "linux", "arch": "arm", "variant": "v7"}, want: " G"},
		{name: "x86_64", labels: set{"version": "multi", "os": "linux", "arch": "x86_64"}, want: " B"},
		{name: "another operating system", labels: set{"version": "multi", "os": "windows", "arch": "amd64"}, want: " H"},
		{name: "only an operating system", labels: set{"version": "multi", "os": "windows"}, want: " H"},
		{name: "arm matches two variants", labels: set{"version": "multi", "os": "linux", "arch": "arm"}, want: "2 images of source reg.example/app have arch=arm, os=linux, version=multi: F (linux/arm/v6 in tag multi); G (linux/arm/v7 in tag multi)", fails: true},
		{name: "no such platform", labels: set{"version": "multi", "os": "freebsd", "arch": "amd64"}, want: "tag multi has no image for freebsd/amd64, only for linux/386, linux/amd64, linux/arm/v6", fails: true},
		{name: "platform of an image", labels: set{"version": "old", "os": "linux", "arch": "amd64"}, want: "old D"},
		{name: "another platform than an image's", labels: set{"version": "old", "os": "linux", "arch": "i386"}, want: "tags 1.0, old, older has no image for linux/386, only for linux/amd64", fails: true},
		{name: "index without platforms", labels: set{"version": "bare", "os": "linux", "arch": "ppc64le"}, want: " P"},
		{name: "index in an index", labels: set{"version": "bare", "os": "linux", "arch": "riscv64"}, want: " R"},
		{name: "arch without os", labels: set{"version": "multi", "arch": "aarch64"}, want: "label arch=aarch64 without os", fails: true},
		{name: "variant without arch", labels: set{"version": "multi", "os": "linux", "variant": "v7"}, want: "label variant=v7 without arch", fails: true},
		{name: "variant against arch", labels: set{"version": "multi", "os": "linux", "arch": "armv6l", "variant": "v7"}, want: "contradict", fails: true},
		{name: "empty os", labels: set{"os": "", "version": "multi"}, want: "label os is empty", fails: true},
		{name: "empty arch", labels: set{"os": "linux", "arch": "", "version": "multi"}, want: "label arch is empty", fails: true},
		{name: "bad digest", labels: set{"digest": "sha256:00"}, want: "label digest: bad digest", fails: true},
		{name: "bad image ID", labels: set{"dockerimageid": "x"}, want: "label dockerimageid: bad digest", fails: true},

		{name: "a label, by listing", labels: set{"build": "2"}, want: "3.0.1-2 S"},
		{name: "version and a label", labels: set{"version": "3.0.1", "build": "3"}, want: "3.0.1-3 T"},
		{name: "annotation before label", labels: set{"version": "22.04"}, want: "tag 3.0.1-2 has version=3.0.1, not 22.04", fails: true},
		{name: "a version that two images have", labels: set{"version": "3.0.1"}, want: "2 images of source reg.example/app have version=3.0.1: S (tag 3.0.1-2); T (tag 3.0.1-3)", fails: true},
		{name: "a version that cannot be a tag", labels: set{"version": "3.0.1+x"}, want: "tag 3.0.1-3 has version=3.0.1, not 3.0.1+x", fails: true},
		{name: "several tags of one digest are one image", labels: set{"build": "1"}, want: "1.0 D"},
		{name: "version decides between the tags of a digest", labels: set{"build": "1", "version": "older"}, want: "older D", requests: "get D, head older"},
		{name: "the label of an index", labels: set{"version": "multi", "team": "fruit"}, want: "multi A", requests: "get A, head multi"},
		{name: "annotation of the index counts for its images", labels: set{"version": "multi", "team": "fruit", "os": "linux", "arch": "amd64"}, want: " B", requests: "get A, head B, head multi"},
		{name: "annotation of an index entry", labels: set{"version": "multi", "variety": "cold", "os": "linux", "arch": "aarch64"}, want: " C", requests: "get A, head C, head multi"},
		{name: "a label of an image in an index", labels: set{"version": "multi", "own": "b", "os": "linux", "arch": "amd64"}, want: " B", requests: "get A, get B, head B, head multi"},
		{name: "a label that all images of an index have", labels: set{"version": "multi", "common": "yes"}, want: "multi A"},
		{name: "a label that differs between the images of an index", labels: set{"version": "multi", "own": "b"}, want: "tag multi lacks own=b", fails: true},
		{name: "a label that the image lacks", labels: set{"version": "3.0.1-2", "build": "2", "colour": "red"}, want: "tag 3.0.1-2 lacks colour=red", fails: true},
		{name: "another value", labels: set{"version": "3.0.1-2", "build": "9"}, want: "tag 3.0.1-2 has build=2, not 9", fails: true},
		{name: "more labels on the image are fine", labels: set{"version": "3.0.1-2"}, want: "3.0.1-2 S", requests: "head 3.0.1-2"},
		{name: "image ID", labels: set{"dockerimageid": strings.Repeat("d", 64)}, want: "no image of", fails: true},
		{name: "an index that names a bad digest", labels: set{"version": "odd", "os": "linux", "arch": "amd64"}, want: "tag odd names an image by ../x, which is not a sha256 digest", fails: true},
		{name: "missing image of an index", labels: set{"version": "odd", "os": "linux", "arch": "arm64", "common": "yes"}, want: "tag odd names W, which the registry does not hold", fails: true},
		{name: "no labels, many images", labels: set{}, want: "6 images of source reg.example/app have all labels (none is required): ", fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := repository()
			c, err := resolve.NewFinder(t.Context(), s, image.NewRepository("reg.example", "app")).Find(t.Context(), tc.labels)
			if tc.fails {
				if err == nil {
					t.Fatalf("got %s, want an error", letters(c.Digest.String()))
				}
				if got := letters(err.Error()); !strings.Contains(got, tc.want) {
					t.Fatalf("got error %s, want %s", got, tc.want)
				}
				if c != nil && (c.Digest != (v1.Hash{}) || slices.ContainsFunc(c.Candidates, func(c resolve.Candidate) bool { return c.Chosen })) {
					t.Errorf("got %v with an error, want no digest and no chosen candidate", c)
				}
				return
			}
			if err != nil {
				t.Fatal(letters(err.Error()))
			}
			if got := c.Tag + " " + letters(c.Digest.String()); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if n := slices.IndexFunc(c.Candidates, func(c resolve.Candidate) bool { return !c.Chosen }); !c.Candidates[0].Chosen || n > 0 && slices.ContainsFunc(c.Candidates[n:], func(c resolve.Candidate) bool { return c.Chosen }) {
				t.Errorf("got candidates %v, want the chosen ones first", c.Candidates)
			}
			slices.Sort(s.requests)
			if got := strings.Join(s.requests, ", "); tc.requests != "" && got != tc.requests {
				t.Errorf("requests: got %s, want %s", got, tc.requests)
			}
		})
	}
}

func TestFindByImageID(t *testing.T) {
	t.Parallel()
	s := repository()
	for letter, im := range s.images {
		if im.Config != "" {
			im.Config = hash(strings.ToLower(letter)).String()
		}
	}
	f := resolve.NewFinder(t.Context(), s, image.NewRepository("reg.example", "app"))
	for letter, want := range map[string]string{"s": "3.0.1-2 S", "c": " C", "r": " R"} {
		for _, prefix := range []string{"", "sha256:"} {
			c, err := f.Find(t.Context(), set{"dockerimageid": prefix + hash(letter).Hex})
			if err != nil {
				t.Fatal(letters(err.Error()))
			}
			if got := c.Tag + " " + letters(c.Digest.String()); got != want {
				t.Errorf("%s: got %q, want %q", letter, got, want)
			}
		}
	}
	if n := len(slices.DeleteFunc(s.requests, func(a string) bool { return a != "list tags" })); n != 1 {
		t.Errorf("tag lists: got %d, want 1", n)
	}
}

func TestFindReturnsReadErrors(t *testing.T) {
	t.Parallel()
	for broken, labels := range map[string]set{
		"multi": {"version": "multi"}, "S": {"build": "2"}, "tags": {"build": "2"}, "bare": {"build": "2"},
		"C": {"version": "multi", "own": "x", "os": "linux", "arch": "aarch64"}, "P": {"version": "bare", "os": "linux", "arch": "s390x"},
		"old": {"digest": hash("S").String(), "version": "old"}, "I": {"version": "multi", "common": "yes"}, "W": {"version": "odd", "os": "linux", "arch": "arm64", "common": "yes"},
	} {
		s := repository()
		s.broken = broken
		c, err := resolve.NewFinder(t.Context(), s, image.NewRepository("reg.example", "app")).Find(t.Context(), labels)
		if !errors.Is(err, errBroken) {
			t.Errorf("%s cannot be read: got %v, %v, want %v", broken, c, err, errBroken)
		}
	}
}

func TestLimitsOfNestedIndexes(t *testing.T) {
	t.Parallel()
	s := &stubRepository{tags: map[string]string{"deep": "A", "wide": "M"}, images: map[string]*resolve.Image{}}
	for c := 'A'; c < 'K'; c++ {
		s.images[string(c)] = index(string(c), nil, child(string(c+1), nil))
	}
	s.images["K"] = single("K", "linux/amd64", nil, nil)
	var many []v1.Descriptor
	for range 200 {
		many = append(many, child("N", nil))
	}
	s.images["M"], s.images["N"], s.images["O"] = index("M", nil, many...), index("N", nil, many...), single("O", "linux/amd64", nil, set{"team": "fruit"})
	s.images["N"].Children = slices.Repeat([]v1.Descriptor{child("O", nil)}, 200)
	f := resolve.NewFinder(t.Context(), s, image.NewRepository("reg.example", "app"))
	for _, more := range []set{{"os": "linux"}, {"team": "fruit"}} {
		for version, want := range map[string]string{"deep": "more than 8 nested indexes", "wide": "more than 20000 images"} {
			more["version"] = version
			if c, err := f.Find(t.Context(), more); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: got %v, %v, want an error with %s", more, c, err, want)
			}
		}
	}
}
