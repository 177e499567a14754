package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// puttingRecord matches requests that put the manifest of a promotion record.
func puttingRecord(r *http.Request) bool {
	if !rt.Is(rt.ManifestPut)(r) {
		return false
	}
	raw, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(raw))
	return err == nil && bytes.Contains(raw, []byte(`"dev.sigstore.bundle.predicateType":"`+recordType+`"`)) && !rt.ByTag()(r)
}

// TestInterruptEvidence interrupts cip run while it writes evidence, each time at another
// step. The report says only what is so, and cip verify --confirm writes what is lacking,
// once.
func TestInterruptEvidence(t *testing.T) {
	t.Parallel()
	tag := func(suffix string) func(*attested) []rt.Match {
		return func(a *attested) []rt.Match {
			return []rt.Match{rt.Is(rt.ManifestPut), rt.Ref(sigstoretest.Tag(a.index.Digest, suffix))}
		}
	}
	record := func(*attested) []rt.Match { return []rt.Match{puttingRecord} }
	for name, step := range map[string]struct {
		options []rt.Option
		fault   rt.Fault
		when    func(*attested) []rt.Match
		why     string // of the record
	}{
		"asking for the list of referrers": {nil, rt.Hang(), func(*attested) []rt.Match { return []rt.Match{rt.Is(rt.Referrers)} }, "interrupted"},
		"uploading a bundle": {nil, rt.Hang(), func(a *attested) []rt.Match {
			return []rt.Match{rt.Is(rt.UploadPost), func(*http.Request) bool { return a.dst.Count(rt.Referrers) > 0 }}
		}, "interrupted"},
		"putting the signature":      {nil, rt.Hang(), tag(".sig"), "interrupted"},
		"putting the record":         {nil, rt.Hang(), record, "it may have been done"},
		"putting one that is stored": {nil, late(time.Minute), record, "it may have been done"},
		"reading the record back": {nil, rt.Hang(), func(a *attested) []rt.Match {
			var put atomic.Bool
			a.dst.Fault(rt.Hang(), func(r *http.Request) bool {
				put.Store(put.Load() || puttingRecord(r))
				return false
			})
			return []rt.Match{rt.Is(rt.ManifestHead), rt.Not(rt.ByTag()), func(*http.Request) bool { return put.Load() }}
		}, ""},
		"listing the record": {[]rt.Option{rt.NoReferrers()}, rt.Hang(), func(a *attested) []rt.Match { return append(tag("")(a), rt.After(1)) }, "it may have been done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttested(t, step.options...)
			reached, fault := announced(step.fault)
			a.dst.Fault(fault, step.when(a)...)
			why, reported := a.interrupted(reached)["record"]
			if !strings.Contains(why, step.why) || reported != (step.why != "") {
				t.Errorf("got the record skipped %t: %q, want %q", reported, why, step.why)
			}
			a.dst.ClearFaults()
			a.completes()
		})
	}
}

// TestInterruptSigning interrupts cip run while a service of sigstore does not answer.
func TestInterruptSigning(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--fulcio-url", "--rekor-url", "--timestamp-url"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			a := newAttested(t)
			reached, hang := announced(rt.Hang())
			slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hang(w, r, nil) }))
			t.Cleanup(slow.Close)
			a.interrupted(reached, flag+"="+slow.URL)
			a.completes()
		})
	}
}

// interrupted interrupts a run that has reached a step, and looks at what is left. It
// returns why evidence was skipped, by kind.
func (a *attested) interrupted(reached <-chan struct{}, args ...string) map[string]string {
	a.t.Helper()
	p := a.begin("run", append(append(writeAll(), "--confirm"), args...)...)
	awaited(a.t, reached, "the request to hang")
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		a.t.Fatal(err)
	}
	out := p.wait(a.t, interruptLimit)
	if out.code != 130 || out.report == nil || !strings.Contains(out.stderr, "interrupted") {
		a.t.Fatalf("exit code %d, want 130, a report and a message\n%s", out.code, out)
	}
	for _, repo := range []string{"us/orchard/apple", "eu/orchard/apple"} {
		for _, p := range wrong(a.t, a.dst, repo, a.index, "v1", "v1.0") {
			a.t.Errorf("after the interrupt: %s", p)
		}
	}
	skipped := map[string]string{}
	for _, it := range out.report.Promotions {
		switch {
		case it.Kind != "evidence" && it.Status != "done", it.Status != "done" && it.Status != "skipped":
			a.t.Errorf("%s %s of %s: got %s (%s), want it done, or skipped if it is evidence", it.Action, it.What, it.Digest, it.Status, it.Error)
		case it.Status == "skipped":
			skipped[it.What] = it.Error
		case it.Kind == "evidence" && a.count(it.What, it.Digest) != 1:
			a.t.Errorf("%s of %s is done in the report: got %d in the registry, want one", it.What, it.Digest, a.count(it.What, it.Digest))
		}
	}
	if len(skipped) == 0 {
		a.t.Errorf("got nothing skipped, want what the interrupt has stopped\n%s", out)
	}
	return skipped
}

// count returns the number of pieces of evidence of a kind that the destination has of a digest.
func (a *attested) count(what, digest string) int {
	a.t.Helper()
	repo := image.NewRepository(a.dst.Host, "us/orchard/apple")
	if what == "signature" {
		signers, _, err := a.reader().Signed(a.t.Context(), repo, image.Hash(digest))
		if err != nil {
			a.t.Fatal(err)
		}
		return len(signers)
	}
	all, err := a.reader().Attestations(a.t.Context(), repo, image.Hash(digest), map[string]string{"record": recordType, "summary": summaryType, "attestation": slsaType}[what])
	if err != nil {
		a.t.Fatal(err)
	}
	return len(all)
}

// completes fails unless what an interrupted run has left is completed, each piece once.
func (a *attested) completes() {
	a.t.Helper()
	a.run(0, "--confirm") // the image is up to date: its evidence is not looked at
	a.verified(0, "--confirm", "--verification-summaries", "--require-signature")
	a.dst.Reset()
	a.verified(0, "--confirm", "--verification-summaries", "--require-signature")
	if writes := a.dst.Writes(); len(writes) > 0 {
		a.t.Errorf("got writes %v of the second cip verify, want none", writes)
	}
	for _, text := range allEvidence("") {
		what, name, _ := strings.Cut(strings.TrimSpace(text), " of ")
		digest := map[string]string{"index": a.index.Digest, "amd64": a.amd.Digest, "arm64": a.arm.Digest}[name]
		if n := a.count(what, digest); n != 1 {
			a.t.Errorf("got %d of the %s, want one", n, text)
		}
	}
}
