package audit

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Store keeps, in one file, the events that wait for a verdict, the verdicts, the
// drift that the last sweep found, and the alerts that are still to be sent. What
// it has accepted survives a kill. It is safe for concurrent use.
//
// Verdicts are in a bucket for each outcome, so that a flood of ignored events
// cannot push rejected ones out. Keys are sequence numbers; a verdict's value begins
// with the event's key, by which one that is sent again is found.
type Store struct {
	db     *bbolt.DB
	remove string // the file, where it could not be removed at once
	alerts bool

	most   int64             // events that may wait
	limits map[Outcome]int64 // verdicts that are kept

	pending  atomic.Int64
	outgoing atomic.Int64
	counts   map[Outcome]*atomic.Int64
}

// The buckets beside those of the outcomes.
const (
	bucketPending = "pending" // sequence number → Event
	bucketKeys    = "keys"    // event key → sequence number and bucket
	bucketAlerts  = "alerts"  // sequence number → JSON
	bucketDrift   = "drift"   // destination → Drift
)

// How much is kept.
const (
	maxPending = 100_000 // events; more are not accepted
	maxAlerts  = 10_000  // the oldest go first
	keyLength  = 32
)

// ErrFull says that no more events can wait.
var ErrFull = errors.New("too many events wait for a verdict")

// OpenStore opens or makes a store. Without a file it lasts as long as the process.
// alerts says whether anything takes alerts.
func OpenStore(file string, alerts bool) (*Store, error) {
	s := &Store{
		alerts: alerts, most: maxPending, counts: map[Outcome]*atomic.Int64{},
		limits: map[Outcome]int64{Verified: 100_000, Rejected: 100_000, Ignored: 20_000},
	}
	o := &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
	name := file
	if file == "" {
		f, err := os.CreateTemp("", "cip-audit-")
		if err != nil {
			return nil, fmt.Errorf("opening the store of verdicts: %w", err)
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("opening the store of verdicts: %w", err)
		}
		name, o.NoSync = f.Name(), true
	}
	db, err := bbolt.Open(name, 0o600, o)
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = errors.New("another process uses it")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store of verdicts %s: %w", name, err)
	}
	if file == "" && os.Remove(name) != nil {
		s.remove = name
	}
	db.MaxBatchDelay, db.MaxBatchSize = 2*time.Millisecond, 1000
	s.db = db
	if err := db.Update(s.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store of verdicts %s: %w", name, err), s.Close())
	}
	return s, nil
}

// prepare makes the buckets and counts what they hold.
func (s *Store) prepare(tx *bbolt.Tx) error {
	names := []string{bucketPending, bucketKeys, bucketAlerts, bucketDrift}
	for outcome := range s.limits {
		names = append(names, string(outcome))
		s.counts[outcome] = &atomic.Int64{}
	}
	for _, name := range names {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	s.pending.Store(int64(tx.Bucket([]byte(bucketPending)).Stats().KeyN))
	s.outgoing.Store(int64(tx.Bucket([]byte(bucketAlerts)).Stats().KeyN))
	for outcome, n := range s.counts {
		n.Store(int64(tx.Bucket([]byte(outcome)).Stats().KeyN))
	}
	return nil
}

// Close closes the store.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.remove != "" {
		err = errors.Join(err, os.Remove(s.remove))
	}
	return err
}

// Pending returns how many events wait for a verdict.
func (s *Store) Pending() int { return int(s.pending.Load()) }

// Waiting is an event that waits for a verdict.
type Waiting struct {
	Seq   uint64
	Event Event
}

// Enqueue makes events wait. It returns those that were not known already, once
// they are on disk: all of them or, with an error, none.
func (s *Store) Enqueue(events []Event) ([]Waiting, error) {
	var added []Waiting
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		added = nil
		pending, keys := tx.Bucket([]byte(bucketPending)), tx.Bucket([]byte(bucketKeys))
		for _, e := range events {
			key := e.key()
			if key != "" && keys.Get([]byte(key)) != nil {
				continue
			}
			raw, err := json.Marshal(e)
			if err != nil {
				return err
			}
			seq, err := pending.NextSequence()
			if err != nil {
				return err
			}
			if err := pending.Put(number(seq), raw); err != nil {
				return err
			}
			if key != "" {
				if err := keys.Put([]byte(key), append(number(seq), bucketPending...)); err != nil {
					return err
				}
			}
			added = append(added, Waiting{seq, e})
		}
		if s.pending.Load()+int64(len(added)) > s.most {
			return ErrFull
		}
		n := int64(len(added))
		tx.OnCommit(func() { s.pending.Add(n) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

// EachPending calls f with each event that waits, the oldest first.
func (s *Store) EachPending(f func(Waiting)) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketPending)).ForEach(func(k, raw []byte) error {
			w := Waiting{Seq: binary.BigEndian.Uint64(k)}
			if err := json.Unmarshal(raw, &w.Event); err != nil {
				return fmt.Errorf("reading a waiting event: %w", err)
			}
			f(w)
			return nil
		})
	})
}

// Event returns an event that waits.
func (s *Store) Event(seq uint64) (e Event, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return json.Unmarshal(tx.Bucket([]byte(bucketPending)).Get(number(seq)), &e)
	})
	if err != nil {
		return e, fmt.Errorf("reading a waiting event: %w", err)
	}
	return e, nil
}

// number returns a sequence number as a key, in order.
func number(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
