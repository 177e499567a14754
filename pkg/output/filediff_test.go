package output_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

func TestWriteFileDiff(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before []byte
		after  string
		color  bool
		want   string
	}{
		"lines":    {[]byte("a\nb\n"), "a\nc\n", false, "diff f f\n--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"},
		"colors":   {[]byte("a\n-b\n"), "a\n+c\n", true, "diff f f\n--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n\x1b[31m--b\x1b[0m\n\x1b[32m++c\x1b[0m\n"},
		"new file": {nil, "a\u202e\n", false, "diff /dev/null f\n--- /dev/null\n+++ f\n@@ -0,0 +1,1 @@\n+a\\u202e\n"},
		"the same": {[]byte("a\n"), "a\n", true, ""},
	} {
		var b strings.Builder
		if err := output.WriteFileDiff(&b, "f", tt.before, []byte(tt.after), tt.color); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, b.String()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
