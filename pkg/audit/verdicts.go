package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Settle stores a verdict, and an alert about it if it is a rejection.
//
// The verdict replaces the waiting event with sequence number seq, or 0 if the event
// did not wait. If an event no longer waits, nothing is stored. r is the verdict on
// the event, which may be an older one. fresh has the new verdicts: this one, and
// those on the parts of the event.
func (s *store) Settle(seq uint64, v verdict) (r record, fresh []record, err error) {
	err = s.db.Batch(func(tx *bbolt.Tx) error {
		fresh = nil
		events := []event.Event{v.Event}
		if seq != 0 {
			var err error
			if events, err = s.unqueue(tx, seq); err != nil {
				return err
			}
		}
		for i, e := range events {
			each := v
			each.Event = e
			one, isNew, err := s.settle(tx, each)
			if err != nil {
				return err
			}
			if isNew {
				fresh = append(fresh, one)
			}
			if i == 0 {
				r = one
			}
		}
		return nil
	})
	if err != nil {
		return record{}, nil, fmt.Errorf("storing a verdict: %w", err)
	}
	return r, fresh, nil
}

// settle stores the verdict on one event, unless the event has one.
func (s *store) settle(tx *bbolt.Tx, v verdict) (r record, isNew bool, err error) {
	key, keys := v.Event.Key(), tx.Bucket([]byte(bucketKeys))
	if at := keys.Get([]byte(key)); key != "" && at != nil {
		if old, ok := settled(tx, at); ok {
			return old, false, nil
		}
	}
	r = v.record()
	if r.Seq, err = keys.NextSequence(); err != nil {
		return r, false, err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return r, false, err
	}
	value := append(make([]byte, keyLength, keyLength+len(raw)), raw...)
	copy(value, key)
	bucket := v.Outcome
	if bucket == rejected && s.repeats(tx, v.Event.Fingerprint()) {
		bucket = repeated
	}
	if err := tx.Bucket([]byte(bucket)).Put(number(r.Seq), value); err != nil {
		return r, false, err
	}
	if key != "" {
		if err := keys.Put([]byte(key), append(number(r.Seq), bucket...)); err != nil {
			return r, false, err
		}
	}
	if err := s.trim(tx, bucket); err != nil || v.Outcome != rejected {
		return r, true, err
	}
	return r, true, s.alert(tx, v.Event.Fingerprint(), rejectionAlert(&r, s.page))
}

// maxRejected is the number of different rejections in memory.
//
// Beyond it, all of them are forgotten.
const maxRejected = 500_000

// repeats reports whether an equal event was rejected before.
//
// It knows the rejections since the start, and remembers this one.
func (s *store) repeats(tx *bbolt.Tx, w event.Fingerprint) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.rejected[w]; ok {
		return true
	}
	tx.OnCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.rejected) >= maxRejected {
			clear(s.rejected)
		}
		s.rejected[w] = struct{}{}
	})
	return false
}

// victim returns the bucket to remove verdicts from, and how many.
//
// It is called after a verdict was added to bucket added. It removes up to two:
// verdicts of one transaction see the same counts, so that removing one for each
// would not be enough. Rejections use the room of all other outcomes before the
// oldest of them are removed.
func (s *store) victim(added outcome) (outcome, int64) {
	if over := s.counts[added].Load() - s.limits[added]; added != rejected && over >= 0 {
		return added, min(over, 1) + 1
	}
	var over int64
	for bucket, n := range s.counts {
		over += n.Load() - s.limits[bucket]
	}
	if over < 0 {
		return "", 0
	}
	for _, bucket := range []outcome{repeated, ignored, verified} {
		if s.counts[bucket].Load() > 0 {
			return bucket, min(over, 1) + 1
		}
	}
	return rejected, min(over, 1) + 1
}

