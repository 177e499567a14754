package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// A host without TLS is not tried again with TLS, and the error names the flag.
func TestHostWithoutTLS(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	collected := &requestLog{}
	log := logrus.New()
	log.SetOutput(discard{})
	log.SetLevel(logrus.DebugLevel)
	log.AddHook(collected)
	_, _, err := newClient(t, registry.Options{InsecureTLS: []string{s.Host}, Log: log}).Resolve(t.Context(), repo(s, "a"), "1")
	if want := s.Host + " answers without TLS (--plain-http=" + s.Host + " allows that): "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want one that begins with %q", err, want)
	}
	if got := len(collected.lines); got != 1 {
		t.Errorf("got %d tries, want 1: %v", got, collected.lines)
	}
}

// A host on loopback answers a ping without TLS with 400: that is what hosts with TLS do.
func TestPingAnswered400(t *testing.T) {
	t.Parallel()
	for name, o := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, o...)
			img := registrytest.Image(1, 1)
			s.Push(t, "a", img, "1")
			s.Fault(registrytest.Status(http.StatusBadRequest, nil, "no"), registrytest.Is(registrytest.Ping))
			d, state, err := newClient(t, registry.Options{}, s).Resolve(t.Context(), repo(s, "a"), "1")
			if err != nil || state != inventory.Present || d.String() != img.Digest {
				t.Errorf("got %s %s, error %v, want %s", d, state, err, img.Digest)
			}
			if got := s.Count(registrytest.Ping); got != 1 {
				t.Errorf("got %d pings, want 1", got)
			}
		})
	}
}
