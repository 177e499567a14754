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

// sameSpan is how much later than the first of equal events they may be judged as if they had just come.
const sameSpan = 30 * time.Second

// queued is what the memory holds of an event that waits and is not being judged.
type queued struct {
	seq    uint64
	latest time.Time // when the last event came that says the same
	parts  int       // events that say the same
}

// waiting is an event that waits for a verdict.
type waitingEvent struct {
	Seq   uint64
	Event event.Event
}

// Pending returns how many events wait for a verdict.
func (s *store) Pending() int { return int(s.pending.Load() + s.parts.Load()) }

// enqueuing is the work of one Enqueue in its transaction.
type enqueuing struct {
	*store
	tx     *bbolt.Tx
	added  []waitingEvent
	known  int // events that were sent before
	parts  int64
	lost   int64 // events that were dropped
	byHost map[string]int64
}

// Enqueue makes events wait. It returns those that are to be judged and how many were
// not known already, once they are on disk: all of them or, with an error, none. What
// says the same as an event that waits becomes a part of it.
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

// one makes one event wait.
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

// join makes an event a part of one that waits and says the same, if there is one. What
// the memory holds may be of a transaction that failed: the bucket decides.
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
	if same.parts > q.mostSame || q.store.parts.Load()+q.parts >= q.most {
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

// put stores an event that waits, under a sequence number or as a part of the event that is there.
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

// room reports whether the new events fit. A host whose events cannot be judged leaves room for others.
func (q *enqueuing) room() bool {
	free := q.most - q.pending.Load() - int64(len(q.added))
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

// count counts the new events.
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

// pendingAt returns the event that waits under a sequence number, or nil.
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

// part is an event that waits as a part of another.
type part struct {
	key []byte
	*event.Event
}

// partsOf returns the parts of the event that waits under a sequence number.
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

// eachPending calls f with each event that waits, the oldest first.
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

// EachPending calls f with each event that waits, the oldest first, equal ones as one.
func (s *store) EachPending(f func(waitingEvent)) error {
	return s.db.View(func(tx *bbolt.Tx) error { return eachPending(tx, f) })
}

// Take returns an event that waits, to be judged; ok is false if it waits no longer.
// From now on events that say the same do not become parts of it, since what is read
// now may not be what they found. The event is as old as the last of its parts, but
// not so much younger than itself that a flood of them could put off the verdict.
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
		if most := e.Received.Add(sameSpan); q.latest.After(most) {
			e.Received = most
		} else if q.latest.After(e.Received) {
			e.Received = q.latest
		}
	}
	return e, true, nil
}

// Return makes an event wait again that was taken and could not be judged. An event
// that says the same and came in the meantime becomes a part of it.
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

// unite makes a waiting event, with its parts, a part of an older one.
func (s *store) unite(tx *bbolt.Tx, older, later uint64) error {
	e, err := pendingAt(tx, later)
	if e == nil {
		return err // it has a verdict by now
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

// unqueue removes an event that waits, and its parts. It returns all of them, or none
// if the event does not wait.
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
