package promote

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// roomOf is a room on a file system that has so many bytes, all free.
func roomOf(bytes int64) *room {
	r := newRoom(0)
	r.space = func(string) (int64, int64, error) { return bytes, bytes, nil }
	return r
}

func TestRoomIsLeft(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, tc := range map[string]struct {
		free, size int64
		want       string // the error; empty: there is room
	}{
		"it fits":                       {100 * mib, 95 * mib, ""},
		"it would leave too little":     {100 * mib, 95*mib + 1, os.TempDir() + " (TMPDIR says where) has room for 99614720"},
		"a blob that no registry takes": {1 << 60, 1 << 50, "it has 1125899906842624 bytes: more than 274877906944 are refused"},
		"a small one needs no file":     {0, spoolMemory, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := roomOf(tc.free)
			s, err := r.spool(t.Context(), tc.size)
			if err == nil {
				r.free(s, tc.size)
			}
			if (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// A blob waits for room that another one takes up, but not after the run has ended.
func TestBlobsWaitForRoom(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	r := roomOf(2 * size)
	first, err := r.spool(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.spool(ctx, size); err == nil || ctx.Err() == nil {
		t.Errorf("got %v before the first has left, want to wait until the end", err)
	}
	done := make(chan error)
	go func() {
		s, err := r.spool(t.Context(), size)
		if err == nil {
			r.free(s, size)
		}
		done <- err
	}()
	r.free(first, size)
	if err := <-done; err != nil {
		t.Errorf("got %v after the first has left, want room", err)
	}
}
