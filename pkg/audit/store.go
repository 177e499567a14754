package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

// store keeps, in one file, the events that wait for a verdict, the verdicts, the
// drift that the last sweep found, and the alerts that are still to be sent. What
// it has accepted survives a kill. It is safe for concurrent use.
//
// Verdicts are in a bucket for each outcome, and rejections that repeat another in
// one of their own, so that a flood of others cannot push rejections out. Keys are
// sequence numbers; a verdict's value begins with the event's key, by which one that
// is sent again is found.
type store struct {
	db     *bbolt.DB
	remove string // the file, where it could not be removed at once
	alerts bool

	most       int64             // events that may wait
	mostSame   int               // events that may wait as parts of one
	mostAlerts int64             // alerts that may wait
	limits     map[outcome]int64 // verdicts that are kept, by bucket

	pending  atomic.Int64 // events that wait, equal ones as one
	parts    atomic.Int64 // events that wait as parts of pending ones
	outgoing atomic.Int64
	counts   map[outcome]*atomic.Int64 // by bucket
	dropped  dropped

	mu       sync.Mutex
	waiting  map[event.Fingerprint]*queued  // events that wait and are not being judged, by what they say
	hosts    map[string]int64               // events that wait, by the host of their repository
	rejected map[event.Fingerprint]struct{} // what was rejected since the start
	alerting map[event.Fingerprint][]byte   // alerts that wait, by what they tell of
}

// The buckets beside those of the outcomes.
const (
	bucketPending = "pending" // sequence number → Event
	bucketParts   = "parts"   // sequence number of a pending one, its own → Event that says the same
	bucketKeys    = "keys"    // event key → sequence number and bucket
	bucketAlerts  = "alerts"  // sequence number → JSON
	bucketDrift   = "drift"   // destination → Drift
)

// How much is kept.
const (
	maxPending = 111_112 // events that wait, equal ones as one; more are not accepted
	maxSame    = 10_000  // events that wait as one and get a verdict each; more are dropped
	hostShare  = 9       // a host's events may be this many times what is still free: 100,000 if only it has some
	maxAlerts  = 10_000  // those that come while so many wait become one
	keyLength  = 32
)

// repeated is the bucket of rejections that repeat another: they are dropped before any other.
const repeated outcome = "REPEATED"

// ErrFull says that no more events can wait.
var errFull = errors.New("too many events wait for a verdict")

// OpenStore opens or makes a store. Without a file it lasts as long as the process.
// alerts says whether anything takes alerts.
func openStore(file string, alerts bool) (*store, error) {
	s := &store{
		alerts: alerts, most: maxPending, mostSame: maxSame, mostAlerts: maxAlerts, counts: map[outcome]*atomic.Int64{},
		limits:  map[outcome]int64{verified: 100_000, rejected: 100_000, ignored: 20_000, repeated: 20_000},
		waiting: map[event.Fingerprint]*queued{}, hosts: map[string]int64{}, rejected: map[event.Fingerprint]struct{}{}, alerting: map[event.Fingerprint][]byte{},
	}
	o := &bbolt.Options{Timeout: lockLimit, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
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
	if err := checkState(name); err != nil {
		return nil, fmt.Errorf("opening the store of verdicts %s: %w", name, err)
	}
	db, err := bbolt.Open(name, 0o600, o)
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = errBusy
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
func (s *store) prepare(tx *bbolt.Tx) error {
	names := []string{bucketPending, bucketParts, bucketKeys, bucketAlerts, bucketDrift}
	for outcome := range s.limits {
		names = append(names, string(outcome))
		s.counts[outcome] = &atomic.Int64{}
	}
	for _, name := range names {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	s.outgoing.Store(int64(tx.Bucket([]byte(bucketAlerts)).Stats().KeyN))
	for bucket, n := range s.counts {
		n.Store(int64(tx.Bucket([]byte(bucket)).Stats().KeyN))
	}
	s.parts.Store(int64(tx.Bucket([]byte(bucketParts)).Stats().KeyN))
	return eachPending(tx, func(w waitingEvent) {
		s.pending.Add(1)
		s.hosts[w.Event.Repository.RegistryStr()]++
		s.waiting[w.Event.Fingerprint()] = &queued{seq: w.Seq, latest: w.Event.Received}
	})
}

// Close closes the store.
func (s *store) Close() error {
	err := s.db.Close()
	if s.remove != "" {
		err = errors.Join(err, os.Remove(s.remove))
	}
	return err
}

// number returns a sequence number as a key, in order.
func number(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
