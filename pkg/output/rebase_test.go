package output

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each app has its state: a failed one has its error, and a base without a name has its top layer.
func TestRebaseText(t *testing.T) {
	t.Parallel()
	apps := []App{
		{App: "d.io/none:1", State: "failed", Error: "reading app: not\x1bfound"},
		{
			App: "d.io/web:1", State: "planned", PreviousDigest: digest("1"), Digest: digest("2"),
			From: AppBase{TopLayer: digest("a")}, Onto: AppNewBase{Image: "d.io/run:22", Digest: digest("3")},
			Layers: AppLayers{There: 2, Mounted: 3}, Names: []AppName{{Name: "d.io/web:1", State: "planned", PreviousDigest: digest("1")}},
		},
		{
			App: "d.io/api:1", State: "up to date", PreviousDigest: digest("4"), Digest: digest("4"),
			From: AppBase{Reference: "d.io/run@x", TopLayer: digest("a")}, Onto: AppNewBase{Image: "d.io/run:22", Digest: digest("3")},
			Names: []AppName{{Name: "d.io/api:1", State: "up to date", PreviousDigest: digest("4")}},
		},
	}
	for name, tc := range map[string]struct {
		r    Rebase
		want string
	}{
		"dry run": {Rebase{DryRun: true}, `app      d.io/none:1
failed   reading app: not\x1bfound

app      d.io/web:1
         ` + digest("1") + `
from     a run image with top layer ` + digest("a") + `
onto     d.io/run:22
         ` + digest("3") + `
result   ` + digest("2") + `
layers   2 already there, 3 to mount, 0 to copy

  planned     d.io/web:1  will move from ` + digest("1") + `

app      d.io/api:1
         ` + digest("4") + `
from     d.io/run@x
onto     d.io/run:22
         ` + digest("3") + `
result   unchanged: already on this run image

  up to date  d.io/api:1

Dry run: nothing was written.
`},
		"check": {Rebase{DryRun: true, Check: true}, `failed       d.io/none:1: reading app: not\x1bfound
out of date  d.io/web:1
  on      a run image with top layer sha256:` + strings.Repeat("a", 12) + `
  newest  d.io/run:22@sha256:` + strings.Repeat("3", 12) + `
up to date   d.io/api:1  on d.io/run:22

1 up to date, 1 out of date, 1 failed.
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.r.Apps = slices.Clone(apps); tc.r.Check {
				tc.r.Apps[1].State = "out of date"
			}
			var b strings.Builder
			if err := WriteRebase(&b, tc.r, Text); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, b.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
