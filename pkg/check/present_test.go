package check_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// presence runs the rule for provenance under cosign's tag, with a builder as the signer.
type presence struct {
	*registrytest.Server
	*sigstoretest.Sigstore
	builder sigstoretest.Identity
	apple   registrytest.Object
}

func newPresence(t *testing.T) *presence {
	t.Helper()
	p := &presence{registrytest.New(t), sigstoretest.New(t), sigstoretest.Identity{SAN: "builder@example.com", Issuer: "https://accounts.google.com"}, registrytest.Image(1, 1)}
	p.Push(t, "staging/apple", p.apple, "1.0")
	return p
}

// check returns the findings about images of a manifest with a policy of some mode, or without one.
func (p *presence) check(t *testing.T, mode string, images ...registrytest.Object) []check.Finding {
	t.Helper()
	client, err := registry.New(registry.Options{NoAmbient: true, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	trust, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{p.TrustedRoot()}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(policed("staging", mode, "s"), "r.example", p.Host)
	text = text[:strings.Index(text, "images:")] + "images:\n- name: apple\n  dmap:\n"
	items := []plan.Item{}
	for _, o := range images {
		text += fmt.Sprintf("    %q: []\n", o.Digest)
		items = append(items, plan.Item{
			Action: plan.Copy, Status: plan.Planned, Digest: image.Hash(o.Digest),
			Destination: image.NewRepository(p.Host, "prod/apple"), From: image.NewRepository(p.Host, "staging/apple"),
		})
	}
	signer := check.Signer{Name: p.builder.SAN, Matches: func(id provenance.Identity) bool { return id.SAN == p.builder.SAN }}
	rule := check.PresentProvenance{Read: evidence.NewReader(evidence.Direct(client), trust), Signers: []check.Signer{signer}}
	return check.Run(t.Context(), []check.Rule{rule}, input(set(t, map[string]string{"m.yaml": text}), items...))
}

func TestPresentProvenance(t *testing.T) {
	t.Parallel()
	const warning = "images without provenance of builder@example.com: "
	stranger := sigstoretest.Identity{SAN: "stranger@example.com", Issuer: "https://accounts.google.com"}
	statement := func(p *presence) []byte { return registrytest.Statement(provenance.ProvenanceV1, p.apple.Digest) }
	for name, tc := range map[string]struct {
		put   func(t *testing.T, p *presence) []registrytest.Blob
		level check.Level // 0: no finding
		want  string
	}{
		"none": {func(*testing.T, *presence) []registrytest.Blob { return nil }, check.Note, warning},
		"of the builder": {func(_ *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{p.AttestationLayer(p.builder, statement(p))}
		}, 0, ""},
		"of a stranger": {func(_ *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{p.AttestationLayer(stranger, statement(p))}
		}, check.Note, warning},
		"of both": {func(_ *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{p.AttestationLayer(stranger, statement(p)), p.AttestationLayer(p.builder, statement(p))}
		}, 0, ""},
		"tampered": {func(_ *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{p.AttestationLayer(p.builder, statement(p)), p.AttestationLayer(p.builder, statement(p), sigstoretest.Tampered())}
		}, check.Error, "does not verify"},
		"about another image": {func(_ *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{p.AttestationLayer(p.builder, registrytest.Statement(provenance.ProvenanceV1, registrytest.Image(2, 1).Digest))}
		}, check.Error, "about other digests"},
		"signed by a key": {func(t *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{p.AttestationLayer(p.builder, statement(p), sigstoretest.SignedBy(registrytest.NewKey(t, "p256")))}
		}, check.Error, "no public key is trusted"},
		"not signed": {func(_ *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{sigstoretest.UnsignedLayer(statement(p))}
		}, check.Error, "without an envelope"},
		"not a statement": {func(_ *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{p.AttestationLayer(p.builder, []byte("{}"))}
		}, check.Error, "parsing the statement"},
		"another type, tampered": {func(_ *testing.T, p *presence) []registrytest.Blob {
			return []registrytest.Blob{p.AttestationLayer(p.builder, registrytest.Statement("https://spdx.dev/Document", p.apple.Digest), sigstoretest.Tampered())}
		}, check.Note, warning},
		"unreadable tag": {func(_ *testing.T, p *presence) []registrytest.Blob {
			p.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), registrytest.Is(registrytest.ManifestGet))
			return nil
		}, check.Failed, "403 DENIED"},
		"unreadable layer": {func(_ *testing.T, p *presence) []registrytest.Blob {
			p.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), registrytest.Is(registrytest.BlobGet))
			return []registrytest.Blob{p.AttestationLayer(p.builder, statement(p))}
		}, check.Failed, "403 DENIED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPresence(t)
			if layers := tc.put(t, p); layers != nil {
				sigstoretest.PutTag(t, p.Server, "staging/apple", p.apple.Digest, ".att", layers...)
			}
			found := p.check(t, "", p.apple)
			expect(t, found, tc.level, tc.want)
			if len(found) == 1 && (found[0].Warning != (tc.level == check.Note) || (found[0].Image.Digest.Hex == "") != found[0].Warning) {
				t.Errorf("got %+v, want a warning about no single image: %t", found[0], tc.level == check.Note)
			}
		})
	}
}

// A policy that requires provenance takes the place of the rule, one that warns does not.
// What has none is one warning.
func TestPresentProvenanceAndPolicies(t *testing.T) {
	t.Parallel()
	p := newPresence(t)
	images := []registrytest.Object{p.apple}
	for i := range 7 {
		images = append(images, registrytest.Image(10+i, 1))
	}
	for mode, want := range map[string]string{"": " and 3 more", "off": " and 3 more", "warn": " and 3 more", "require": ""} {
		expect(t, p.check(t, mode, images...), check.Note, want)
	}
}
