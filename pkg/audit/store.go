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

// store keeps the state of the auditor in one file.
//
// The state is the events that wait for a verdict, the verdicts, the drift that the
// last sweep found, and the alerts that are still to be sent. A committed change
// survives a kill of the process. A store is safe for concurrent use.
//
// Each outcome has a bucket of verdicts. Rejections that repeat another one have
// their own bucket, so that a flood of them cannot push out the others. The keys of
// these buckets are sequence numbers. The value of a verdict begins with the key of
// its event, by which an event that is sent again is recognised.
type store struct {
	db     *bbolt.DB
	remove string // temporary file to remove in Close, or ""
	alerts bool   // whether alerts are sent
	page   string // URL of the page for links in alerts, or ""

	maxPending int64             // events that may wait
	maxParts   int               // events that may wait as parts of one event
	maxAlerts  int64             // alerts that may wait
	limits     map[outcome]int64 // numbers of verdicts to keep, by bucket

	pending  atomic.Int64              // events that wait; equal events count once
	parts    atomic.Int64              // events that wait as parts of pending ones
	outgoing atomic.Int64              // alerts that wait
	counts   map[outcome]*atomic.Int64 // numbers of verdicts, by bucket
	dropped  dropped

	mu       sync.Mutex
	waiting  map[event.Fingerprint]*queued  // events that wait and are not being judged
	hosts    map[string]int64               // numbers of waiting events, by the host of their repository
	rejected map[event.Fingerprint]struct{} // events that were rejected since the start
	alerting map[event.Fingerprint][]byte   // keys of the alerts that wait
}

// The buckets, in addition to those of the outcomes.
const (
	bucketPending = "pending" // sequence number → Event
	bucketParts   = "parts"   // sequence number of a pending event, own sequence number → Event with the same fingerprint
	bucketKeys    = "keys"    // event key → sequence number and bucket
	bucketAlerts  = "alerts"  // sequence number → JSON
	bucketDrift   = "drift"   // destination → Drift
)

// Limits on the number of entries.
const (
	maxPending = 111_112 // events that wait, where equal events count once; more are refused
	maxParts   = 10_000  // equal events that wait as one and get a verdict each; more are dropped
	hostShare  = 9       // ratio of a host's events to free entries: 100,000 events if no other host has any
	maxAlerts  = 10_000  // alerts that wait; one more alert counts the rest
	keyLength  = 32      // bytes of an event's key
)

// repeated is the bucket of rejections that repeat another one.
//
// Its verdicts are removed before any others.
const repeated outcome = "REPEATED"

// errFull is the error if no more events can wait.
var errFull = errors.New("too many events wait for a verdict")

// openStore opens a store, or creates it if file does not exist.
//
// If file is "", the store is a temporary file without a name. Alerts are kept only
// if alerts is true.
func openStore(file string, alerts bool) (*store, error) {
	s := &store{
		alerts: alerts, maxPending: maxPending, maxParts: maxParts, maxAlerts: maxAlerts, counts: map[outcome]*atomic.Int64{},
		limits:  map[outcome]int64{verified: 100_000, rejected: 100_000, ignored: 20_000, repeated: 20_000},
		waiting: map[event.Fingerprint]*queued{}, hosts: map[string]int64{}, rejected: map[event.Fingerprint]struct{}{}, alerting: map[event.Fingerprint][]byte{},
	}
	o := &bbolt.Options{Timeout: lockLimit, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
	name := file
	if file == "" {
		f, err := os.CreateTemp("", "cip-audit-")
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("opening the store of verdicts: %w", err)
		}
		name, o.NoSync = f.Name(), true
	}
	err := checkState(name)
	if err == nil {
		s.db, err = bbolt.Open(name, 0o600, o)
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = errBusy
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store of verdicts %s: %w", name, err)
	}
	if file == "" && os.Remove(name) != nil {
		s.remove = name
	}
	s.db.MaxBatchDelay, s.db.MaxBatchSize = 2*time.Millisecond, 1000
	if err := s.db.Update(s.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store of verdicts %s: %w", name, err), s.Close())
	}
	return s, nil
}

// prepare creates missing buckets and counts the entries of all.
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

// number returns a sequence number as a key.
//
// The order of the keys is that of the numbers.
func number(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
