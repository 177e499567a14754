package manifest

import (
	"strings"
	"testing"
	"testing/fstest"
)

// A symbolic link may lead to any file. Messages must quote nothing of such a file.
func TestForeignFilesAreNotQuoted(t *testing.T) {
	t.Parallel()
	foreign := map[string]string{
		"token":         "eyJhbGciOiJSUzI1NiJ9.SECRET\n",
		"netrc":         "machine github.com login bot password SECRET\n",
		"credentials":   "https://bot:SECRET@github.com\n",
		"key":           "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n",
		"Docker":        `{"auths": {"ghcr.io": {"auth": "SECRET"}}, "SECRET": 1, "SECRET": 2}`,
		"shadow":        "root:SECRET:19000:0:99999:7:::\n",
		"keys":          "SECRET: a\nSECRET: b\n",
		"list":          "- SECRET\n- [SECRET]\n- SECRET: 1\n",
		"lists":         "- [SECRET]\n- {SECRET: 1, SECRET: 2}\n",
		"anchor":        "- *SECRET\n",
		"tag":           "a: !SECRET b\nc: !!int SECRET\nd: !!binary SECRET\n",
		"self":          "&SECRET [*SECRET]\n",
		"kubeconfig":    "apiVersion: v1\nkind: Config\nusers:\n- name: x\n  user: {token: SECRET}\n",
		"environment":   "TOKEN=SECRET\nexport X='SECRET\n",
		"tab":           "\tSECRET: SECRET\n",
		"control bytes": "SECRET\x01",
		"documents":     "SECRET\n---\nSECRET\n--- SECRET\n",
		"directive":     "%SECRET x\n---\na\n",
		"complex key":   "? [SECRET]\n: SECRET\n",
	}
	const list = "[]\n"
	const selectors = "- {name: app, select: {tag: v1}}\n"
	for name, text := range foreign {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, at := range []string{
				"images/a/images.yaml", "images/a/sources.yaml", "images/a/sources.lock.yaml", "manifests/a/promoter-manifest.yaml", "plain.yaml",
			} {
				files := fstest.MapFS{
					"manifests/a/promoter-manifest.yaml": {Data: []byte(twoRegistries)}, "images/a/images.yaml": {Data: []byte(list)},
					"images/a/sources.yaml": {Data: []byte(selectors)}, "plain.yaml": {Data: []byte(twoRegistries)},
				}
				files[at] = &fstest.MapFile{Data: []byte(text)}
				thin, _ := ThinSelectors(files, "", false)
				plain, _ := PlainSelectors(files, "plain.yaml", "")
				if all := Join(thin, plain, Native(files, "plain.yaml", "")); !all.Broken() {
					t.Errorf("%s: faults %q, want a broken file", at, faults(all))
				} else if got := strings.Join(faults(all), "\n"); strings.Contains(got, "SECRET") {
					t.Errorf("%s: faults\n%s\nwant nothing quoted of it", at, got)
				}
				_, err := NewImagesText([]byte(text), true).Wants()
				if err != nil && strings.Contains(err.Error(), "SECRET") {
					t.Errorf("reading the images gives %v, want nothing quoted of it", err)
				}
			}
		})
	}
}
