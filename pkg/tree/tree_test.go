package tree_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/tree"
)

// write creates a directory with files, links ("-> target") and FIFOs ("|").
//
// It also creates another directory, with a secret. DIR and OUT in a target are replaced
// by the absolute paths of the two.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	out, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "secret"), []byte("SECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case err != nil:
		case link:
			err = os.Symlink(strings.NewReplacer("DIR", dir, "OUT", out).Replace(target), at)
		case text == "|":
			err = syscall.Mkfifo(at, 0o600)
		default:
			err = os.WriteFile(at, []byte(text), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTreeReads(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files map[string]string
		want  string // the content of "d/file", or a part of the error
	}{
		"file":                          {map[string]string{"d/file": "text"}, "text"},
		"link next to it":               {map[string]string{"d/file": "-> other", "d/other": "text"}, "text"},
		"link up":                       {map[string]string{"d/file": "-> ../other", "other": "text"}, "text"},
		"absolute link within":          {map[string]string{"d/file": "-> DIR/other", "other": "text"}, "text"},
		"link of a directory":           {map[string]string{"d": "-> e", "e/file": "text"}, "text"},
		"links after each other":        {map[string]string{"d/file": "-> ../e/up/other", "e/up": "-> ..", "other": "text"}, "text"},
		"up from a linked directory":    {map[string]string{"d": "-> e/f", "e/f/file": "-> ../other", "e/other": "text"}, "text"},
		"no file":                       {nil, "file does not exist"},
		"link to nothing":               {map[string]string{"d/file": "-> other"}, "a symbolic link to a file that does not exist"},
		"link to nothing, twice":        {map[string]string{"d/file": "-> ../e/link", "e/link": "-> other/x"}, "a symbolic link to a file that does not exist"},
		"directory linked to nothing":   {map[string]string{"d": "-> e"}, "a symbolic link to a file that does not exist"},
		"no file in a linked directory": {map[string]string{"d": "-> e/../e", "e/other": "text"}, "file does not exist"},
		"below a file":                  {map[string]string{"d": "text"}, "not a directory"},
		"loop":                          {map[string]string{"d/file": "-> file"}, "too many symbolic links"},
		"absolute link out":             {map[string]string{"d/file": "-> OUT/secret"}, "a symbolic link out of the directory"},
		"relative link out":             {map[string]string{"d/file": "-> ../../../../../../../../etc/hostname"}, "a symbolic link out of the directory"},
		"link out and back":             {map[string]string{"d/file": "-> ../../x/../other", "other": "text"}, "a symbolic link out of the directory"},
		"directory out":                 {map[string]string{"d": "-> OUT"}, "a symbolic link out of the directory"},
		"through a link":                {map[string]string{"d/file": "-> ../e/secret", "e": "-> OUT"}, "a symbolic link out of the directory"},
		"device":                        {map[string]string{"d/file": "-> /dev/zero"}, "a symbolic link out of the directory"},
		"FIFO":                          {map[string]string{"d/file": "|"}, "is not a regular file"},
		"link to a FIFO":                {map[string]string{"d/file": "-> ../other", "other": "|"}, "is not a regular file"},
		"a file in .git":                {map[string]string{"d/file": "-> ../.git/config", ".git/config": "text"}, "belongs to git"},
		"a file in .GIT":                {map[string]string{"d/file": "-> ../.GIT/config", ".GIT/config": "text"}, "belongs to git"},
		"a link to .git":                {map[string]string{"d": "-> .git", ".git/file": "text"}, "belongs to git"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := tree.Open(write(t, tc.files))
			defer files.Close()
			got := ""
			raw, err := fs.ReadFile(files, "d/file")
			if got = string(raw); err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tc.want) && !(os.IsNotExist(err) && tc.want == "file does not exist") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if strings.Contains(got, "SECRET") {
				t.Errorf("got %q, want no content from outside", got)
			}
		})
	}
}

