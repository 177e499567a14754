package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	"go.etcd.io/bbolt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

// alert is a message to the alert URL about a rejection or new drift.
//
// Chat systems show its text.
type alert struct {
	Text    string  `json:"text"`           // escaped lines
	Page    string  `json:"page,omitempty"` // URL of the page, with a filter for this alert
	Verdict *record `json:"verdict,omitempty"`
	Drift   *drift  `json:"drift,omitempty"`
	Alerts  int     `json:"alerts,omitempty"` // number of alerts that this one counts, if there was no room for them
}

// lastAlert is the key of the alert that counts those without room.
//
// It is sent after all others.
const lastAlert = math.MaxUint64

// alert stores an alert until it is sent.
//
// It does nothing if an alert about an equal event waits. Waiting alerts are never
// removed: if there is no room, one more alert counts the rest.
func (s *store) alert(tx *bbolt.Tx, about event.Fingerprint, a alert) error {
	if !s.alerts || s.alerted(tx, about, a) {
		return nil
	}
	b := tx.Bucket([]byte(bucketAlerts))
	seq := uint64(lastAlert)
	switch {
	case s.outgoing.Load() >= s.maxAlerts:
		last := alert{Alerts: 1}
		if raw := b.Get(number(seq)); raw == nil {
			tx.OnCommit(func() { s.outgoing.Add(1) })
		} else if err := json.Unmarshal(raw, &last); err == nil {
			last.Alerts++
		}
		a.Alerts = last.Alerts
		a.Text = fmt.Sprintf("ALERTS: %d alerts are left out, since %d were waiting: see /api/verdicts for the verdicts. The last one: %s", a.Alerts, s.maxAlerts, a.Text)
		tx.OnCommit(func() { s.dropped.alerts.Add(1) })
	default:
		var err error
		if seq, err = b.NextSequence(); err != nil {
			return err
		}
		tx.OnCommit(func() {
			s.outgoing.Add(1)
			s.mu.Lock()
			defer s.mu.Unlock()
			if a.Verdict != nil && len(s.alerting) < maxAlerts {
				s.alerting[about] = number(seq)
			}
		})
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return b.Put(number(seq), raw)
}

// alerted reports whether an alert about an equal event waits.
func (s *store) alerted(tx *bbolt.Tx, about event.Fingerprint, a alert) bool {
	if a.Verdict == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.alerting[about]
	if !ok {
		return false
	}
	if tx.Bucket([]byte(bucketAlerts)).Get(key) != nil {
		return true
	}
	delete(s.alerting, about)
	return false
}

// firstAlert returns the oldest waiting alert, or nil.
func (s *store) firstAlert() (key, raw []byte) {
	_ = s.db.View(func(tx *bbolt.Tx) error {
		k, v := tx.Bucket([]byte(bucketAlerts)).Cursor().First()
		key, raw = bytes.Clone(k), bytes.Clone(v)
		return nil
	})
	return key, raw
}

// sent removes an alert that was sent.
//
// If the alert has changed since it was read, it counts more alerts now and stays.
func (s *store) sent(key, raw []byte) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketAlerts))
		if !bytes.Equal(b.Get(key), raw) {
			return nil
		}
		tx.OnCommit(func() { s.outgoing.Add(-1) })
		return b.Delete(key)
	})
}

// alerter sends the waiting alerts, one after the other.
type alerter struct {
	url     string
	store   *store
	metrics *metrics
	warn    func(string)
	added   signal // sent when an alert was added
}

// alertLimit bounds the time to send one alert.
const alertLimit = 10 * time.Second

// run sends alerts until ctx ends.
//
// The alert that is being sent then may take until work ends.
func (a *alerter) run(ctx, work context.Context) {
	if a.url == "" {
		return
	}
	client := &http.Client{Timeout: alertLimit, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	failures := 0
	for ctx.Err() == nil {
		wait, wake := time.Hour, a.added
		if key, raw := a.store.firstAlert(); key != nil {
			err := a.send(work, client, raw)
			if err == nil {
				err = a.store.sent(key, raw)
			}
			a.metrics.alert(err)
			if err == nil {
				failures = 0
				continue
			}
			failures++
			wait, wake = backoff(failures), nil // a new alert is not a reason to retry sooner
			if failures == 1 {
				a.warn("sending an alert, which will be retried: " + err.Error())
			}
		}
		pause(ctx, wait, wake)
	}
}

// send posts one alert.
//
// Errors do not contain the URL, which may have a secret.
func (a *alerter) send(ctx context.Context, client *http.Client, raw []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(raw))
	if err != nil {
		return errors.New("bad --alert-url")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		if named, ok := errors.AsType[*url.Error](err); ok {
			err = named.Err
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the receiver answered %s", resp.Status)
	}
	return nil
}
