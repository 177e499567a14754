package provenance_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind    string
		fold    bool
		pattern string
		matches []string
		not     []string
	}{
		{"exact", false, "me@example.com", []string{"me@example.com"}, []string{"me@example.co", "Me@example.com", "xme@example.com", ""}},
		{"exact", true, "Me@example.com", []string{"me@EXAMPLE.com"}, []string{"me@example.org"}},
		{"prefix", false, "https://a/", []string{"https://a/", "https://a/b/c"}, []string{"https://a", "x https://a/", "HTTPS://a/"}},
		{"prefix", true, "https://A/", []string{"HTTPS://a/b"}, []string{"http://a/b"}},
		{"glob", false, "https://a/*", []string{"https://a/b", "https://a/"}, []string{"https://a/b/c", "https://a", "xhttps://a/b"}},
		{"glob", true, "*@EXAMPLE.com", []string{"Me@example.COM"}, []string{"me@example.com/"}},
		{"regex", false, "a|ab", []string{"a", "ab"}, []string{"b", "abc", "xa", "a\n", "\na"}},
		{"regex", false, "krel-.*@example.com", []string{"krel-trust@example.com"}, []string{"xkrel-trust@example.com", "krel-trust@example.com.evil"}},
		{"regex", false, "^a$", []string{"a"}, []string{"ab", "a\n"}},
		{"regex", false, "(?m)^a$", []string{"a"}, []string{"a\nb", "b\na"}},
		{"regex", false, `\Qa.b`, []string{"a.b"}, []string{"axb", "a.b)"}},
		{"regex", false, "a*?", []string{"aaa", ""}, []string{"aab"}},
		{"regex", true, "[a-z]+@example.com", []string{"ME@Example.com"}, []string{"m1@example.com", "\u212A@example.com", "\u017F@example.com"}},
		{"exact", true, "k@example.com", []string{"K@example.com"}, []string{"\u212A@example.com"}},
		{"regex", false, ".@example.com", []string{"\u212A@example.com"}, nil},
	} {
		p, err := provenance.NewPattern(test.kind, test.fold, test.pattern)
		if err != nil {
			t.Errorf("%s %q: got error %v, want none", test.kind, test.pattern, err)
			continue
		}
		for _, v := range test.matches {
			if !p.Matches(v) {
				t.Errorf("%s %q, fold %v: got no match of %q, want one", test.kind, test.pattern, test.fold, v)
			}
		}
		for _, v := range test.not {
			if p.Matches(v) {
				t.Errorf("%s %q, fold %v: got a match of %q, want none", test.kind, test.pattern, test.fold, v)
			}
		}
	}
}

func TestBadPattern(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ kind, pattern, want string }{
		{"exact", "", "it is empty"},
		{"exact", " \t", "it is empty"},
		{"glob", "[", `malformed pattern "["`},
		{"regex", "(", `malformed pattern "(": error parsing regexp`},
		{"regex", "a)|(b", `malformed pattern "a)|(b"`},
		{"regexp", "a", `unknown kind of match "regexp"`},
		{"", "a", `unknown kind of match ""`},
	} {
		_, err := provenance.NewPattern(test.kind, false, test.pattern)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s %q: got error %v, want %q", test.kind, test.pattern, err, test.want)
		}
	}
	if (provenance.Pattern{Kind: "exact", Value: "a"}).Matches("a") || (provenance.Pattern{}).Matches("") {
		t.Error("a pattern that NewPattern did not make: got a match, want none")
	}
}

func TestParseSigner(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		spec             string
		issuer, identity string // kind and value
		fold             string // parts that ignore case
	}{
		{"sigstore::https://i::me", "exact https://i", "exact me", ""},
		{"sigstore::https://i::a::b", "exact https://i", "exact a::b", ""},
		{"sigstore(regexp)::.*::me", "regex .*", "regex me", ""},
		{"sigstore(identityMatch=glob)::https://i::*@me", "exact https://i", "glob *@me", ""},
		{"sigstore(issuerMatch=prefix)::https://::me", "prefix https://", "exact me", ""},
		{"sigstore(identityMatch=regex/i,issuerMatch=exact)::https://i::m(e|f)", "exact https://i", "regex m(e|f)", "identity"},
		{"sigstore(issuerMatch=exact/i, identityMatch=prefix/i)::https://I::M", "exact https://I", "prefix M", "issuer identity"},
	} {
		s, err := provenance.ParseSigner(test.spec)
		if err != nil {
			t.Errorf("%s: got error %v, want none", test.spec, err)
			continue
		}
		issuer, identity := s.Issuer.Kind+" "+s.Issuer.Value, s.Identity.Kind+" "+s.Identity.Value
		if issuer != test.issuer || identity != test.identity || s.Spec != test.spec {
			t.Errorf("%s: got issuer %q, identity %q, spec %q, want %q, %q", test.spec, issuer, identity, s.Spec, test.issuer, test.identity)
		}
		var fold []string
		if s.Issuer.Fold {
			fold = append(fold, "issuer")
		}
		if s.Identity.Fold {
			fold = append(fold, "identity")
		}
		if got := strings.Join(fold, " "); got != test.fold {
			t.Errorf("%s: got %q that ignore case, want %q", test.spec, got, test.fold)
		}
	}
}

func TestBadSigner(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                        `bad signer "": want sigstore::ISSUER::IDENTITY`,
		"me@example.com":          `bad signer "me@example.com": want sigstore::ISSUER::IDENTITY`,
		"sigstorex::i::me":        `bad signer "sigstorex::i::me": want sigstore::ISSUER::IDENTITY`,
		"sigstore":                `bad signer "sigstore": want an issuer and an identity, with :: between them`,
		"sigstore::i":             `bad signer "sigstore::i": want an issuer and an identity, with :: between them`,
		"sigstore::::me":          `bad issuer of signer "sigstore::::me": it is empty`,
		"sigstore::i::":           `bad identity of signer "sigstore::i::": it is empty`,
		"sigstore::i:: ":          `bad identity of signer "sigstore::i:: ": it is empty`,
		"sigstore()::i::me":       `bad signer "sigstore()::i::me": unknown parameter ""`,
		"sigstore(regexp::i::me":  `bad signer "sigstore(regexp::i::me": the ) before :: is missing`,
		"sigstore(regex)::i::me":  `bad signer "sigstore(regex)::i::me": unknown parameter "regex"`,
		"sigstore(regexp)::(::me": `bad issuer of signer "sigstore(regexp)::(::me": malformed pattern "("`,
		"sigstore(identityMatch=like)::i::me": `bad signer "sigstore(identityMatch=like)::i::me": ` +
			`unknown kind of match "like"`,
		"sigstore(identityMatch=exact/i/i)::i::me": `bad signer "sigstore(identityMatch=exact/i/i)::i::me": unknown kind of match "exact/i"`,
		"sigstore(identityMatch=exact,identityMatch=regex)::i::.*": `bad signer ` +
			`"sigstore(identityMatch=exact,identityMatch=regex)::i::.*": parameter identityMatch is repeated`,
		"key::pem":                       "signers of kind key are not supported",
		"spiffe:example.com/a":           "signers of kind spiffe are not supported",
		"spiffe::example.com/a":          "signers of kind spiffe are not supported",
		"ref:other":                      "signers of kind ref are not supported",
		"sigstore(identityMatch)::i::me": `bad signer "sigstore(identityMatch)::i::me": unknown kind of match ""`,
	} {
		_, err := provenance.ParseSigner(spec)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", spec, err, want)
		}
	}
}
