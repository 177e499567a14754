package docs_test

import (
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

var policyRE = regexp.MustCompile("(?ms)^```yaml\n(provenance:\n.*?)^```")

// TestPoliciesOfPages holds that the policies on the pages are valid and enabled.
func TestPoliciesOfPages(t *testing.T) {
	t.Parallel()
	for page, text := range pages(t) {
		blocks := policyRE.FindAllStringSubmatch(text, -1)
		if page == "evidence.md" && len(blocks) < 3 {
			t.Errorf("%s: got %d policies, want more: they are not found any more", page, len(blocks))
		}
		for _, block := range blocks {
			const head = "registries: [{name: a.example/staging, src: true}, {name: b.example/production}]\n"
			images := "images: [{name: apple, dmap: {\"sha256:" + strings.Repeat("a", 64) + "\": []}}, {name: tools/saw, dmap: {\"sha256:" + strings.Repeat("b", 64) + "\": []}}]\n"
			set := manifest.Plain(fstest.MapFS{"m.yaml": {Data: []byte(head + images + block[1])}}, "m.yaml", "m.yaml")
			if len(set.Faults) > 0 || len(set.Manifests) != 1 || !set.Manifests[0].Policy.Enabled() {
				t.Errorf("%s: got faults %v, want none, and a policy that is enabled, of:\n%s", page, set.Faults, block[1])
			}
		}
	}
}
