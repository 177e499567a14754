package audit

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// A destination that does not answer does not delay others.
func TestSlowRegistryHoldsUpOnlyItself(t *testing.T) {
	t.Parallel()
	slow, reg := registrytest.New(t), registrytest.New(t)
	if slow.Host > reg.Host {
		slow, reg = reg, slow // destinations are swept in the order of their names
	}
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0", "extra")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	text := fmt.Sprintf("registries:\n- name: %[1]s/src\n  src: true\n- name: %[1]s/prod\n- name: %[2]s/prod\nimages:\n%[3]s", reg.Host, slow.Host, entry("apple", apple.Digest, "1.0"))
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	slow.Fault(registrytest.Hang())
	ctx, cancel := context.WithCancel(t.Context())
	swept := make(chan error, 1)
	go func() { swept <- r.auditor.sweep(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for found := false; !found; <-tick.C {
		drifts, err := r.auditor.store.drifts()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range drifts {
			found = found || d.Destination == reg.Host+"/prod" && d.Count == 1 && d.Findings[0].Kind == extraTag
		}
	}
	r.post("/events/distribution", distributionBody("1", "push", slow.Host, "prod/apple", "1.0", apple.Digest))
	r.post("/events/distribution", distributionBody("2", "push", reg.Host, "prod/apple", "1.0", apple.Digest))
	if got := r.await(1)[0]; got.ID != "2" || got.Verdict != verified {
		t.Errorf("got %s, want that the push to %s is VERIFIED", got.Text, reg.Host)
	}
	cancel()
	if err := <-swept; err == nil {
		t.Error("got no error for a canceled sweep, want one")
	}
}
