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

// fakeMetadata starts a metadata server and points the environment to it.
func fakeMetadata(t *testing.T, status int, body string) *atomic.Int32 {
	t.Helper()
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Query().Get("scopes") != googleScope {
			t.Errorf("bad request %s", r.URL)
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
			t.Errorf("%s: want the machine's token, one for all hosts", host)
		}
	}
	if c := find(t, s, "gcr.io.evil.com", "p/a", ""); !c.Anonymous() {
		t.Error("the machine's token went to another's host")
	}
	at.advance(56 * time.Minute)
	if c := find(t, s, "gcr.io", "p/a", ""); c.Password != "machine-2" {
		t.Error("want the token renewed")
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestGoogleMachineWithoutAccountIsAnonymous(t *testing.T) {
	cleanEnv(t)
	asked := fakeMetadata(t, 404, "")
	s := testStore(t, Options{HTTPClient: http.DefaultClient})
	for _, host := range []string{"gcr.io", "us.gcr.io"} {
		if c := find(t, s, host, "p/a", ""); !c.Anonymous() {
			t.Errorf("%s: got %v, want nobody", host, c)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
}

func TestFailingGoogleMachineIsPassedOver(t *testing.T) {
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
					t.Errorf("got %v, want nobody", c)
				}
			}
			if got := w.all(); !strings.Contains(got, "passing over this machine's Google identity") || !strings.Contains(got, test.want) || strings.Contains(got, "planted") {
				t.Errorf("warnings %q, want %q", got, test.want)
			}
			at.advance(failureKept)
			find(t, s, "gcr.io", "p/a", "")
			if n := asked.Load(); n != 2 || len(w.texts) != 1 {
				t.Errorf("asked %d times, warned %d times; want 2 and 1", n, len(w.texts))
			}
		})
	}
}

// deadlines is a transport without a network that keeps how long it was given.
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
		t.Errorf("got %v, want nobody", c)
	}
	w := &warnings{}
	s = testStore(t, Options{HTTPClient: &http.Client{Transport: d}, Warn: w.add})
	write(t, s.firmware, "product_name", "Google Compute Engine\n")
	if c := find(t, s, "gcr.io", "p/a", ""); !c.Anonymous() {
		t.Errorf("got %v, want nobody", c)
	}
	if len(d.left) != 2 || d.left[0] > probeWithin || d.left[1] > metadataWithin || d.left[1] < d.left[0] {
		t.Errorf("given %v, want at most %v, and %v on Google's machines", d.left, probeWithin, metadataWithin)
	}
	if !strings.Contains(w.all(), "asking the metadata server") {
		t.Errorf("warnings %q, want the server of Google's machine missed", w.all())
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
		t.Errorf("got %v, want nobody", c)
	}
}

func TestGoogleDefaultCredentials(t *testing.T) {
	cleanEnv(t)
	asked := fakeMetadata(t, 200, metadataToken)
	g := fakeGoogle(t)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", g.file(t, "default@p"))
	c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", "")
	if c.Password != "default@p-1" || c.Expires.IsZero() {
		t.Error("want a token of the default credentials")
	}
	if asked.Load() != 0 {
		t.Error("asked the metadata server although default credentials are there")
	}

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	dir := t.TempDir()
	t.Setenv("CLOUDSDK_CONFIG", dir)
	write(t, dir, "application_default_credentials.json", g.json(t, "gcloud@p"))
	if c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", ""); c.Password != "gcloud@p-2" {
		t.Error("want a token of the credentials that gcloud wrote")
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
		t.Errorf("got %v, want an error for a file named in the environment", err)
	}

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file+".gone")
	s = testStore(t, Options{HTTPClient: http.DefaultClient})
	if _, err := s.Credential(t.Context(), s.Principal("gcr.io", "p/a", "")); err == nil {
		t.Error("want an error for a missing file named in the environment")
	}

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	g := fakeGoogle(t)
	g.refuse = true
	dir := t.TempDir()
	t.Setenv("CLOUDSDK_CONFIG", dir)
	write(t, dir, "application_default_credentials.json", g.json(t, "stale@p"))
	if c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", ""); c.Password != "machine-1" {
		t.Error("want the machine's token where gcloud's file is stale")
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
		t.Errorf("got %v, want gcloud not run where nobody has signed in", c)
	}
	write(t, dir, "credentials.db", "")
	c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient}), "gcr.io", "p/a", "")
	if c.Username != "oauth2accesstoken" || c.Password != "user-token" || c.Expires.IsZero() {
		t.Error("want the token of the user signed in")
	}
	write(t, dir, "gcloud", "#!/bin/sh\necho 'not signed in'; exit 1\n")
	w := &warnings{}
	if c := find(t, testStore(t, Options{HTTPClient: http.DefaultClient, Warn: w.add}), "gcr.io", "p/a", ""); !c.Anonymous() {
		t.Errorf("got %v, want nobody", c)
	}
	if !strings.Contains(w.all(), `exit status 1: "not signed in"`) {
		t.Errorf("warnings %q, want gcloud's words", w.all())
	}
}
