package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeMetadata starts a metadata server and sets the environment variable for it.
//
// It returns the number of requests.
func fakeMetadata(t *testing.T, status int, body string) *atomic.Int32 {
	t.Helper()
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Query().Get("scopes") != googleScope {
			t.Errorf("got request %s, want the header and the scope of Google", r.URL)
		}
		w.Header().Set("Metadata-Flavor", "Google")
		w.WriteHeader(status)
		fmt.Fprint(w, strings.ReplaceAll(body, "%d", fmt.Sprint(n)))
	}))
	t.Cleanup(srv.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(srv.URL, "http://"))
	return &asked
}

const metadataToken = `{"access_token":"machine-%d","expires_in":3600,"token_type":"Bearer"}`

func TestGoogleMetadata(t *testing.T) {
	cleanEnv(t)
	asked := fakeMetadata(t, 200, metadataToken)
	at := newClock()
	s := testStore(t, Options{HTTPClient: http.DefaultClient, Now: at.now})
	for _, host := range []string{"gcr.io", "us.gcr.io", "europe-west1-docker.pkg.dev"} {
		c := find(t, s, host, "p/a", "")
		if c.Username != "oauth2accesstoken" || c.Password != "machine-1" {
			t.Errorf("%s: got password %q, want machine-1: one token for all hosts", host, c.Password)
		}
	}
	if c := find(t, s, "gcr.io.evil.com", "p/a", ""); !c.Anonymous() {
		t.Errorf("gcr.io.evil.com: got %v, want anonymous", c)
	}
	at.advance(56 * time.Minute)
	if c := find(t, s, "gcr.io", "p/a", ""); c.Password != "machine-2" {
		t.Errorf("got password %q, want the renewed machine-2", c.Password)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("got %d requests, want 2", n)
	}
}

func TestGoogleMachineWithoutAccountIsAnonymous(t *testing.T) {
	cleanEnv(t)
	asked := fakeMetadata(t, 404, "")
	s := testStore(t, Options{HTTPClient: http.DefaultClient})
	for _, host := range []string{"gcr.io", "us.gcr.io"} {
		if c := find(t, s, host, "p/a", ""); !c.Anonymous() {
			t.Errorf("%s: got %v, want anonymous", host, c)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
}

func TestFailingMetadataServerIsAWarning(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"status", 503, "planted", "status 503"},
		{"refusal", 403, "planted", "grant refused: 403"},
		{"not JSON", 200, "planted", "not JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cleanEnv(t)
			asked := fakeMetadata(t, test.status, test.body)
			at, w := newClock(), &warnings{}
			s := testStore(t, Options{HTTPClient: http.DefaultClient, Now: at.now, Warn: w.add})
			for range 2 {
				if c := find(t, s, "gcr.io", "p/a", ""); !c.Anonymous() {
					t.Errorf("got %v, want anonymous", c)
				}
			}
			if got := w.all(); !strings.Contains(got, "passing over this machine's Google identity") || !strings.Contains(got, test.want) || strings.Contains(got, "planted") {
				t.Errorf("got warnings %q, want one with %q", got, test.want)
			}
			at.advance(failureKept)
			find(t, s, "gcr.io", "p/a", "")
			if n := asked.Load(); n != 2 || len(w.texts) != 1 {
				t.Errorf("got %d requests and %d warnings, want 2 and 1", n, len(w.texts))
			}
		})
	}
}

// deadlines is a transport without a network that records the time limits of requests.
type deadlines struct{ left []time.Duration }

func (d *deadlines) RoundTrip(r *http.Request) (*http.Response, error) {
	end, ok := r.Context().Deadline()
	if !ok {
		return nil, errors.New("no deadline")
	}
	d.left = append(d.left, time.Until(end))
	return nil, context.DeadlineExceeded
}

func TestMetadataProbeIsShort(t *testing.T) {
	cleanEnv(t)
	d := &deadlines{}
	s := testStore(t, Options{HTTPClient: &http.Client{Transport: d}})
	if c := find(t, s, "gcr.io", "p/a", ""); !c.Anonymous() {
		t.Errorf("got %v, want anonymous", c)
	}
	w := &warnings{}
	s = testStore(t, Options{HTTPClient: &http.Client{Transport: d}, Warn: w.add})
	write(t, s.firmware, "product_name", "Google Compute Engine\n")
	if c := find(t, s, "gcr.io", "p/a", ""); !c.Anonymous() {
		t.Errorf("got %v, want anonymous", c)
	}
	if len(d.left) != 2 || d.left[0] > probeWithin || d.left[1] > metadataWithin || d.left[1] < d.left[0] {
		t.Errorf("got time limits %v, want at most %v, and %v on Google's machines", d.left, probeWithin, metadataWithin)
	}
	if !strings.Contains(w.all(), "asking the metadata server") {
		t.Errorf("got warnings %q, want one about the metadata server", w.all())
	}
}

