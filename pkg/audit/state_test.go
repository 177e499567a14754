package audit

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

// filled returns a state file with all types of entries.
//
// Its buckets have several pages.
func filled(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "audit.db")
	s := testStore(t, file)
	var events []event.Event
	for i := range 300 {
		events = append(events, someEvent(fmt.Sprint(i)))
	}
	added, _, err := s.Enqueue(append(events, equal(1000, 20)...))
	if err != nil {
		t.Fatal(err)
	}
	var last func() error
	for i, w := range added[:200] {
		done := make(chan error, 1)
		go func() {
			_, _, err := s.Settle(w.Seq, verdict{Event: w.Event, Outcome: []outcome{verified, rejected, ignored}[i%3], Reason: strings.Repeat("so ", 50)})
			done <- err
		}()
		if last != nil {
			if err := last(); err != nil {
				t.Fatal(err)
			}
		}
		last = func() error { return <-done }
	}
	if err := last(); err != nil {
		t.Fatal(err)
	}
	if err := s.putDrift(drift{Destination: "r.example.com/prod", Findings: []finding{{Kind: extraTag, Repository: "r.example.com/prod/a", Tag: "t"}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// use opens a store, reads all entries and writes some.
func use(file string) error {
	s, err := openStore(file, true)
	if err != nil {
		return err
	}
	var waiting []waitingEvent
	_, errVerdicts := s.Verdicts(query{Limit: 1000})
	_, errDrift := s.drifts()
	errs := []error{errVerdicts, errDrift, s.EachPending(func(w waitingEvent) { waiting = append(waiting, w) })}
	for _, w := range waiting[:min(3, len(waiting))] {
		_, _, err := s.Settle(w.Seq, verdict{Event: w.Event, Outcome: rejected})
		errs = append(errs, err)
	}
	if _, _, err := s.Enqueue(equal(5000, 2)); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.Close())...)
}

// A damaged state file is an error at the start, unless the damage has no effect.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	good := filled(t)
	pages, err := readPages(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	used := int(pages.pages * pages.pageSize) // the rest has never been written to
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		raw := append([]byte{}, good...)
		what := ""
		switch i % 4 {
		case 0:
			n := random.IntN(used)
			raw, what = raw[:n], fmt.Sprintf("cut off after %d bytes", n)
		case 1:
			n, page := random.IntN(20), random.IntN(used/4096)
			for range n + 1 {
				raw[page*4096+random.IntN(64)] = byte(random.IntN(256))
			}
			what = fmt.Sprintf("head of page %d changed", page)
		case 2:
			page := random.IntN(len(raw) / 4096)
			clear(raw[page*4096 : page*4096+4096])
			what = fmt.Sprintf("page %d empty", page)
		case 3:
			from, to := random.IntN(used/4096), random.IntN(used/4096)
			copy(raw[to*4096:to*4096+4096], good[from*4096:from*4096+4096])
			what = fmt.Sprintf("page %d in place of page %d", from, to)
		}
		file := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		err := use(file)
		if i%4 == 0 && 0 < len(raw) && len(raw) < used && err == nil {
			t.Errorf("%s: got no error, want one", what)
		}
		if err != nil && !strings.Contains(err.Error(), "opening the store of verdicts "+file) {
			t.Errorf("%s: got %v, want an error at the start that names %s", what, err, file)
		}
	}
}

func TestFilesThatAreNotAState(t *testing.T) {
	t.Parallel()
	good := filled(t)
	for _, test := range []struct {
		name string
		make func(t *testing.T, file string)
		want string // empty: it can be used
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"an empty file", writes(nil), ""},
		{"a store", writes(good), ""},
		{"a store that is cut off", writes(good[:len(good)/2]), "it is damaged; move it away to start with a new one: it is cut off"},
		{"a page that is cut off", writes(good[:5000]), "it is damaged"},
		{"a file of another program", writes([]byte(strings.Repeat("SQLite format 3\x00", 1000))), "it is not a store of cip audit: --state needs another file"},
		{"a few bytes", writes([]byte("x")), "it is not a store of cip audit"},
		{"a database of another program", func(t *testing.T, file string) {
			db, err := bbolt.Open(file, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}, "it is not a store of cip audit"},
		{"a database that was never written to", func(t *testing.T, file string) {
			db, err := bbolt.Open(file, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"a directory", func(t *testing.T, file string) {
			if err := os.Mkdir(file, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "it is not a regular file"},
		{"a store in use", func(t *testing.T, file string) { testStore(t, file) }, "another process uses it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "state")
			test.make(t, file)
			err := use(file)
			switch want := "opening the store of verdicts " + file + ": " + test.want; {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want that it can be used", err)
			case test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	if err := use(filepath.Join(t.TempDir(), "missing", "state")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that does not exist: got %v, want %v", err, os.ErrNotExist)
	}
}

func writes(raw []byte) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		t.Helper()
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
