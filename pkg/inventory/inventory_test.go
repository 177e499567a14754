package inventory_test

import (
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

func d(c string) v1.Hash { return image.Hash("sha256:" + strings.Repeat(c, 64)) }

func TestUnknownIsNotAbsent(t *testing.T) {
	t.Parallel()
	var r inventory.Repository
	if _, s := r.Tag("x"); s != inventory.Unknown || r.Digest(d("a")) != inventory.Unknown {
		t.Errorf("zero value: got tag %s and digest %s, want unknown", s, r.Digest(d("a")))
	}
	r.SetTag("x", d("a"))
	r.SetDigest(d("b"), inventory.Absent)
	if at, s := r.Tag("x"); at != d("a") || s != inventory.Present || r.Digest(d("a")) != inventory.Present {
		t.Errorf("after SetTag: got %s, %s and digest %s, want %s, present and present", at, s, r.Digest(d("a")), d("a"))
	}
	r.CloseTags()
	if _, s := r.Tag("y"); s != inventory.Absent || r.Digest(d("c")) != inventory.Unknown || r.Digest(d("b")) != inventory.Absent {
		t.Errorf("after CloseTags: got tag %s and digests %s, %s, want absent and unknown, absent", s, r.Digest(d("c")), r.Digest(d("b")))
	}
	r.Close()
	if got := r.Digest(d("c")); got != inventory.Absent {
		t.Errorf("after Close: got digest %s, want absent", got)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	from := inventory.Snapshot{
		{Name: "same", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"1"}}}},
		{Name: "x", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"1", "latest"}}, {Digest: d("b")}, {Digest: d("c")}}},
		{Name: "removed", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"1"}}}},
	}.Sort()
	to := inventory.Snapshot{
		{Name: "x", Digests: []inventory.Tagged{{Digest: d("e"), Tags: []string{"latest"}}, {Digest: d("a"), Tags: []string{"1"}}, {Digest: d("b"), Tags: []string{"2"}}, {Digest: d("d")}}},
		{Name: "same", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"1"}}}},
	}.Sort()
	want := inventory.Difference{
		{Kind: inventory.Removed, Name: "removed", Tag: "1", Digest: d("a")},
		{Kind: inventory.Added, Name: "x", Digest: d("d")},
		{Kind: inventory.Removed, Name: "x", Digest: d("c")},
		{Kind: inventory.Added, Name: "x", Tag: "2", Digest: d("b")},
		{Kind: inventory.Moved, Name: "x", Tag: "latest", Digest: d("e"), Was: d("a")},
	}
	if diff := cmp.Diff(want, inventory.Diff(from, to)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := inventory.Diff(to, to); len(got) != 0 {
		t.Errorf("difference to itself: got %v, want none", got)
	}
}

func TestSortMergesImagesOfOneName(t *testing.T) {
	t.Parallel()
	got := inventory.Snapshot{
		{Name: "b", Digests: []inventory.Tagged{{Digest: d("b"), Tags: []string{"2"}}, {Digest: d("a")}}},
		{Name: "a", Digests: []inventory.Tagged{{Digest: d("a")}}},
		{Name: "b", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"z", "y", "z"}}}},
	}.Sort()
	want := inventory.Snapshot{
		{Name: "a", Digests: []inventory.Tagged{{Digest: d("a")}}},
		{Name: "b", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"y", "z"}}, {Digest: d("b"), Tags: []string{"2"}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTagsReadOneByOne(t *testing.T) {
	t.Parallel()
	var r inventory.Repository
	readErr := errors.New("down")
	r.SetTag("present", image.Hash("sha256:a"))
	r.SetAbsent("absent")
	r.SetFailed("failed", readErr)
	for tag, want := range map[string]inventory.State{
		"present": inventory.Present, "absent": inventory.Absent, "failed": inventory.Unknown, "unread": inventory.Unknown,
	} {
		if _, got := r.Tag(tag); got != want {
			t.Errorf("%s: got %s, want %s", tag, got, want)
		}
	}
	if got := r.Failure("failed"); !errors.Is(got, readErr) {
		t.Errorf("failed tag: got error %v, want %v", got, readErr)
	}
	if got := r.Failure("unread"); got != nil {
		t.Errorf("unread tag: got error %v, want none", got)
	}
}