func TestAnotherCloudsMetadataServerIsNotGoogles(t *testing.T) {
	cleanEnv(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(srv.URL, "http://"))
	if c := find(t, testStore(t, Options{HTTPClient: srv.Client()}), "gcr.io", "p/a", ""); !c.Anonymous() {
		t.Errorf("got %v, want anonymous", c)
	}
}

func TestGoogleDefaultCredentials(t *testing.T) {
	cleanEnv(t)
	asked := fakeMetadata(t, 200, metadataToken)
	g := fakeGoogle(t)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", g.file(t, "default@p"))
	c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", "")
	if c.Password != "default@p-1" || c.Expires.IsZero() {
		t.Errorf("got password %q, expiry %v; want default@p-1 with an expiry", c.Password, c.Expires)
	}
	if asked.Load() != 0 {
		t.Errorf("got %d requests to the metadata server, want 0", asked.Load())
	}

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	dir := t.TempDir()
	t.Setenv("CLOUDSDK_CONFIG", dir)
	write(t, dir, "application_default_credentials.json", g.json(t, "gcloud@p"))
	if c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", ""); c.Password != "gcloud@p-2" {
		t.Errorf("got password %q, want gcloud@p-2", c.Password)
	}
}

func TestBrokenDefaultCredentials(t *testing.T) {
	cleanEnv(t)
	fakeMetadata(t, 200, metadataToken)
	file := write(t, t.TempDir(), "adc.json", "planted-secret")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	s := testStore(t, Options{HTTPClient: http.DefaultClient})
	_, err := s.Credential(t.Context(), s.Principal("gcr.io", "p/a", ""))
	if err == nil || !strings.Contains(err.Error(), "using the default credentials in "+file+": not JSON") || strings.Contains(err.Error(), "planted") {
		t.Errorf("got error %v, want one about the file in the environment", err)
	}

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file+".missing")
	s = testStore(t, Options{HTTPClient: http.DefaultClient})
	if _, err := s.Credential(t.Context(), s.Principal("gcr.io", "p/a", "")); err == nil {
		t.Error("missing file in the environment: got no error, want one")
	}

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	g := fakeGoogle(t)
	g.refuse = true
	dir := t.TempDir()
	t.Setenv("CLOUDSDK_CONFIG", dir)
	write(t, dir, "application_default_credentials.json", g.json(t, "stale@p"))
	if c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", ""); c.Password != "machine-1" {
		t.Errorf("stale file of gcloud: got password %q, want machine-1", c.Password)
	}
}

func TestGcloudUser(t *testing.T) {
	cleanEnv(t)
	fakeMetadata(t, 404, "")
	dir := t.TempDir()
	t.Setenv("CLOUDSDK_CONFIG", dir)
	program := write(t, dir, "gcloud", "#!/bin/sh\necho '{\"credential\":{\"access_token\":\"user-token\",\"token_expiry\":\"2999-01-01T00:00:00Z\"}}'\n")
	makeProgram(t, program)
	if c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", ""); !c.Anonymous() {
		t.Errorf("not signed in: got %v, want anonymous", c)
	}
	write(t, dir, "credentials.db", "")
	c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", "")
	if c.Username != "oauth2accesstoken" || c.Password != "user-token" || c.Expires.IsZero() {
		t.Errorf("got %q and %q, want the token of the user", c.Username, c.Password)
	}
	write(t, dir, "gcloud", "#!/bin/sh\necho 'not signed in'; exit 1\n")
	w := &warnings{}
	if c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient, Warn: w.add}), "gcr.io", "p/a", ""); !c.Anonymous() {
		t.Errorf("got %v, want anonymous", c)
	}
	if !strings.Contains(w.all(), `exit status 1: "not signed in"`) {
		t.Errorf("got warnings %q, want the message of gcloud", w.all())
	}
}
