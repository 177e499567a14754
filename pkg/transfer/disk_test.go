package transfer

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// diskOf returns a disk on an empty file system of a number of bytes.
func diskOf(bytes int64) *disk {
	d := newDisk(0)
	d.space = func(string) (int64, int64, error) { return bytes, bytes, nil }
	return d
}

func TestDiskLeavesSpaceFree(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, tc := range map[string]struct {
		free, size int64
		want       string // part of the error; empty: none
	}{
		"it fits":                       {100 * mib, 95 * mib, ""},
		"it would leave too little":     {100 * mib, 95*mib + 1, os.TempDir() + " (TMPDIR says where) has room for 99614720"},
		"a blob that no registry takes": {1 << 60, 1 << 50, "it has 1125899906842624 bytes: more than 274877906944 are refused"},
		"a small one needs no file":     {0, spoolMemory, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := diskOf(tc.free)
			s, err := d.spool(t.Context(), tc.size)
			if err == nil {
				d.free(s, tc.size)
			}
			if (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// Small blobs are in memory up to a limit, and then in files. Where there is no space for
// files, they wait for memory.
func TestSmallBlobsInMemory(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		space  int64
		inFile bool
	}{
		"space for files": {1 << 30, true},
		"a full disk":     {0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := diskOf(tc.space)
			var held []*spool
			for range maxMemory / spoolMemory {
				s, err := d.spool(t.Context(), spoolMemory)
				if err != nil {
					t.Fatal(err)
				}
				if s.file != nil {
					t.Fatalf("got a file for blob %d, want memory", len(held))
				}
				held = append(held, s)
			}
			next := make(chan *spool)
			go func() {
				s, err := d.spool(t.Context(), spoolMemory)
				if err != nil {
					t.Error(err)
				}
				next <- s
			}()
			if !tc.inFile {
				d.free(held[0], spoolMemory)
			}
			s := <-next
			if got := s.file != nil; got != tc.inFile {
				t.Errorf("the next blob is in a file: got %t, want %t", got, tc.inFile)
			}
			d.free(s, spoolMemory)
		})
	}
}

// A blob waits for space that another one occupies, until the context ends.
func TestDiskWaitsForSpace(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	d := diskOf(2 * size)
	first, err := d.spool(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := d.spool(ctx, size); err == nil || ctx.Err() == nil {
		t.Errorf("got %v while the first is there, want the error of the context", err)
	}
	done := make(chan error)
	go func() {
		s, err := d.spool(t.Context(), size)
		if err == nil {
			d.free(s, size)
		}
		done <- err
	}()
	d.free(first, size)
	if err := <-done; err != nil {
		t.Errorf("got %v after the first is freed, want none", err)
	}
}
