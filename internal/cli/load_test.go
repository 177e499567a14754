package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
)

// Work that watches no context, such as reading large manifests, holds up no interrupt.
func TestOfflineWorkIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	began, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	go func() {
		<-began
		interrupt()
	}()
	err := offline(ctx, func() error {
		close(began)
		<-end
		return nil
	})
	if exit, ok := errors.AsType[*exitError](err); !ok || exit.code != exitInterrupted {
		t.Errorf("error %v, want one with exit code %d", err, exitInterrupted)
	}
	failed := errors.New("failed")
	if err := offline(t.Context(), func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v, want that of the work", err)
	}
}

// A redirected file has a name in /dev, which is a link out of it.
func TestManifestOfAnOpenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	place(t, dir, map[string]string{
		"plain.yaml": registries + "images: []\n", "native.yaml": "images: [{name: r.example/a, src_build_tag: x, tag: y}]\n", "fifo": "|",
	})
	open := func(name string) string {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return fmt.Sprintf("/dev/fd/%d", f.Fd())
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a plain manifest":         {[]string{"run", "--parse-only", "--manifest", open("plain.yaml")}, exitOK, ""},
		"a check":                  {[]string{"check", "--offline", "--manifest", open("plain.yaml")}, exitOK, "no findings"},
		"a FIFO":                   {[]string{"run", "--parse-only", "--manifest", open("fifo")}, exitFailed, "is not a regular file"},
		"a device":                 {[]string{"run", "--parse-only", "--manifest", "/dev/zero"}, exitFailed, "is not a regular file"},
		"a directory of manifests": {[]string{"run", "--parse-only", "--thin-manifest-dir", "/dev/fd"}, exitFailed, "a thin manifest directory holds"},
	} {
		if code, text := said(t, tc.args...); code != tc.code || !strings.Contains(text, tc.want) {
			t.Errorf("%s: got exit code %d, want %d and %q\n%s", name, code, tc.code, tc.want, text)
		}
	}
	if set := load.Native([]string{open("native.yaml")}); len(set.Manifests) != 1 || len(set.Faults) > 0 {
		t.Errorf("a native file: got %d manifests and faults %v, want one", len(set.Manifests), set.Faults)
	}
}
