package verify

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

var (
	mirror = image.NewRepository("evil.example.com", "orchard/apple")
	now    = &Entry{Pos: manifest.Pos{File: "k8s/images/orchard/images.yaml", Line: 3, Column: 5}, Tags: []string{"v2.1"}, Sources: []name.Repository{staged}}
	then   = &Entry{Pos: manifest.Pos{File: listFile, Line: 9, Column: 5}, Tags: []string{"v2.1"}, Sources: []name.Repository{staged}}
)

func TestManifestLink(t *testing.T) {
	t.Parallel()
	full := &record{Record: &attest.Record{Manifest: attest.File{Name: listFile, Commit: commitA}}}
	cases := map[string]struct {
		tag  string
		rec  *record
		r    reason
		want Link
	}{
		"wanted then and now": {
			rec: full, r: reason{known: true, now: now, then: then, commit: commitA},
			want: Link{KindManifest, OK, listFile + ":9:5 in commit " + commitA},
		},
		"by a tag": {
			tag: "v2.1", rec: full, r: reason{known: true, now: now, then: then, commit: commitA},
			want: Link{KindManifest, OK, listFile + ":9:5 in commit " + commitA},
		},
		"a tag of another digest": {
			tag: "v1", rec: full, r: reason{known: true, now: now, then: then, commit: commitA},
			want: Link{KindManifest, Invalid, "k8s/images/orchard/images.yaml:3:5 wants the digest in prod.example.com/images/orchard/apple, but not under the tag v1"},
		},
		"removed since": {
			rec: full, r: reason{known: true, then: then, commit: commitA},
			want: Link{KindManifest, Missing, "not wanted any more: no manifest wants the digest in prod.example.com/images/orchard/apple"},
		},
		"not in that commit": {
			rec: full, r: reason{known: true, now: now, commit: commitA},
			want: Link{KindManifest, Invalid, listFile + " in commit " + commitA + " does not want the digest in the destination of the record"},
		},
		"no such commit": {
			rec: full, r: reason{known: true, now: now, commit: commitA, err: errors.New("commit x is not in this clone: fetch it first")},
			want: Link{KindManifest, Missing, "commit x is not in this clone: fetch it first"},
		},
		"no commit to read": {
			rec: &record{Record: &attest.Record{}}, r: reason{known: true, now: now, why: "current; the record names no manifest"},
			want: Link{KindManifest, OK, "k8s/images/orchard/images.yaml:3:5 (current; the record names no manifest)"},
		},
		"no record": {
			r:    reason{known: true, now: now, why: "current; no record names a commit"},
			want: Link{KindManifest, OK, "k8s/images/orchard/images.yaml:3:5 (current; no record names a commit)"},
		},
		"no manifests":               {want: Link{KindManifest, NotChecked, "no manifests are given"}},
		"no manifests, but a record": {rec: full, want: Link{KindManifest, NotChecked, "no manifests are given; the record names " + listFile + " in commit " + commitA}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := judgeManifest(&Subject{Repository: prod, Digest: digest, Tag: c.tag}, c.rec, c.r)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("link (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSourceLink(t *testing.T) {
	t.Parallel()
	from := func(repo name.Repository) *record { return &record{Record: &attest.Record{Source: repo}} }
	at := "@sha256:" + sha
	cases := map[string]struct {
		rec    *record
		r      reason
		want   Link
		judged []name.Repository
	}{
		"as in the commit": {
			rec: from(staged), r: reason{known: true, now: now, then: then},
			want: Link{KindSource, OK, staged.String() + at}, judged: []name.Repository{staged},
		},
		"moved since": {
			rec: from(staged), r: reason{known: true, now: &Entry{Sources: []name.Repository{mirror}}, then: then},
			want: Link{KindSource, OK, staged.String() + at}, judged: []name.Repository{mirror, staged},
		},
		"not that of the commit": {
			rec: from(mirror), r: reason{known: true, now: now, then: then},
			want:   Link{KindSource, Invalid, "the record names " + mirror.String() + at + ", the manifest " + staged.String() + at},
			judged: []name.Repository{staged, mirror},
		},
		"not that of the current manifests": {
			rec: from(mirror), r: reason{known: true, now: now},
			want:   Link{KindSource, Invalid, "the record names " + mirror.String() + at + ", the manifest " + staged.String() + at},
			judged: []name.Repository{staged, mirror},
		},
		"not wanted any more": {
			rec: from(staged), r: reason{known: true},
			want: Link{KindSource, NotChecked, "the record names " + staged.String() + at + ", and no manifest wants it"}, judged: []name.Repository{staged},
		},
		"no manifests": {
			rec: from(staged), want: Link{KindSource, NotChecked, "no manifests are given; the record names " + staged.String() + at},
			judged: []name.Repository{staged},
		},
		"none in the record": {
			rec: &record{Record: &attest.Record{}}, r: reason{known: true, now: now},
			want:   Link{KindSource, OK, staged.String() + at + " (of the current manifests: the record names no source)"},
			judged: []name.Repository{staged},
		},
		"none anywhere": {rec: &record{Record: &attest.Record{}}, want: Link{KindSource, NotChecked, "the record names no source"}},
		"no record": {
			r:      reason{known: true, now: now},
			want:   Link{KindSource, NotChecked, "no record names a source; it is " + staged.String() + at + " in the manifests"},
			judged: []name.Repository{staged},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, judged := judgeSource(&Subject{Repository: prod, Digest: digest}, c.rec, c.r)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("link (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(texts(c.judged), texts(judged)); diff != "" {
				t.Errorf("sources to judge (-want +got):\n%s", diff)
			}
		})
	}
}

func texts(repos []name.Repository) (all []string) {
	for _, r := range repos {
		all = append(all, r.String())
	}
	return all
}

func TestProvenanceLinks(t *testing.T) {
	t.Parallel()
	policy := func(mode provenance.Mode, line int32) provenance.Bound {
		return provenance.Bound{Policy: &provenance.Policy{Mode: mode, Pos: manifest.Pos{File: "m.yaml", Line: line, Column: 1}}}
	}
	verdict := func(all ...provenance.Judgment) []judged {
		return []judged{{source: staged, judgments: all}}
	}
	bad := provenance.Result{Violations: []string{"no provenance", "no SBOM"}}
	cases := map[string]struct {
		verdicts []judged
		unknown  bool
		want     []Link
	}{
		"no manifests": {unknown: true, want: []Link{{KindProvenance, NotChecked, "no manifests are given: their policies are unknown"}}},
		"no policy":    {verdicts: verdict(), want: []Link{{KindProvenance, NotChecked, "no policy applies"}}},
		"satisfied": {
			verdicts: verdict(provenance.Judgment{Policy: policy(provenance.Require, 4), Result: provenance.Result{Level: 3}}),
			want:     []Link{{KindProvenance, OK, "policy m.yaml:4:1, staging.example.com/orchard/apple: satisfied, build level 3"}},
		},
		"lost by the source": {
			verdicts: []judged{{staged, "prod.example.com/apple", []provenance.Judgment{{Policy: policy(provenance.Require, 4)}}}},
			want: []Link{{
				KindProvenance, OK,
				"policy m.yaml:4:1, staging.example.com/orchard/apple (which has lost the image; by the evidence in prod.example.com/apple): satisfied, build level 0",
			}},
		},
		"violated": {
			verdicts: verdict(provenance.Judgment{Policy: policy(provenance.Require, 4), Result: bad}),
			want:     []Link{{KindProvenance, Invalid, "policy m.yaml:4:1, staging.example.com/orchard/apple: not satisfied: no provenance; no SBOM"}},
		},
		"one of two": {
			verdicts: verdict(
				provenance.Judgment{Policy: policy(provenance.Require, 4), Result: provenance.Result{Level: 2}},
				provenance.Judgment{Policy: policy(provenance.Warn, 7), Result: bad}),
			want: []Link{
				{KindProvenance, OK, "policy m.yaml:4:1, staging.example.com/orchard/apple: satisfied, build level 2"},
				{KindProvenance, NotChecked, "policy m.yaml:7:1, staging.example.com/orchard/apple: not satisfied, and its mode is warn: no provenance; no SBOM"},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, judgeProvenance(c.verdicts, !c.unknown)); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSignatureLink(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		found signatures
		want  Link
	}{
		"not required": {signatures{err: errors.New("503")}, Link{KindSignature, NotChecked, "not required (--require-signature)"}},
		"signed":       {signatures{required: true, by: []string{"a", "b"}}, Link{KindSignature, OK, "signed by a and b"}},
		"not signed":   {signatures{required: true, absent: []string{"a"}}, Link{KindSignature, Missing, "no signature of a"}},
		"unreadable":   {signatures{required: true, absent: []string{"a"}, err: errors.New("503")}, Link{KindSignature, Missing, "reading the signatures: 503"}},
		"invalid": {
			signatures{required: true, absent: []string{"a"}, invalid: []string{"x: it is about another digest"}},
			Link{KindSignature, Invalid, "no signature of a verifies: x: it is about another digest"},
		},
		"signed twice, once wrong": {
			signatures{required: true, by: []string{"a"}, invalid: []string{"x"}, err: errors.New("503")}, Link{KindSignature, OK, "signed by a"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, judgeSignature(c.found)); diff != "" {
				t.Errorf("link (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	for status, want := range map[Status]string{OK: Intact, NotChecked: Intact, Missing: Broken, Invalid: Broken} {
		c := Chain{Verdict: Intact}
		c.add(Link{Status: OK}, Link{Status: status}, Link{Status: OK})
		if c.Verdict != want || Bad([]Chain{{Verdict: Intact}, c}) != (want == Broken) {
			t.Errorf("a chain with a link %q is %q, want %q", status, c.Verdict, want)
		}
		c.Links[1].Kind = KindSource
		if got := c.Lacks(KindSource); got != (want == Broken) || c.Lacks(KindProvenance) {
			t.Errorf("a chain with a source that is %q: it lacks one %t, want %t", status, got, want == Broken)
		}
	}
}
