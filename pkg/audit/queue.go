package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

// sameSpan bounds how much equal events make a waiting event younger.
const sameSpan = 30 * time.Second

// queued is a waiting event that is not being judged.
type queued struct {
	seq    uint64
	latest time.Time // when the last equal event was received
	parts  int       // number of equal events
}

// waitingEvent is an event that waits for a verdict.
type waitingEvent struct {
	Seq   uint64
	Event event.Event
}

// Pending returns how many events wait for a verdict.
func (s *store) Pending() int { return int(s.pending.Load() + s.parts.Load()) }

// enqueuing is one transaction of Enqueue.
type enqueuing struct {
	*store
	tx     *bbolt.Tx
	added  []waitingEvent
	known  int   // events that were sent before
	parts  int64 // events that became parts
	lost   int64 // events that were dropped
	byHost map[string]int64
}

// Enqueue stores events that wait for a verdict.
//
// It returns once all of them are on disk; after an error, none is. added are the
// events that need a judgement of their own, and fresh is the number of events that
// were not known. An event that is equal to a waiting one becomes a part of it.
func (s *store) Enqueue(events []event.Event) (added []waitingEvent, fresh int, err error) {
	var q *enqueuing
	err = s.db.Batch(func(tx *bbolt.Tx) error {
		q = &enqueuing{store: s, tx: tx, byHost: map[string]int64{}}
		for _, e := range events {
			if err := q.one(e); err != nil {
				return err
			}
		}
		if !q.room() {
			return errFull
		}
		tx.OnCommit(q.count)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return q.added, len(events) - q.known, nil
}

// one stores one event.
func (q *enqueuing) one(e event.Event) error {
	key := e.Key()
	if keys := q.tx.Bucket([]byte(bucketKeys)); key != "" && keys.Get([]byte(key)) != nil {
		q.known++
		return nil
	}
	if joined, err := q.join(e, key); joined || err != nil {
		return err
	}
	pending := q.tx.Bucket([]byte(bucketPending))
	seq, err := pending.NextSequence()
	if err != nil {
		return err
	}
	if err := q.put(bucketPending, number(seq), e, key, seq); err != nil {
		return err
	}
	q.mu.Lock()
	q.waiting[e.Fingerprint()] = &queued{seq: seq, latest: e.Received}
	q.mu.Unlock()
	q.added = append(q.added, waitingEvent{seq, e})
	q.byHost[e.Repository.RegistryStr()]++
	return nil
}

// join makes an event a part of an equal waiting event.
//
// It reports whether there is one. The entry in memory may come from a transaction
// that failed, so the bucket decides.
func (q *enqueuing) join(e event.Event, key string) (bool, error) {
	q.mu.Lock()
	var same queued
	if w := q.waiting[e.Fingerprint()]; w != nil {
		w.latest = e.Received
		w.parts++
		same = *w
	}
	q.mu.Unlock()
	if same.seq == 0 {
		return false, nil
	}
	first, err := pendingAt(q.tx, same.seq)
	if err != nil || first == nil || first.Fingerprint() != e.Fingerprint() {
		return false, err
	}
	if same.parts > q.maxParts || q.store.parts.Load()+q.parts >= q.maxPending {
		q.lost++
		return true, nil
	}
	n, err := q.tx.Bucket([]byte(bucketParts)).NextSequence()
	if err != nil {
		return true, err
	}
	q.parts++
	return true, q.put(bucketParts, append(number(same.seq), number(n)...), e, key, same.seq)
}

// put writes an event and its key to a bucket.
//
// seq is the sequence number of the event that it waits as, which is its own or that
// of the event that it is a part of.
func (q *enqueuing) put(bucket string, at []byte, e event.Event, key string, seq uint64) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := q.tx.Bucket([]byte(bucket)).Put(at, raw); err != nil || key == "" {
		return err
	}
	return q.tx.Bucket([]byte(bucketKeys)).Put([]byte(key), append(number(seq), bucketPending...))
}

// room reports whether the new events fit.
//
// One host can never fill the queue: a share is kept free for other hosts.
func (q *enqueuing) room() bool {
	free := q.maxPending - q.pending.Load() - int64(len(q.added))
	if free < 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for host, n := range q.byHost {
		if q.hosts[host]+n > hostShare*free {
			return false
		}
	}
	return true
}

// count adds the new events to the counters.
func (q *enqueuing) count() {
	q.pending.Add(int64(len(q.added)))
	q.store.parts.Add(q.parts)
	q.dropped.events.Add(q.lost)
	q.mu.Lock()
	defer q.mu.Unlock()
	for host, n := range q.byHost {
		q.hosts[host] += n
	}
}

// pendingAt returns the event waiting under a sequence number, or nil.
func pendingAt(tx *bbolt.Tx, seq uint64) (*event.Event, error) {
	raw := tx.Bucket([]byte(bucketPending)).Get(number(seq))
	if raw == nil {
		return nil, nil
	}
	return decodeEvent(raw)
}

func decodeEvent(raw []byte) (*event.Event, error) {
	e := &event.Event{}
	if err := json.Unmarshal(raw, e); err != nil {
		return nil, fmt.Errorf("reading a waiting event: %w", err)
	}
	return e, nil
}

// part is an event that waits as another's part.
type part struct {
	key []byte
	*event.Event
}

// partsOf returns the parts of a waiting event.
func partsOf(tx *bbolt.Tx, seq uint64) (all []part, err error) {
	c := tx.Bucket([]byte(bucketParts)).Cursor()
	for k, raw := c.Seek(number(seq)); bytes.HasPrefix(k, number(seq)); k, raw = c.Next() {
		e, err := decodeEvent(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, part{bytes.Clone(k), e})
	}
	return all, nil
}

// eachPending calls f with each waiting event, the oldest first.
func eachPending(tx *bbolt.Tx, f func(waitingEvent)) error {
	return tx.Bucket([]byte(bucketPending)).ForEach(func(k, raw []byte) error {
		e, err := decodeEvent(raw)
		if err != nil {
			return err
		}
		f(waitingEvent{binary.BigEndian.Uint64(k), *e})
		return nil
	})
}

// EachPending calls f with each waiting event, the oldest first.
//
// Parts of an event are left out.
func (s *store) EachPending(f func(waitingEvent)) error {
	return s.db.View(func(tx *bbolt.Tx) error { return eachPending(tx, f) })
}

// Take returns a waiting event about to be judged.
//
// ok is false if the event no longer waits. From now on, equal events do not become
// parts of it: they may be about a later state of the registry than the one that is
// read for this event. Received becomes that of the last part, but grows by sameSpan
// at most, so that a flood of equal events cannot delay the verdict.
func (s *store) Take(seq uint64) (e event.Event, ok bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		p, err := pendingAt(tx, seq)
		if p != nil {
			e, ok = *p, true
		}
		return err
	})
	if err != nil || !ok {
		return e, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.waiting[e.Fingerprint()]; q != nil && q.seq == seq {
		delete(s.waiting, e.Fingerprint())
		if limit := e.Received.Add(sameSpan); q.latest.After(limit) {
			e.Received = limit
		} else if q.latest.After(e.Received) {
			e.Received = q.latest
		}
	}
	return e, true, nil
}

