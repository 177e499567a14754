package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Settle stores a verdict in place of the event that waits under seq, 0 for one
// that did not wait, and the alert that goes with it. fresh is false if the event
// has a verdict already, which is then returned.
func (s *Store) Settle(seq uint64, v Verdict) (r Record, fresh bool, err error) {
	key := v.Event.key()
	err = s.db.Batch(func(tx *bbolt.Tx) error {
		r, fresh = v.Record(), true
		keys := tx.Bucket([]byte(bucketKeys))
		if seq != 0 {
			if err := s.unqueue(tx, seq); err != nil {
				return err
			}
		}
		if at := keys.Get([]byte(key)); key != "" && at != nil {
			if old, ok := settled(tx, at); ok {
				r, fresh = old, false
				return nil
			}
		}
		var err error
		if r.Seq, err = keys.NextSequence(); err != nil {
			return err
		}
		raw, err := json.Marshal(r)
		if err != nil {
			return err
		}
		value := append(make([]byte, keyLength, keyLength+len(raw)), raw...)
		copy(value, key)
		if err := tx.Bucket([]byte(v.Outcome)).Put(number(r.Seq), value); err != nil {
			return err
		}
		if key != "" {
			if err := keys.Put([]byte(key), append(number(r.Seq), v.Outcome...)); err != nil {
				return err
			}
		}
		if err := s.trim(tx, v.Outcome); err != nil {
			return err
		}
		if v.Outcome != Rejected {
			return nil
		}
		return s.alert(tx, Alert{Text: r.Text, Verdict: &r})
	})
	if err != nil {
		return Record{}, false, fmt.Errorf("storing a verdict: %w", err)
	}
	return r, fresh, nil
}

// unqueue removes an event that waited.
func (s *Store) unqueue(tx *bbolt.Tx, seq uint64) error {
	pending := tx.Bucket([]byte(bucketPending))
	if pending.Get(number(seq)) == nil {
		return nil
	}
	tx.OnCommit(func() { s.pending.Add(-1) })
	return pending.Delete(number(seq))
}

// trim counts a new verdict and removes the oldest ones beyond what is kept: two at
// most, since verdicts that are stored together see the same count.
func (s *Store) trim(tx *bbolt.Tx, outcome Outcome) error {
	n := s.counts[outcome]
	over := min(n.Load()-s.limits[outcome], 1)
	change := int64(1)
	c := tx.Bucket([]byte(outcome)).Cursor()
	for k, value := c.First(); k != nil && over >= 0; k, value = c.First() {
		if key := value[:keyLength]; key[0] != 0 {
			if err := tx.Bucket([]byte(bucketKeys)).Delete(key); err != nil {
				return err
			}
		}
		if err := c.Delete(); err != nil {
			return err
		}
		over--
		change--
	}
	tx.OnCommit(func() { n.Add(change) })
	return nil
}

// settled reads the verdict that an entry of the keys leads to.
func settled(tx *bbolt.Tx, at []byte) (Record, bool) {
	bucket := tx.Bucket(at[8:])
	if bucket == nil || string(at[8:]) == bucketPending {
		return Record{}, false
	}
	var r Record
	value := bucket.Get(at[:8])
	return r, len(value) > keyLength && json.Unmarshal(value[keyLength:], &r) == nil
}

// Known returns the verdict on an event that came before.
func (s *Store) Known(e Event) (r Record, ok bool) {
	key := e.key()
	if key == "" {
		return r, false
	}
	_ = s.db.View(func(tx *bbolt.Tx) error {
		if at := tx.Bucket([]byte(bucketKeys)).Get([]byte(key)); at != nil {
			r, ok = settled(tx, at)
		}
		return nil
	})
	return r, ok
}

// Query says which verdicts to show. Empty fields do not matter.
type Query struct {
	Outcomes []Outcome
	Source   string
	Text     string // in the repository, tag, digest, actor, reason or allowing line
	Since    time.Time
	Until    time.Time
	After    uint64 // sequence number
	Before   uint64 // sequence number
	Limit    int
}

// most is how many verdicts one query looks at, so that a rare text does not hold everything up.
const mostLookedAt = 50_000

// errEnough ends a query.
var errEnough = errors.New("enough")

// Verdicts returns verdicts, the newest first.
func (s *Store) Verdicts(q Query) ([]Record, error) {
	out := []Record{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		looked := 0
		return newest(tx, q, func(value []byte) error {
			var r Record
			if err := json.Unmarshal(value[keyLength:], &r); err != nil {
				return fmt.Errorf("reading a verdict: %w", err)
			}
			if q.matches(r) {
				out = append(out, r)
			}
			if looked++; looked == mostLookedAt || len(out) >= q.Limit || r.Judged.Before(q.Since) {
				return errEnough
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return out, nil
}

// newest calls f with the values of the verdicts of a query's outcomes, the newest first.
func newest(tx *bbolt.Tx, q Query, f func(value []byte) error) error {
	type head struct {
		cursor     *bbolt.Cursor
		key, value []byte
	}
	var heads []*head
	outcomes := q.Outcomes
	if len(outcomes) == 0 {
		outcomes = []Outcome{Verified, Rejected, Ignored}
	}
	for _, o := range outcomes {
		h := &head{cursor: tx.Bucket([]byte(o)).Cursor()}
		var beyond []byte
		if q.Before > 0 {
			beyond, _ = h.cursor.Seek(number(q.Before))
		}
		if beyond != nil {
			h.key, h.value = h.cursor.Prev()
		} else {
			h.key, h.value = h.cursor.Last()
		}
		heads = append(heads, h)
	}
	for {
		var best *head
		for _, h := range heads {
			if h.key != nil && (best == nil || bytes.Compare(h.key, best.key) > 0) {
				best = h
			}
		}
		if best == nil || binary.BigEndian.Uint64(best.key) <= q.After {
			return nil
		}
		if err := f(best.value); err != nil {
			return err
		}
		best.key, best.value = best.cursor.Prev()
	}
}

func (q Query) matches(r Record) bool {
	if q.Source != "" && q.Source != r.Source || r.Judged.Before(q.Since) || !q.Until.IsZero() && r.Judged.After(q.Until) {
		return false
	}
	if q.Text == "" {
		return true
	}
	text := strings.ToLower(q.Text)
	for _, field := range []string{r.Repository + ":" + r.Tag + "@" + image.DigestString(r.Digest), image.DigestString(r.Digest), r.Actor, r.Reason, r.AllowedBy} {
		if strings.Contains(strings.ToLower(field), text) {
			return true
		}
	}
	return false
}
