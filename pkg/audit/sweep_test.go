package audit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	for name, option := range map[string][]registrytest.Option{
		"catalog": {registrytest.WithCatalog(), registrytest.Sparse()},
		"listing": {registrytest.GoogleListing(), registrytest.Sparse()},
		"neither": {registrytest.Sparse()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.New(t, option...)
			apple, evil, pear := registrytest.Image(1, 1), registrytest.Image(2, 1), registrytest.MultiArch(3, 2, 1)
			signature := registrytest.Artifact(6, "application/vnd.dev.cosign")
			sig := strings.Replace(apple.Digest, ":", "-", 1) + ".sig"
			for _, side := range []string{"src", "prod"} {
				reg.Push(t, side+"/apple", apple, "1.0")
				reg.Push(t, side+"/apple", signature, sig)
				reg.Push(t, side+"/pear", pear, "2.0")
			}
			reg.Push(t, "prod/apple", evil, "moved", "extra")
			reg.Push(t, "prod/rogue", evil, "1.0")
			reg.DeleteManifest(t, "prod/pear", pear.Children[1].Digest)
			r := newRig(t, reg, entry("apple", apple.Digest, "1.0", "moved", "lacking")+entry("pear", pear.Digest, "2.0"))
			if err := r.auditor.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{
				"moved tag " + reg.Host + "/prod/apple:moved@" + evil.Digest:            true,
				"extra tag " + reg.Host + "/prod/apple:extra@" + evil.Digest:            true,
				"missing " + reg.Host + "/prod/apple:lacking@" + apple.Digest:           true,
				"lost child " + reg.Host + "/prod/pear@" + pear.Children[1].Digest:      true,
				"extra tag " + reg.Host + "/prod/rogue:1.0@" + evil.Digest:              name != "neither",
				"extra digest " + reg.Host + "/prod/pear@" + pear.Children[1].Digest:    false,
				"extra tag " + reg.Host + "/prod/apple:" + sig + "@" + signature.Digest: false,
			}
			drifts, err := r.auditor.store.drifts()
			if err != nil || len(drifts) != 1 || drifts[0].Destination != reg.Host+"/prod" {
				t.Fatalf("got drift %+v and error %v, want that of prod", drifts, err)
			}
			got := map[string]bool{}
			for _, f := range drifts[0].Findings {
				got[f.String()] = true
			}
			for f := range want {
				if !want[f] {
					delete(want, f)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, text := r.get("/metrics"); !strings.Contains(text, `cip_audit_drift{destination="`+reg.Host+`/prod",kind="moved_tag"} 1`) {
				t.Error("metrics: got no drift, want it")
			}
		})
	}
}

// A destination without drift costs a listing, and a HEAD for each child of an index
// that is not listed. Image manifests are read once.
func TestSweepRequests(t *testing.T) {
	t.Parallel()
	type counts map[registrytest.Kind]int
	for name, tc := range map[string]struct {
		option        registrytest.Option
		first, second counts
	}{
		"catalog": {
			registrytest.WithCatalog(),
			counts{registrytest.Catalog: 1, registrytest.Tags: 11, registrytest.ManifestHead: 10 + 30, registrytest.ManifestGet: 10},
			counts{registrytest.Catalog: 1, registrytest.Tags: 11, registrytest.ManifestHead: 10 + 30},
		},
		"listing": {
			registrytest.GoogleListing(),
			counts{registrytest.Tags: 11, registrytest.ManifestGet: 10},
			counts{registrytest.Tags: 11},
		},
		"neither": {
			nil,
			counts{registrytest.Catalog: 1, registrytest.Tags: 11, registrytest.ManifestHead: 10 + 30, registrytest.ManifestGet: 10},
			counts{registrytest.Catalog: 1, registrytest.Tags: 11, registrytest.ManifestHead: 10 + 30},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var options []registrytest.Option
			if tc.option != nil {
				options = append(options, tc.option)
			}
			reg := registrytest.New(t, options...)
			images := ""
			for i := range 10 {
				index := registrytest.MultiArch(10*i, 3, 1)
				reg.Push(t, fmt.Sprintf("prod/p%d", i), index, "1.0")
				images += entry(fmt.Sprintf("p%d", i), index.Digest, "1.0")
			}
			r := newRig(t, reg, images)
			for n, want := range []counts{tc.first, tc.second} {
				reg.Reset()
				if err := r.auditor.sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				for _, kind := range []registrytest.Kind{registrytest.Catalog, registrytest.Tags, registrytest.ManifestHead, registrytest.ManifestGet} {
					if got := reg.Count(kind); got != want[kind] {
						t.Errorf("sweep %d: %s: got %d, want %d", n+1, kind, got, want[kind])
					}
				}
			}
			if drifts, err := r.auditor.store.drifts(); err != nil || len(drifts) != 1 || drifts[0].Count != 0 || drifts[0].Held != 10 {
				t.Errorf("got drift %+v and error %v, want 10 tags and no findings", drifts, err)
			}
		})
	}
}