func TestTreeIsAFileSystem(t *testing.T) {
	t.Parallel()
	files := tree.Open(write(t, map[string]string{"a/b": "1", "a/c/d": "2", "e": "3"}))
	defer files.Close()
	if err := fstest.TestFS(struct{ fs.FS }{files}, "a/b", "a/c/d", "e"); err != nil {
		t.Errorf("got error %v, want none", err)
	}
}

func TestNoDirectory(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"file": "text"})
	for name, want := range map[string]string{"none": "no such file or directory", "file": "not a directory"} {
		files := tree.Open(filepath.Join(dir, name))
		_, err := files.Stat(".")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one that contains %q", name, err, want)
		}
		if err := files.Replace("x", nil); err == nil {
			t.Errorf("%s: Replace: got no error, want one", name)
		}
		if err := files.Close(); err != nil {
			t.Errorf("%s: Close: got error %v, want none", name, err)
		}
	}
}

// snapshot returns the files of a directory, in the format of write.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		switch e.Type() {
		case 0:
			raw, err := os.ReadFile(at)
			all[name] = string(raw)
			return err
		case fs.ModeSymlink:
			target, err := os.Readlink(at)
			all[name] = "-> " + target
			return err
		}
		all[name] = "|"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTreeReplaces(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files map[string]string
		want  map[string]string // the files afterwards; nil: unchanged, with an error
	}{
		"new":              {map[string]string{"d/other": "1"}, map[string]string{"d/other": "1", "d/file": "new"}},
		"old":              {map[string]string{"d/file": "old"}, map[string]string{"d/file": "new"}},
		"link to a file":   {map[string]string{"d/file": "-> ../e/file", "e/file": "1"}, map[string]string{"d/file": "new", "e/file": "1"}},
		"link to nothing":  {map[string]string{"d/file": "-> ../e", "x": "1"}, map[string]string{"d/file": "new", "x": "1"}},
		"below a link":     {map[string]string{"d": "-> e", "e/file": "1"}, nil},
		"below a link out": {map[string]string{"d": "-> /tmp"}, nil},
		"FIFO":             {map[string]string{"d/file": "|"}, nil},
		"directory":        {map[string]string{"d/file/x": "1"}, nil},
		"no directory":     {map[string]string{"x": "1"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, tc.files)
			files := tree.Open(dir)
			defer files.Close()
			want := tc.want
			if want == nil {
				want = tc.files
			}
			if err := files.Replace("d/file", []byte("new")); (err != nil) != (tc.want == nil) {
				t.Errorf("got error %v, want one: %t", err, tc.want == nil)
			}
			if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
				t.Errorf("files (-want +got)\n%s", diff)
			}
		})
	}
}

// Several files are replaced, or none if one of them cannot be written.
func TestTreeReplacesAll(t *testing.T) {
	t.Parallel()
	before := map[string]string{"a": "1", "d/b": "2", "e": "-> d"}
	for name, tc := range map[string]struct {
		last string // the name of the last file
		want map[string]string
	}{
		"all":  {"d/c", map[string]string{"a": "new a", "d/b": "new d/b", "d/c": "new d/c", "e": "-> d"}},
		"none": {"e/c", before},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, before)
			files := tree.Open(dir)
			defer files.Close()
			var all []tree.File
			for _, name := range []string{"a", "d/b", tc.last} {
				all = append(all, tree.File{Name: name, Data: []byte("new " + name)})
			}
			if err := files.ReplaceAll(all); (err != nil) != (name == "none") {
				t.Errorf("got error %v, want one: %t", err, name == "none")
			}
			if diff := cmp.Diff(tc.want, snapshot(t, dir)); diff != "" {
				t.Errorf("files (-want +got)\n%s", diff)
			}
		})
	}
}

func TestTreeKeepsPermissions(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"file": "old"})
	files := tree.Open(dir)
	defer files.Close()
	for name, want := range map[string]fs.FileMode{"file": 0o640, "new": 0o644} {
		if err := files.Replace(name, []byte("new")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: got mode %v, want %v", name, info.Mode(), want)
		}
	}
}
