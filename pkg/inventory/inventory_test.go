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
		t.Error("nothing is known of the zero value")
	}
	r.SetTag("x", d("a"))
	r.SetDigest(d("b"), inventory.Absent)
	if at, s := r.Tag("x"); at != d("a") || s != inventory.Present || r.Digest(d("a")) != inventory.Present {
		t.Error("a tag shows its digest")
	}
	r.CloseTags()
	if _, s := r.Tag("y"); s != inventory.Absent || r.Digest(d("c")) != inventory.Unknown || r.Digest(d("b")) != inventory.Absent {
		t.Error("closed tags say nothing of digests")
	}
	r.Close()
	if r.Digest(d("c")) != inventory.Absent {
		t.Error("a closed repository holds nothing else")
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	from := inventory.Snapshot{
		{Name: "same", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"1"}}}},
		{Name: "x", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"1", "latest"}}, {Digest: d("b")}, {Digest: d("c")}}},
		{Name: "gone", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"1"}}}},
	}.Sort()
	to := inventory.Snapshot{
		{Name: "x", Digests: []inventory.Tagged{{Digest: d("e"), Tags: []string{"latest"}}, {Digest: d("a"), Tags: []string{"1"}}, {Digest: d("b"), Tags: []string{"2"}}, {Digest: d("d")}}},
		{Name: "same", Digests: []inventory.Tagged{{Digest: d("a"), Tags: []string{"1"}}}},
	}.Sort()
	want := inventory.Difference{
		{Kind: inventory.Removed, Name: "gone", Tag: "1", Digest: d("a")},
		{Kind: inventory.Added, Name: "x", Digest: d("d")},
		{Kind: inventory.Removed, Name: "x", Digest: d("c")},
		{Kind: inventory.Added, Name: "x", Tag: "2", Digest: d("b")},
		{Kind: inventory.Moved, Name: "x", Tag: "latest", Digest: d("e"), Was: d("a")},
	}
	if diff := cmp.Diff(want, inventory.Diff(from, to)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := inventory.Diff(to, to); len(got) != 0 {
		t.Errorf("with itself: %v", got)
	}
}

func TestSortUnites(t *testing.T) {
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
	why := errors.New("down")
	r.SetTag("there", image.Hash("sha256:a"))
	r.SetAbsent("gone")
	r.SetFailed("dark", why)
	for tag, want := range map[string]inventory.State{
		"there": inventory.Present, "gone": inventory.Absent, "dark": inventory.Unknown, "unasked": inventory.Unknown,
	} {
		if _, got := r.Tag(tag); got != want {
			t.Errorf("%s: got %s, want %s", tag, got, want)
		}
	}
	if got := r.Failure("dark"); !errors.Is(got, why) || r.Failure("unasked") != nil {
		t.Errorf("got %v, want %v", got, why)
	}
}
