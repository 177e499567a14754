package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCancelledCallerDoesNotFailTheOthers(t *testing.T) {
	c := &cache{now: time.Now, warn: once(nil), entries: map[string]*entry{}}
	started, release := make(chan struct{}), make(chan struct{})
	asked := 0
	ask := func(ctx context.Context) (answer, error) {
		asked++
		close(started)
		select {
		case <-release:
			return answer{cred: Credential{Password: "x"}}, nil
		case <-ctx.Done():
			return answer{}, ctx.Err()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := c.get(ctx, "k", ask)
		first <- err
	}()
	<-started
	others := make(chan error)
	for range 20 {
		go func() {
			a, err := c.get(t.Context(), "k", ask)
			if err == nil && a.cred.Password != "x" {
				err = errors.New("wrong credential")
			}
			others <- err
		}()
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled caller: got error %v, want context.Canceled during the look-up", err)
	}
	close(release)
	for range 20 {
		if err := <-others; err != nil {
			t.Errorf("other caller: got error %v, want none", err)
		}
	}
	if asked != 1 {
		t.Errorf("got %d look-ups, want 1", asked)
	}
	if _, err := c.get(ctx, "new", ask); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled without a look-up", err)
	}
}

func TestRenewal(t *testing.T) {
	at := newClock()
	w := &warnings{}
	c := &cache{now: at.now, warn: once(w.add), entries: map[string]*entry{}}
	asked := 0
	var fail error
	ask := func(context.Context) (answer, error) {
		asked++
		return answer{cred: Credential{Password: fmt.Sprint(asked), Expires: at.now().Add(time.Hour)}}, fail
	}
	get := func(want string) {
		t.Helper()
		a, err := c.get(t.Context(), "host key", ask)
		if err != nil || a.cred.Password != want {
			t.Fatalf("got password %s, error %v; want %s", a.cred.Password, err, want)
		}
	}
	get("1")
	at.advance(54 * time.Minute)
	get("1")
	at.advance(time.Minute)
	get("2") // 5 minutes before the first one expires

	at.advance(56 * time.Minute)
	fail = errors.New("out of order")
	get("2") // not renewed, but valid for 4 more minutes
	get("2")
	if asked != 3 {
		t.Errorf("got %d look-ups, want 3: the failure is cached", asked)
	}
	if got := w.all(); !strings.Contains(got, "credentials for host could not be renewed") {
		t.Errorf("got warnings %q, want one about the failed renewal", got)
	}
	at.advance(5 * time.Minute)
	if _, err := c.get(t.Context(), "host key", ask); !errors.Is(err, fail) {
		t.Errorf("got error %v, want %v after the old credential expired", err, fail)
	}
	if _, _ = c.get(t.Context(), "host key", ask); asked != 4 {
		t.Errorf("got %d look-ups, want 4", asked)
	}
	at.advance(failureKept)
	fail = nil
	get("5")
}

func TestNext(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	lasting := Credential{Password: "p", Expires: now.Add(10 * time.Minute)}
	for _, test := range []struct {
		name string
		old  *entry
		a    answer
		err  error
		want entry
	}{
		{name: "no expiry: for the run", a: answer{cred: Credential{Password: "p"}}, want: entry{cred: Credential{Password: "p"}}},
		{name: "a tenth early", a: answer{cred: lasting}, want: entry{cred: lasting, renew: now.Add(9 * time.Minute)}},
		{name: "kept", a: answer{keep: time.Hour}, want: entry{renew: now.Add(time.Hour)}},
		{name: "from another entry", a: answer{cred: lasting, renew: now.Add(1)}, want: entry{cred: lasting, renew: now.Add(1)}},
		{name: "already expired", a: answer{cred: Credential{Password: "p", Expires: now.Add(-time.Hour)}},
			want: entry{cred: Credential{Password: "p", Expires: now.Add(-time.Hour)}, renew: now.Add(-time.Hour)}},
		{name: "absent: for the run", err: errAbsent, want: entry{err: errAbsent}},
		{name: "failed", err: errTooLong, want: entry{err: errTooLong, renew: now.Add(failureKept)}},
		{name: "failed, old is valid", old: &entry{cred: lasting}, err: errTooLong, want: entry{cred: lasting, renew: now.Add(failureKept)}},
		{name: "skipped, old is valid", old: &entry{cred: lasting}, a: answer{keep: failureKept}, want: entry{cred: lasting, renew: now.Add(failureKept)}},
		{name: "failed, old expires first", old: &entry{cred: Credential{Password: "p", Expires: now.Add(1)}}, err: errTooLong,
			want: entry{cred: Credential{Password: "p", Expires: now.Add(1)}, renew: now.Add(1)}},
		{name: "failed, old was a failure", old: &entry{err: errAbsent}, err: errTooLong, want: entry{err: errTooLong, renew: now.Add(failureKept)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := next(test.old, test.a, test.err, now); *got != test.want {
				t.Errorf("got renew %v, error %v; want renew %v, error %v", got.renew, got.err, test.want.renew, test.want.err)
			}
		})
	}
}

func TestForgetDropsOnlyTheRefusedCredential(t *testing.T) {
	c := &cache{now: time.Now, warn: once(nil), entries: map[string]*entry{}}
	one, two := Credential{Password: "1"}, Credential{Password: "2"}
	c.entries["host key"] = &entry{cred: one}
	c.entries["shared google"] = &entry{cred: one}
	c.entries["other key"] = &entry{cred: one}
	c.forget("host key", two)
	if len(c.entries) != 3 {
		t.Errorf("got %d entries, want 3: the credential was renewed in the meantime", len(c.entries))
	}
	c.forget("host key", one)
	if _, kept := c.entries["other key"]; len(c.entries) != 1 || !kept {
		t.Errorf("got %d entries, want only the one of the other principal", len(c.entries))
	}
}