// trim counts a new verdict and removes the oldest ones above the limits.
func (s *store) trim(tx *bbolt.Tx, added outcome) error {
	tx.OnCommit(func() { s.counts[added].Add(1) })
	bucket, n := s.victim(added)
	if n == 0 {
		return nil
	}
	c := tx.Bucket([]byte(bucket)).Cursor()
	for k, value := c.First(); k != nil && n > 0; k, value = c.First() {
		if key := value[:keyLength]; key[0] != 0 {
			if err := tx.Bucket([]byte(bucketKeys)).Delete(key); err != nil {
				return err
			}
		}
		if err := c.Delete(); err != nil {
			return err
		}
		n--
		tx.OnCommit(func() {
			s.counts[bucket].Add(-1)
			if bucket == rejected || bucket == repeated {
				s.dropped.verdicts.Add(1)
			}
		})
	}
	return nil
}

// settled reads the verdict that an entry of the keys bucket refers to.
func settled(tx *bbolt.Tx, at []byte) (record, bool) {
	bucket := tx.Bucket(at[8:])
	if bucket == nil || string(at[8:]) == bucketPending {
		return record{}, false
	}
	var r record
	value := bucket.Get(at[:8])
	return r, len(value) > keyLength && json.Unmarshal(value[keyLength:], &r) == nil
}

// Known returns the verdict on an event sent before.
func (s *store) Known(e event.Event) (r record, ok bool) {
	key := e.Key()
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

// query selects verdicts. Empty fields select all.
type query struct {
	Outcomes []outcome
	Source   string
	Text     string // part of the repository, tag, digest, actor, reason or allowedBy
	Since    time.Time
	Until    time.Time
	After    uint64 // sequence number
	Before   uint64 // sequence number
	Limit    int
}

// maxScanned bounds the number of verdicts that one query reads.
//
// A filter that matches few verdicts would otherwise read all of them.
const maxScanned = 50_000

// errEnough ends a query that needs no more verdicts.
var errEnough = errors.New("enough")

// Verdicts returns the verdicts of a query, the newest first.
func (s *store) Verdicts(q query) ([]record, error) {
	out := []record{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		scanned, words := 0, q.words()
		return newest(tx, q, func(value []byte) error {
			if !holdsAll(value, words) {
				return nil
			}
			var r record
			if err := json.Unmarshal(value[keyLength:], &r); err != nil {
				return fmt.Errorf("reading a verdict: %w", err)
			}
			if q.matches(r) {
				out = append(out, r)
			}
			if scanned++; scanned == maxScanned || len(out) >= q.Limit || r.Judged.Before(q.Since) {
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

// newest calls f with stored verdicts, the newest first.
//
// It merges the buckets of the outcomes that the query selects.
func newest(tx *bbolt.Tx, q query, f func(value []byte) error) error {
	type head struct {
		cursor     *bbolt.Cursor
		key, value []byte
	}
	var heads []*head
	outcomes := slices.Clone(q.Outcomes)
	if len(outcomes) == 0 {
		outcomes = []outcome{verified, rejected, ignored}
	}
	if slices.Contains(outcomes, rejected) {
		outcomes = append(outcomes, repeated)
	}
	for _, o := range outcomes {
		h := &head{cursor: tx.Bucket([]byte(o)).Cursor()}
		var before []byte
		if q.Before > 0 {
			before, _ = h.cursor.Seek(number(q.Before))
		}
		if before != nil {
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

// words returns parts of the text that a stored match must contain.
//
// They have only characters that JSON does not escape.
func (q query) words() [][]byte {
	plain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("._-/", c)
	}
	var all [][]byte
	for _, word := range strings.FieldsFunc(strings.ToLower(q.Text), func(c rune) bool { return !plain(c) }) {
		all = append(all, []byte(word))
	}
	return all
}

// holdsAll reports whether a stored verdict contains all words.
//
// It is many times faster than parsing the verdict.
func holdsAll(value []byte, words [][]byte) bool {
	if len(words) == 0 {
		return true
	}
	value = bytes.ToLower(value)
	return !slices.ContainsFunc(words, func(word []byte) bool { return !bytes.Contains(value, word) })
}

func (q query) matches(r record) bool {
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
