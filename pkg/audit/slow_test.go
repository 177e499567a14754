package audit

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// begin sends the headers of a notification and a part of its body.
func begin(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "POST /events/distribution HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n{\"events\":", address); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Senders that never finish do not delay others, however many there are.
func TestUnfinishedBodies(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	r := newRig(t, reg, "  []\n")
	server := httptest.NewServer(r.auditor.handler())
	defer server.CloseClientConnections()
	for range 2 * maxReading {
		begin(t, strings.TrimPrefix(server.URL, "http://"))
	}
	resp, err := http.Post(server.URL+"/events/distribution", "application/json", strings.NewReader(distributionBody("1", "push", reg.Host, "src/apple", "1.0", "")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("got %s, want 202", resp.Status)
	}
	r.await(1)
}

// At the end, senders that do not finish get an answer, and Serve returns no error.
func TestEndWithUnfinishedBodies(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	r := newRig(t, reg, "  []\n")
	var conns []net.Conn
	for range 80 {
		conns = append(conns, begin(t, strings.TrimPrefix(r.url, "http://")))
	}
	if status, text := r.post("/events/distribution", distributionBody("1", "push", reg.Host, "src/apple", "1.0", "")); status != http.StatusAccepted {
		t.Errorf("got %d %s, want 202", status, text)
	}
	r.await(1)
	r.stop()
	for _, conn := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			continue // it was cut off before its request was read
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusRequestTimeout {
			t.Errorf("got %s, %v, want 408", resp.Status, err)
		}
	}
}

func TestOddBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t, registrytest.New(t), "  []\n")
	for _, test := range []struct {
		name, path, body string
		header           []string
		want             int
	}{
		{"compressed", "/events/distribution", "\x1f\x8b\x08", []string{"Content-Encoding", "gzip"}, http.StatusUnsupportedMediaType},
		{"compressed, Pub/Sub", "/", "\x1f\x8b\x08", []string{"Content-Encoding", "gzip"}, http.StatusUnsupportedMediaType},
		{"not compressed", "/events/acr", `{"action":"ping"}`, []string{"Content-Encoding", "identity"}, http.StatusAccepted},
		{"deep", "/events/distribution", strings.Repeat(`{"events":[`, 50_000), nil, http.StatusBadRequest},
		{"deep, Pub/Sub", "/", strings.Repeat("[", 500_000), nil, http.StatusOK},
		{"as large as may be", "/events/acr", `{"action":"ping"}` + strings.Repeat(" ", maxBody-17), nil, http.StatusAccepted},
		{"larger", "/events/acr", `{"action":"ping"}` + strings.Repeat(" ", maxBody-16), nil, http.StatusRequestEntityTooLarge},
	} {
		if status, text := r.post(test.path, test.body, test.header...); status != test.want {
			t.Errorf("%s: got %d %s, want %d", test.name, status, text, test.want)
		}
	}
}