// Return puts back an event that was taken and could not be judged.
//
// If an equal event was stored in the meantime, it becomes a part of this one.
func (s *store) Return(seq uint64, e event.Event) error {
	return s.db.Batch(func(tx *bbolt.Tx) error {
		if still, err := pendingAt(tx, seq); still == nil {
			return err // it became a part of another while it was judged
		}
		s.mu.Lock()
		later := s.waiting[e.Fingerprint()]
		s.mu.Unlock()
		q := &queued{seq: seq, latest: e.Received}
		if later != nil && later.seq != seq {
			q.latest = later.latest
			if err := s.unite(tx, seq, later.seq); err != nil {
				return err
			}
		}
		parts, err := partsOf(tx, seq)
		q.parts = len(parts)
		tx.OnCommit(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.waiting[e.Fingerprint()] = q
		})
		return err
	})
}

// unite makes a waiting event and its parts parts of an older event.
func (s *store) unite(tx *bbolt.Tx, older, later uint64) error {
	e, err := pendingAt(tx, later)
	if e == nil {
		return err // it has a verdict now
	}
	q := &enqueuing{store: s, tx: tx}
	all, err := partsOf(tx, later)
	if err != nil {
		return err
	}
	bucket := tx.Bucket([]byte(bucketParts))
	for _, p := range append(all, part{nil, e}) {
		n, err := bucket.NextSequence()
		if err != nil {
			return err
		}
		if err := q.put(bucketParts, append(number(older), number(n)...), *p.Event, p.Event.Key(), older); err != nil {
			return err
		}
	}
	tx.OnCommit(func() { s.parts.Add(int64(len(all)) + 1) })
	_, err = s.unqueue(tx, later)
	return err
}

// unqueue removes a waiting event and its parts.
//
// It returns all of them, or none if the event does not wait.
func (s *store) unqueue(tx *bbolt.Tx, seq uint64) ([]event.Event, error) {
	e, err := pendingAt(tx, seq)
	if e == nil {
		return nil, err
	}
	events := []event.Event{*e}
	parts, err := partsOf(tx, seq)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		events = append(events, *p.Event)
		if err := tx.Bucket([]byte(bucketParts)).Delete(p.key); err != nil {
			return nil, err
		}
	}
	tx.OnCommit(func() {
		s.pending.Add(-1)
		s.parts.Add(-int64(len(parts)))
		s.mu.Lock()
		defer s.mu.Unlock()
		if host := e.Repository.RegistryStr(); s.hosts[host] > 1 {
			s.hosts[host]--
		} else {
			delete(s.hosts, host)
		}
		if q := s.waiting[e.Fingerprint()]; q != nil && q.seq == seq {
			delete(s.waiting, e.Fingerprint())
		}
	})
	return events, tx.Bucket([]byte(bucketPending)).Delete(number(seq))
}
