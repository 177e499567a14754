package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

const (
	sha       = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
	otherSHA  = "0000000000000000000000000000000000000000000000000000000000000001"
	commitA   = "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"
	listFile  = "registry.k8s.io/images/orchard/images.yaml"
	recorder  = "promoter@example.com"
	issuer    = "https://accounts.example.com"
	published = "registry.example.com/orchard/apple"
)

var (
	digest = v1.Hash{Algorithm: "sha256", Hex: sha}
	prod   = image.NewRepository("prod.example.com", "images/orchard/apple")
	staged = image.NewRepository("staging.example.com", "orchard/apple")
	home   = Home{prod, published}
	byName = check.Signer{Name: recorder, Matches: func(id provenance.Identity) bool { return id.SAN == recorder && id.Issuer == issuer }}
	byKey  = check.Signer{Name: "release.pub", Matches: func(id provenance.Identity) bool { return id.Key == "sha256:release" }}
)

// predicate returns the predicate of a record. Edits change its keys; a nil value removes one.
func predicate(edits map[string]any) json.RawMessage {
	of := func(name string) map[string]any {
		return map[string]any{"name": name, "digest": map[string]string{"sha256": sha}}
	}
	p := map[string]any{
		"srcRef": staged.String() + "@sha256:" + sha, "dstRef": published, "digest": "sha256:" + sha, "timestamp": "2026-11-02T06:30:00Z",
		"builderId": "https://example.com/cip@v1", "tags": []string{"v2.1"}, "source": of(staged.String()), "destination": of(published),
		"manifest": map[string]any{"name": listFile, "uri": "git+https://example.com/k8s.io", "digest": map[string]string{"gitCommit": commitA}},
		"job":      map[string]any{"name": "post-promo", "buildId": "1985"},
	}
	for k, v := range edits {
		if p[k] = v; v == nil {
			delete(p, k)
		}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return raw
}

// attestation returns a verified record. Its URI is text.
func attestation(uri string, edits map[string]any) provenance.Attestation {
	return provenance.Attestation{
		State: provenance.Verified, Signer: provenance.Identity{SAN: recorder, Issuer: issuer}, URI: uri,
		Statement: &provenance.Statement{
			Type: "https://in-toto.io/Statement/v1", PredicateType: attest.RecordType,
			Subjects:  []provenance.Subject{{Name: published, Digest: map[string]string{"sha256": sha}}},
			Predicate: predicate(edits),
		},
	}
}

// changed returns a record that a function has changed.
func changed(uri string, change func(*provenance.Attestation)) provenance.Attestation {
	a := attestation(uri, nil)
	change(&a)
	return a
}

func TestRecordLink(t *testing.T) {
	t.Parallel()
	const by = `"promoter@example.com" of "https://accounts.example.com"`
	const good = "signed by " + by + " at 2026-11-02T06:30:00Z, job post-promo, build 1985: "
	stranger := changed("stranger", func(a *provenance.Attestation) { a.Signer.SAN = "eve@example.com" })
	rejected := func(name, why string) Link {
		return Link{KindRecord, Invalid, "no record of promoter@example.com verifies: " + name + ": " + why}
	}
	absent := Link{KindRecord, Missing, "no record of promoter@example.com in prod.example.com/images/orchard/apple"}
	cases := map[string]struct {
		found   []provenance.Attestation
		err     error
		signers []check.Signer
		want    Link
		notes   []string
		newest  string // URI
	}{
		"one":   {found: []provenance.Attestation{attestation("a", nil)}, want: Link{KindRecord, OK, good + "a"}, newest: "a"},
		"none":  {want: absent},
		"error": {err: errors.New("503"), want: Link{KindRecord, Missing, "reading the records: 503"}},
		"the newest of several": {
			found: []provenance.Attestation{
				attestation("old", map[string]any{"timestamp": "2026-10-02T06:30:00.5Z"}), attestation("new", nil),
				attestation("older", map[string]any{"timestamp": "2026-09-02T06:30:00Z"}),
			},
			want: Link{KindRecord, OK, good + "new"}, newest: "new",
		},
		"an invalid one is newer": {
			found: []provenance.Attestation{attestation("a", nil), attestation("b", map[string]any{"timestamp": "2026-12-02T06:30:00Z", "dstRef": "x"})},
			want:  Link{KindRecord, OK, good + "a"}, newest: "a",
			notes: []string{`record b: the record is for "registry.example.com/orchard/apple", and its dstRef is "x"`},
		},
		"written later": {
			found: []provenance.Attestation{attestation("a", map[string]any{"srcRef": nil, "source": nil, "manifest": nil, "job": nil})},
			want:  Link{KindRecord, OK, "signed by " + by + " at 2026-11-02T06:30:00Z: a"}, newest: "a",
		},
		"a stranger's": {
			found: []provenance.Attestation{stranger},
			want:  absent, notes: []string{`record stranger is no proof: its signer is "eve@example.com" of "https://accounts.example.com"`},
		},
		"a stranger's is newer": {
			found: []provenance.Attestation{stranger, attestation("a", map[string]any{"timestamp": "2026-10-02T06:30:00Z"})},
			want:  Link{KindRecord, OK, strings.Replace(good, "11-02", "10-02", 1) + "a"}, newest: "a",
			notes: []string{`record stranger is no proof: its signer is "eve@example.com" of "https://accounts.example.com"`},
		},
		"the wrong issuer": {
			found: []provenance.Attestation{changed("a", func(a *provenance.Attestation) { a.Signer.Issuer = "https://evil.example" })},
			want:  absent, notes: []string{`record a is no proof: its signer is "promoter@example.com" of "https://evil.example"`},
		},
		"not signed": {
			found: []provenance.Attestation{changed("a", func(a *provenance.Attestation) { a.State, a.Reason = provenance.Unsigned, "it has no signature" })},
			want:  absent, notes: []string{"record a is no proof: it has no signature"},
		},
		"an unknown key": {
			found: []provenance.Attestation{changed("a", func(a *provenance.Attestation) { a.State, a.Reason = provenance.Unverifiable, "unknown key" })},
			want:  absent, notes: []string{"record a is no proof: unknown key"},
		},
		"tampered": {
			found: []provenance.Attestation{changed("a", func(a *provenance.Attestation) { a.State, a.Reason = provenance.Failed, "the signature is wrong" })},
			want:  rejected("a", "the signature is wrong"),
		},
		"another name": {
			found: []provenance.Attestation{changed("a", func(a *provenance.Attestation) {
				a.Statement.Subjects[0].Name, a.Statement.Predicate = "pear", predicate(map[string]any{"dstRef": "pear", "destination": nil})
			})},
			want: rejected("a", `the record is for "pear", not for "registry.example.com/orchard/apple"`),
		},
		"another digest": {
			found: []provenance.Attestation{changed("a", func(a *provenance.Attestation) {
				a.Statement.Subjects[0].Digest = map[string]string{"sha256": otherSHA}
				a.Statement.Predicate = predicate(map[string]any{"digest": "sha256:" + otherSHA, "srcRef": nil, "source": nil, "destination": nil})
			})},
			want: rejected("a", "the record is about sha256:"+otherSHA),
		},
		"contradicts itself": {
			found: []provenance.Attestation{attestation("a", map[string]any{"digest": "sha256:" + otherSHA})},
			want:  rejected("a", `the record is about sha256:`+sha+`, and its digest is "sha256:`+otherSHA+`"`),
		},
		"no statement": {
			found: []provenance.Attestation{changed("a", func(a *provenance.Attestation) { a.Statement = nil })},
			want:  rejected("a", "the record has no statement"),
		},
		"signers of two kinds": {
			found: []provenance.Attestation{
				attestation("a", map[string]any{"timestamp": "2026-10-02T06:30:00Z"}),
				changed("b", func(a *provenance.Attestation) { a.Signer = provenance.Identity{Key: "sha256:release"} }),
			},
			signers: []check.Signer{byName, byKey}, newest: "b",
			want: Link{KindRecord, OK, `signed by the key "sha256:release" at 2026-11-02T06:30:00Z, job post-promo, build 1985: b`},
		},
		"one of two signers": {
			found: []provenance.Attestation{attestation("a", nil)}, signers: []check.Signer{byName, byKey},
			want: Link{KindRecord, Missing, "no record of release.pub in prod.example.com/images/orchard/apple"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signers := c.signers
			if signers == nil {
				signers = []check.Signer{byName}
			}
			got := judgeRecords(&Subject{Digest: digest}, []reading{{home, c.found, c.err}}, signers)
			if diff := cmp.Diff(c.want, got.link); diff != "" {
				t.Errorf("link (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.notes, got.notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			newest := ""
			if got.newest != nil {
				newest = got.newest.uri
			}
			if newest != c.newest {
				t.Errorf("the newest record is %q, want %q", newest, c.newest)
			}
		})
	}
}

func TestNotesAreLimited(t *testing.T) {
	t.Parallel()
	var found []provenance.Attestation
	for i := range 1000 {
		found = append(found, changed(fmt.Sprint(i), func(a *provenance.Attestation) { a.Signer.SAN = "eve@example.com" }))
	}
	got := judgeRecords(&Subject{Digest: digest}, []reading{{home: home, attestations: found}}, []check.Signer{byName})
	if want := "and 990 more such notes"; len(got.notes) != maxNotes+1 || got.notes[maxNotes] != want {
		t.Errorf("got %d notes, the last %q, want %d and %q", len(got.notes), got.notes[len(got.notes)-1], maxNotes+1, want)
	}
}

func TestOneHomeOfSeveralIsEnough(t *testing.T) {
	t.Parallel()
	unread := reading{home: Home{staged, "other"}, err: errors.New("503")}
	got := judgeRecords(&Subject{Digest: digest}, []reading{unread, {home: home, attestations: []provenance.Attestation{attestation("a", nil)}}}, []check.Signer{byName})
	if got.link.Status != OK {
		t.Errorf("got %+v, want status %q", got.link, OK)
	}
	if got := judgeRecords(&Subject{Digest: digest}, nil, []check.Signer{byName}); got.link.Status != Missing {
		t.Errorf("without a home: got %+v, want status %q", got.link, Missing)
	}
}