func TestSweepUnreadable(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t, registrytest.WithCatalog())
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	reg.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), registrytest.Is(registrytest.Tags))
	if err := r.auditor.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	drifts, err := r.auditor.store.drifts()
	if err != nil || len(drifts) != 1 || len(drifts[0].Findings) != 1 || drifts[0].Findings[0].Kind != unread {
		t.Errorf("got drift %+v and error %v, want one finding, unread", drifts, err)
	}
}

// Alerts are retried until the receiver accepts them.
func TestAlerts(t *testing.T) {
	t.Parallel()
	got := make(chan alert, 10)
	failures := 2
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failures > 0 {
			failures--
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		var a alert
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Error(err)
		}
		got <- a
	}))
	defer receiver.Close()
	reg := registrytest.New(t, registrytest.WithCatalog())
	evil := registrytest.Image(2, 1)
	for i := range 12 {
		reg.Push(t, "prod/rogue", evil, fmt.Sprint("1.", i))
	}
	r := newRig(t, reg, "  []\n", func(o *Options) {
		o.AlertURL, o.PageURL = receiver.URL+"/secret", "https://audit.example.com/cip/"
	})
	r.push("1", "INSERT", "src/any", "1.0", evil.Digest)
	hook := `{"type":"PUSH_ARTIFACT","operator":"mallory\nTRANSACTION VERIFIED","event_data":{"resources":[{"digest":"` + evil.Digest +
		`","tag":"1.0","resource_url":"` + reg.Host + `/prod/rogue:1.0"}],"repository":{"repo_full_name":"prod/rogue"}}}`
	if status, text := r.post("/events/harbor", hook); status != http.StatusAccepted {
		t.Fatalf("got %d %s, want 202", status, text)
	}
	a := <-got
	page := "https://audit.example.com/cip/?q=" + url.QueryEscape(reg.Host+"/prod/rogue:1.0") + "&span=all&verdict=REJECTED"
	if a.Verdict == nil || a.Verdict.Verdict != rejected || a.Page != page {
		t.Errorf("got alert %+v, want that of a rejection and page %s", a, page)
	} else {
		want := "TRANSACTION REJECTED: push of " + reg.Host + "/prod/rogue:1.0@" + evil.Digest + ": no manifest wants anything in this repository\n" +
			`by user mallory\nTRANSACTION VERIFIED, reported by harbor, received at ` + a.Verdict.Received.Format(time.RFC3339) + "\n" + page
		if diff := cmp.Diff(want, a.Text); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	for range 2 { // the second sweep finds no new drift
		if err := r.auditor.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lines := []string{"DRIFT in " + reg.Host + "/prod: 12 differences from the manifests, 12 new:"}
	for _, tag := range []string{"1.0", "1.1", "1.10", "1.11", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7"} {
		lines = append(lines, "extra tag "+reg.Host+"/prod/rogue:"+tag+"@"+evil.Digest)
	}
	lines = append(lines, "and 2 more", "https://audit.example.com/cip/#drift")
	if a := <-got; a.Drift == nil || len(a.Drift.Findings) != 12 {
		t.Errorf("got alert %+v, want that of drift with 12 findings", a)
	} else if diff := cmp.Diff(strings.Join(lines, "\n"), a.Text); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	r.push("3", "DELETE", "prod/rogue", "1.0", "")
	if a := <-got; a.Verdict == nil || a.Verdict.ID != "3" {
		t.Errorf("got alert %+v, want that of event 3", a)
	}
	r.stop()
	for _, w := range r.warnings {
		if strings.Contains(w, "secret") {
			t.Errorf("warning: got %s, want no URL in it", w)
		}
	}
}
