package cli

import (
	"bytes"
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
)

// What a base that cannot be read wanted is not known, so that the removal rule passes nothing.
func TestCheckOfAnUnreadableBase(t *testing.T) {
	t.Parallel()
	const list, file, unknown = "t/images/a/images.yaml", "t/manifests/a/promoter-manifest.yaml", "0123456789012345678901234567890123456789"
	tests := map[string]struct {
		base  map[string]string // files that are different there, or missing: ""
		rev   string            // "": the commit of the base
		spoil func(dir string) error
		want  string // what the check prints; "": it passes
	}{
		"readable":                   {},
		"no manifests":               {base: map[string]string{list: "", file: "", "t/README.md": "x"}},
		"no directory":               {base: map[string]string{list: "", file: "", "README.md": "x"}},
		"unknown revision":           {rev: "nowhere", want: `reading revision "nowhere"`},
		"unknown commit":             {rev: unknown, want: "no such revision"},
		"shallow clone":              {rev: "HEAD~1", spoil: func(dir string) error { return os.WriteFile(dir+"/.git/shallow", []byte(unknown+"\n"), 0o600) }, want: "no such revision in this shallow clone"},
		"no git repository":          {spoil: func(dir string) error { return os.RemoveAll(dir + "/.git") }, want: "not in a git repository"},
		"no list":                    {base: map[string]string{list: ""}, want: "no such file or directory"},
		"broken list":                {base: map[string]string{list: "- ["}, want: "bad YAML"},
		"broken manifest":            {base: map[string]string{file: "registries: []\n"}, want: "registries is empty"},
		"link out of the repository": {base: map[string]string{list: "-> /etc/hostname"}, want: "a symbolic link out of the repository"},
		"link to nothing":            {base: map[string]string{list: "-> none"}, want: "a symbolic link to a file that does not exist"},
		"a directory elsewhere":      {base: map[string]string{list: "", "t/images/a": "-> ../../../x"}, want: "a symbolic link out of the repository"},
		"directories elsewhere":      {base: map[string]string{list: "", file: "", "t/images/a": "-> /x", "t/manifests/a": "-> /x", "t/manifests/b/promoter-manifest.yaml": registries, "t/images/b/images.yaml": "[]\n"}, want: "a symbolic link out of the repository"},
		"the only directory elsewhere, with a list": {base: map[string]string{file: "", "t/manifests/a": "-> /x"}, want: "a symbolic link out of the repository"},
		"the only directory elsewhere":              {base: map[string]string{list: "", "t/images/x": "x", file: "", "t/manifests/a": "-> /x"}, want: "no thin manifest in it"},
		"the only directory elsewhere, no images":   {base: map[string]string{list: "", file: "", "t/manifests/a": "-> /x"}, want: "no such file or directory: a thin manifest directory holds"},
		"the only directory is a link to nothing":   {base: map[string]string{file: "", "t/manifests/a": "-> none"}, want: "a symbolic link to a file that does not exist"},
		"manifests are a link to nothing":           {base: map[string]string{file: "", "t/manifests": "-> none"}, want: "a symbolic link to a file that does not exist"},
		"a directory without a manifest":            {base: map[string]string{file: "", "t/manifests/a/README.md": "x"}},
		"all of it elsewhere":                       {base: map[string]string{list: "", file: "", "t": "-> ../x"}, want: "a symbolic link out of the repository"},
		"manifests elsewhere":                       {base: map[string]string{file: "", "t/manifests": "-> ../../x"}, want: "a symbolic link out of the repository"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			head := map[string]string{list: "[]\n", file: registries}
			base := maps.Clone(head)
			maps.Copy(base, tc.base)
			maps.DeleteFunc(base, func(_, text string) bool { return text == "" })
			place(t, dir, base)
			rev := cmp.Or(tc.rev, gittest.CommitAll(t, dir))
			for _, name := range []string{"t", "README.md"} {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			place(t, dir, head)
			if tc.spoil != nil {
				if err := tc.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
			for _, by := range []string{"flag", "variable"} {
				args := []string{"check", "--offline", "--thin-manifest-dir", filepath.Join(dir, "t")}
				variable := ""
				if by == "flag" {
					args = append(args, "--base", rev)
				} else {
					variable = rev
				}
				var out, stderr bytes.Buffer
				s := streams{out: &out, err: &stderr, getenv: func(name string) string {
					if name == baseVariable {
						return variable
					}
					return ""
				}}
				code := execute(t.Context(), newRootCmd(s), args, s)
				failed := strings.Contains(out.String(), ": removal: not checked: ") && strings.Contains(out.String(), tc.want)
				if want := tc.want != ""; failed != want || (code == exitFailed) != want {
					t.Errorf("by %s: exit code %d, want a finding that says %q: %v\n%s%s", by, code, tc.want, want, &out, &stderr)
				}
			}
		})
	}
}

const registries = "registries: [{name: r.example/a, src: true}, {name: r.example/b}]\n"
