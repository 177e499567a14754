package resolve

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// datedRegistry is a registry with one repository. It records the digests that it reads.
type datedRegistry struct {
	tags    map[string]string // the letter of a digest, by tag
	images  map[string]*Image // by letter
	failing string            // tag or letter whose read fails
	mu      sync.Mutex
	read    []string // letters
}

var errUnread = errors.New("503")

func (r *datedRegistry) Tags(context.Context, name.Repository) ([]string, error) {
	var all []string
	for tag := range r.tags {
		all = append(all, tag) // in random order
	}
	return all, nil
}

func (r *datedRegistry) Digest(_ context.Context, _ name.Repository, tag string) (v1.Hash, bool, error) {
	if tag == r.failing {
		return v1.Hash{}, false, errUnread
	}
	if r.tags[tag] == "" {
		return v1.Hash{}, false, nil
	}
	return digestOf(r.tags[tag]), true, nil
}

func (r *datedRegistry) Image(_ context.Context, _ name.Repository, ref string) (*Image, error) {
	var letter string
	for word := range r.images {
		if digestOf(word).String() == ref {
			letter = word
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if letter == r.failing {
		return nil, errUnread
	}
	r.read = append(r.read, letter)
	return r.images[letter], nil
}

func createdOn(day int) *Image {
	return &Image{Created: fmt.Sprintf("2024-05-%02dT10:00:00.5+02:00", day)}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	children := []v1.Descriptor{{Digest: digestOf("1")}, {Digest: digestOf("2")}, {Digest: digestOf("3"), Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}}
	images := map[string]*Image{
		"a": createdOn(1), "b": createdOn(2), "c": createdOn(3), "d": {Created: "2024-05-03T08:00:00.5Z"}, // d: the same moment as c
		"e": {}, "f": {Created: "yesterday"}, "0": {Created: "0001-01-01T00:00:00Z"},
		"1": createdOn(2), "2": createdOn(4), "3": createdOn(9), "4": {Children: children},
		"5": {Children: children, Annotations: map[string]string{createdAnnotation: "2024-05-01T00:00:00Z"}},
		"6": {Children: children, Annotations: map[string]string{createdAnnotation: "last week"}},
		"7": {Children: make([]v1.Descriptor, maxIndexImages+1)},
	}
	for _, tt := range []struct {
		name, tags, filter, failing string // tags are TAG=LETTER
		previous                    *selector.LockNewest
		allow                       bool
		want, created, err          string
		notes                       []string
		read                        string // digests that are read; "" is not checked
	}{
		{name: "by time, not by name", tags: "1=c 2=b 3=a", want: "1", created: "2024-05-03T08:00:00.5Z", read: "abc"},
		{name: "equal times: the greater tag", tags: "x=c y=d z=b", want: "y", created: "2024-05-03T08:00:00.5Z",
			notes: []string{"y and x were created at the same time, 2024-05-03T08:00:00.5Z: y is selected, because its name is greater"}},
		{name: "two tags of one image", tags: "1.0=c latest=c old=a", want: "latest", created: "2024-05-03T08:00:00.5Z", notes: []string{"the image has other tags: 1.0"}},
		{name: "an index: its latest image, attestations aside", tags: "x=c y=4", want: "y", created: "2024-05-04T08:00:00.5Z", read: "124c"},
		{name: "an index: its annotation", tags: "x=b y=5", want: "x", created: "2024-05-02T08:00:00.5Z", read: "5b"},
		{name: "an index: a bad annotation", tags: "x=b y=6", want: "y", created: "2024-05-04T08:00:00.5Z"},
		{name: "an index of too many", tags: "x=b y=7", err: "creation time of tag y: the index has more than 64 images"},
		{name: "images without a time", tags: "1=e 2=f 3=0 4=a", want: "4", created: "2024-05-01T08:00:00.5Z"},
		{name: "no image has a time", tags: "1=e 2=f", err: "none of the 2 tags of source registry.example.com/staging/shop can be selected: 1 has an image without a creation time"},
		{name: "no tags", err: "has no tags"},
		{name: "a tag that was deleted", tags: "1=a 2=", want: "1", created: "2024-05-01T08:00:00.5Z"},
		{name: "filterTags", tags: "v1=a x2=c", filter: "^v", want: "v1", created: "2024-05-01T08:00:00.5Z", read: "a"},
		{name: "a tag that cannot be read", tags: "1=a 2=c", failing: "1", err: "503"},
		{name: "an image that cannot be read", tags: "1=a 2=c", failing: "a", err: "503"},
		{name: "an image of an index that cannot be read", tags: "1=a 2=4", failing: "2", err: "503"},
		{name: "known images are not read again", tags: "1=a 2=b 3=c", want: "3", created: "2024-05-03T08:00:00.5Z", read: "c",
			previous: &selector.LockNewest{Created: "2024-05-02T08:00:00.5Z", Images: map[string]string{digestOf("a").String(): "2024-05-01T08:00:00.5Z", digestOf("b").String(): "2024-05-02T08:00:00.5Z"}}},
		{name: "an image that is known to have no time", tags: "1=a 2=e", want: "1", created: "2024-05-01T08:00:00.5Z", read: "a",
			previous: &selector.LockNewest{Images: map[string]string{digestOf("e").String(): ""}}},
		{name: "a bad time in the lock", tags: "1=a", want: "1", created: "2024-05-01T08:00:00.5Z", read: "a",
			previous: &selector.LockNewest{Images: map[string]string{digestOf("a").String(): "x"}}},
		{name: "older than the lock", tags: "1=a", previous: &selector.LockNewest{Created: "2024-05-02T08:00:00Z"},
			err: "refusing to roll back from the image in the lock, created 2024-05-02T08:00:00Z, to tag 1, created 2024-05-01T08:00:00.5Z (--allow-rollback)"},
		{name: "older than the lock, allowed", tags: "1=a", previous: &selector.LockNewest{Created: "2024-05-02T08:00:00Z"}, allow: true, want: "1", created: "2024-05-01T08:00:00.5Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &selector.Selector{Name: "x", Select: selector.Select{Newest: &selector.Newest{}}, Repository: shop}
			if tt.filter != "" {
				p.Filter = &selector.Filter{Pattern: tt.filter}
			}
			reg := &datedRegistry{tags: map[string]string{}, images: images, failing: tt.failing}
			for _, f := range strings.Fields(tt.tags) {
				tag, letter, _ := strings.Cut(f, "=")
				reg.tags[tag] = letter
			}
			var previous *selector.Lock
			if tt.previous != nil {
				previous = &selector.Lock{Name: "x", Newest: tt.previous}
			}
			choice, err := Resolve(t.Context(), p, previous, Readers{Registry: reg}, Options{AllowRollback: tt.allow})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if choice.Tag != tt.want || choice.Digest != digestOf(reg.tags[tt.want]) || choice.Newest.Created != tt.created {
				t.Errorf("got tag %s, %s, created %s, want %s, %s", choice.Tag, choice.Digest, choice.Newest.Created, tt.want, tt.created)
			}
			if !choice.Candidates[0].Chosen || choice.Candidates[0].Tag != tt.want {
				t.Errorf("got candidates %+v, want the chosen one first", choice.Candidates)
			}
			if diff := cmp.Diff(tt.notes, choice.Notes); diff != "" {
				t.Errorf("notes (-want +got)\n%s", diff)
			}
			slices.Sort(reg.read)
			if got := strings.Join(reg.read, ""); tt.read != "" && got != tt.read {
				t.Errorf("got %s read, want %s", got, tt.read)
			}
		})
	}
}

// TestNewestBound checks that too many candidates are refused before the first is read.
func TestNewestBound(t *testing.T) {
	t.Parallel()
	reg := &datedRegistry{tags: map[string]string{}}
	for i := range maxNewest + 1 {
		reg.tags[fmt.Sprint("v", i)] = "a"
	}
	p := &selector.Selector{Name: "x", Select: selector.Select{Newest: &selector.Newest{}}, Repository: shop}
	if _, err := Resolve(t.Context(), p, nil, Readers{Registry: reg}, Options{}); err == nil || !strings.Contains(err.Error(), "1001 tags of source registry.example.com/staging/shop are candidates") || len(reg.read) > 0 {
		t.Errorf("got error %v after %d reads, want it refused before the first", err, len(reg.read))
	}
}

// TestNewestLock checks that a lock is the same bytes whatever the order of its images.
func TestNewestLock(t *testing.T) {
	t.Parallel()
	images := selector.Times{}
	for i := range 50 {
		images[digestOf(fmt.Sprint(i)).String()] = "2024-05-01T00:00:00Z"
	}
	images[digestOf("none").String()] = ""
	lock := selector.Lock{Name: "x", Digest: digestOf("1"), Newest: &selector.LockNewest{Created: "2024-05-01T00:00:00Z", Images: images}}
	var first []byte
	for range 20 {
		raw, err := selector.EncodeLocks([]selector.Lock{lock})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = raw
		}
		if diff := cmp.Diff(string(first), string(raw)); diff != "" {
			t.Fatalf("(-first +next)\n%s", diff)
		}
	}
	keys := regexp.MustCompile(`(?m)^      sha256:\w+`).FindAllString(string(first), -1)
	if len(keys) != len(images) || !slices.IsSorted(keys) {
		t.Errorf("got %d digests, sorted %v, want %d sorted ones\n%s", len(keys), slices.IsSorted(keys), len(images), first)
	}
}
