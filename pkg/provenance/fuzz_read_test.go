package provenance_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// FuzzRead holds that a policy without a fault can be enforced, and that one that is not off
// names signers, builders and sources.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"provenance: {mode: off}", "provenance:", "provenance: {mode: require}", "provenance: [a]",
		"provenance:\n  mode: warn\n  " + signersLine + "\n  " + buildersLine + "\n  " + sourcesLine + "\n  level: 2\n  levels: [{images: [a], level: 2}]\n",
		"provenance: {mode: require, signers: ['sigstore(regexp)::i::m'], builders: [{id: b@c, level: 3, caller: {refs: [refs/x]}}], sources: [s]}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := yamlread.Open(fstest.MapFS{"m": {Data: []byte(text)}}, "m", "m")
		if len(file.Docs) == 0 {
			return
		}
		field, ok := yamlread.Lookup(file.Docs[0], "provenance")
		if !ok {
			return
		}
		p := provenance.Read(file, field)
		for _, fault := range file.SortedFaults() {
			if fault.Severity == yamlread.Broken {
				return
			}
		}
		if p.Enabled() && (len(p.Signers) == 0 || len(p.Builders) == 0 || len(p.Sources) == 0) {
			t.Errorf("got a policy that is on, without signers, builders or sources: %+v", p)
		}
		for _, s := range p.Signers {
			if again, err := provenance.ParseSigner(s.Spec); err != nil || again.Identity.Matches("") != s.Identity.Matches("") {
				t.Errorf("signer %q: got error %v, want none", s.Spec, err)
			}
		}
		again := provenance.Read(file, field)
		if p.Digest() != again.Digest() || len(p.Differences(again)) > 0 {
			t.Errorf("got a policy that differs from itself: %+v", p)
		}
	})
}

// FuzzParseSigner holds that a signer that is compared exactly matches what it says, and
// nothing else.
func FuzzParseSigner(f *testing.F) {
	for _, seed := range []string{"sigstore::i::me", "sigstore(regexp)::.*::a|b", "sigstore(identityMatch=glob/i)::i::*@x", "key::x", "sigstore(issuerMatch=prefix)::i::m"} {
		f.Add(seed, "me")
	}
	f.Fuzz(func(t *testing.T, spec, value string) {
		s, err := provenance.ParseSigner(spec)
		if err != nil {
			return
		}
		for _, p := range []provenance.Pattern{s.Issuer, s.Identity} {
			matches := p.Matches(value)
			if p.Kind == provenance.Exact && !p.Fold && matches != (value == p.Value) {
				t.Errorf("%q: got a match of %q: %v, want %v", spec, value, matches, !matches)
			}
			if p.Kind == provenance.Prefix && !p.Fold && matches != strings.HasPrefix(value, p.Value) {
				t.Errorf("%q: got a match of %q: %v, want %v", spec, value, matches, !matches)
			}
		}
	})
}
