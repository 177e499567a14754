package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.etcd.io/bbolt"
)

// Alert is what the alert URL is sent: a rejected change, or drift that is new. Its
// text field is what chat systems show.
type Alert struct {
	Text    string  `json:"text"`
	Verdict *Record `json:"verdict,omitempty"`
	Drift   *Drift  `json:"drift,omitempty"`
}

// alert stores an alert until it is sent.
func (s *Store) alert(tx *bbolt.Tx, a Alert) error {
	if !s.alerts {
		return nil
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	b := tx.Bucket([]byte(bucketAlerts))
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	change := int64(1)
	if s.outgoing.Load() >= maxAlerts {
		c := b.Cursor()
		if k, _ := c.First(); k != nil {
			if err := c.Delete(); err != nil {
				return err
			}
			change--
		}
	}
	tx.OnCommit(func() { s.outgoing.Add(change) })
	return b.Put(number(seq), raw)
}

// firstAlert returns the oldest alert that is to be sent; nil if there is none.
func (s *Store) firstAlert() (key, raw []byte) {
	_ = s.db.View(func(tx *bbolt.Tx) error {
		k, v := tx.Bucket([]byte(bucketAlerts)).Cursor().First()
		key, raw = bytes.Clone(k), bytes.Clone(v)
		return nil
	})
	return key, raw
}

// sent removes an alert.
func (s *Store) sent(key []byte) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketAlerts))
		if b.Get(key) == nil {
			return nil
		}
		tx.OnCommit(func() { s.outgoing.Add(-1) })
		return b.Delete(key)
	})
}

// alerter sends the alerts that the store holds, one after the other.
type alerter struct {
	url     string
	store   *Store
	metrics *metrics
	warn    func(string)
	news    chan struct{}
}

// alertLimit bounds the sending of one alert.
const alertLimit = 10 * time.Second

func (a *alerter) wake() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// run sends until ctx ends; the alert under way may take until work ends.
func (a *alerter) run(ctx, work context.Context) {
	if a.url == "" {
		return
	}
	client := &http.Client{Timeout: alertLimit, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	failures := 0
	for ctx.Err() == nil {
		wait := time.Hour
		if key, raw := a.store.firstAlert(); key != nil {
			err := a.send(work, client, raw)
			if err == nil {
				err = a.store.sent(key)
			}
			a.metrics.alert(err)
			if err == nil {
				failures = 0
				continue
			}
			failures++
			wait = backoff(failures)
			if failures == 1 {
				a.warn("sending an alert, which is tried again: " + err.Error())
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-a.news:
			if failures > 0 {
				select { // news do not make a receiver answer
				case <-timer.C:
				case <-ctx.Done():
				}
			}
		}
		timer.Stop()
	}
}

// send posts one alert. The URL may hold a secret: errors do not name it.
func (a *alerter) send(ctx context.Context, client *http.Client, raw []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(raw))
	if err != nil {
		return errors.New("bad --alert-url")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		var named *url.Error
		if errors.As(err, &named) {
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
