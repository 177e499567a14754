package output

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

func TestReadSnapshotCSV(t *testing.T) {
	t.Parallel()
	one, two := digest("1"), digest("2")
	want := inventory.Snapshot{{Name: "apple", Digests: []inventory.Tagged{
		{Digest: image.Hash(one), Tags: []string{"1.0", "latest"}}, {Digest: image.Hash(two)},
	}}}
	for name, tc := range map[string]struct{ text, problem string }{
		"lines":        {"apple@" + one + ",apple:1.0\r\n\napple@" + one + ",apple:latest\napple@" + two + ",-", ""},
		"another name": {"apple@" + one + ",apple:1.0\napple@" + one + ",pear:1.0\n", `line 2: want "apple:" and a tag, got "pear:1.0"`},
		"no digest":    {"apple@" + one + ",apple:1.0\n\napple,apple:1.0\n", `line 3: bad digest ""`},
		"a long line":  {"apple@" + one + ",apple:1.0\n" + strings.Repeat("a", 100_000) + "@" + one + ",-\napple@x,-\n", `line 3: bad digest "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadSnapshot([]byte(tc.text))
			if tc.problem != "" {
				if err == nil || !strings.Contains(err.Error(), "parsing the snapshot: "+tc.problem) {
					t.Errorf("got %v and error %v, want error %q", got, err, tc.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
