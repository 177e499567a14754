package transfer

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
)

func TestSpoolFeedsEveryReader(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"in memory": 1000, "on disk": spoolMemory + 12345} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := bytes.Repeat([]byte("abcdefg"), size/7)
			s := spoolOf(t, len(want))
			defer s.file.Close() // nil in memory
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					for range 2 { // a second reading, as after a failed upload
						r, _ := s.body()
						got, err := io.ReadAll(r)
						if err != nil || !bytes.Equal(got, want) {
							t.Errorf("read %d bytes of %d: %v", len(got), len(want), err)
						}
					}
				})
			}
			for rest := want; len(rest) > 0; {
				n := min(777, len(rest))
				if _, err := s.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			s.finish(nil)
			wg.Wait()
		})
	}
}

func TestSpoolEndsItsReaders(t *testing.T) {
	t.Parallel()
	s := spoolOf(t, 10)
	defer s.file.Close() // nil in memory
	broken := errors.New("broken")
	var wg sync.WaitGroup
	waiting, _ := s.body()
	closed, _ := s.body()
	wg.Go(func() {
		if _, err := io.ReadAll(waiting); !errors.Is(err, broken) {
			t.Errorf("got error %v, want %v", err, broken)
		}
	})
	wg.Go(func() {
		if _, err := io.ReadAll(closed); err == nil {
			t.Error("got the end of a closed reader, want an error")
		}
	})
	closed.Close()
	s.finish(broken)
	wg.Wait()
}

// A reader that has read wrong bytes fails. One that has read none gets the right bytes.
func TestSpoolBeginsAgain(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"in memory": 1000, "on disk": spoolMemory + 12345} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := spoolOf(t, size)
			defer s.file.Close() // nil in memory
			early, _ := s.body()
			late, _ := s.body()
			want := bytes.Repeat([]byte("y"), size)
			if _, err := s.Write(bytes.Repeat([]byte("x"), size/2)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(early, make([]byte, size/4)); err != nil {
				t.Fatal(err)
			}
			s.Reset()
			if _, err := early.Read(make([]byte, 1)); !errors.Is(err, errReset) {
				t.Errorf("a reader of what was dropped: got error %v, want %v", err, errReset)
			}
			_, err := s.Write(want)
			s.finish(err)
			if got, err := io.ReadAll(late); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %d bytes, %v, want the %d that were written", len(got), err, size)
			}
		})
	}
}

// spoolOf returns an empty spool: in a file for a large blob.
func spoolOf(t *testing.T, size int) *spool {
	t.Helper()
	if size <= spoolMemory {
		return newSpool(int64(size))
	}
	s, err := newFileSpool()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
