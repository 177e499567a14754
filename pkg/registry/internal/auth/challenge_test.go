package auth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseChallenges(t *testing.T) {
	type params = map[string]string
	for _, test := range []struct {
		name   string
		values []string
		want   []Challenge
	}{
		{"none", nil, nil},
		{"empty", []string{"", " , ,"}, nil},
		{"bearer", []string{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"`},
			[]Challenge{{Scheme: "bearer", Params: params{"realm": "https://auth.docker.io/token", "service": "registry.docker.io", "scope": "repository:a/b:pull,push"}}}},
		{"basic", []string{`Basic realm="Registry Realm"`}, []Challenge{{Scheme: "basic", Params: params{"realm": "Registry Realm"}}}},
		{"scheme alone", []string{`Negotiate`}, []Challenge{{Scheme: "negotiate", Params: params{}}}},
		{"schemes alone", []string{`Negotiate, NTLM ,Basic realm=x`},
			[]Challenge{{Scheme: "negotiate", Params: params{}}, {Scheme: "ntlm", Params: params{}}, {Scheme: "basic", Params: params{"realm": "x"}}}},
		{"token68", []string{`Negotiate a87421000492aa874209af8bc028==, Basic realm="x"`},
			[]Challenge{{Scheme: "negotiate", Params: params{}}, {Scheme: "basic", Params: params{"realm": "x"}}}},
		{"several in one header", []string{`Bearer realm="r",service="s", Basic realm="b", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]Challenge{{Scheme: "bearer", Params: params{"realm": "r", "service": "s"}}, {Scheme: "basic", Params: params{"realm": "b"}},
				{Scheme: "newauth", Params: params{"realm": "apps", "type": "1", "title": `Login to "apps"`}}}},
		{"several headers", []string{`Basic realm="b"`, `Bearer realm="r"`},
			[]Challenge{{Scheme: "basic", Params: params{"realm": "b"}}, {Scheme: "bearer", Params: params{"realm": "r"}}}},
		{"commas and escapes in quotes", []string{`bearer REALM="a,b\\c\"d" , Scope = "x y"`},
			[]Challenge{{Scheme: "bearer", Params: params{"realm": `a,b\c"d`, "scope": "x y"}}}},
		{"no quotes", []string{`Bearer realm=https://r/token?a=b,service=s`},
			[]Challenge{{Scheme: "bearer", Params: params{"realm": "https://r/token?a=b", "service": "s"}}}},
		{"no commas", []string{`Bearer realm="r" service="s"`}, []Challenge{{Scheme: "bearer", Params: params{"realm": "r", "service": "s"}}}},
		{"empty list elements", []string{`, Bearer , realm="r",, service="s",`}, []Challenge{{Scheme: "bearer", Params: params{"realm": "r", "service": "s"}}}},
		{"tabs", []string{"Bearer\trealm=\"r\"\t,\tservice=\"s\""}, []Challenge{{Scheme: "bearer", Params: params{"realm": "r", "service": "s"}}}},
		{"the first of two values counts", []string{`Bearer realm="r",realm="evil"`}, []Challenge{{Scheme: "bearer", Params: params{"realm": "r"}}}},
		{"empty value", []string{`Bearer realm="",service=`}, []Challenge{{Scheme: "bearer", Params: params{"realm": "", "service": ""}}}},
		{"open quotes", []string{`Bearer realm="r",service="s`, `Basic realm="b"`},
			[]Challenge{{Scheme: "bearer", Params: params{"realm": "r"}}, {Scheme: "basic", Params: params{"realm": "b"}}}},
		{"escape at the end", []string{`Bearer realm="r\`}, []Challenge{{Scheme: "bearer", Params: params{}}}},
		{"no scheme", []string{`="x"`, `"x"`, `realm="x"`}, nil},
		{"too long", []string{`Bearer realm="` + strings.Repeat("x", maxChallengeText) + `"`}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			for _, v := range test.values {
				h.Add("www-authenticate", v)
			}
			if diff := cmp.Diff(test.want, ParseChallenges(h)); diff != "" {
				t.Errorf("challenges (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseChallengesIsBounded(t *testing.T) {
	many := http.Header{"Www-Authenticate": {strings.Repeat("Basic, ", 1000), strings.Repeat("Basic, ", 1000)}}
	if n := len(ParseChallenges(many)); n != maxChallenges {
		t.Errorf("got %d challenges, want %d", n, maxChallenges)
	}
	var b strings.Builder
	b.WriteString("Bearer ")
	for i := range 500 {
		b.WriteString("p" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + "=1,")
	}
	for _, c := range ParseChallenges(http.Header{"Www-Authenticate": {b.String()}}) {
		if len(c.Params) > maxParams {
			t.Errorf("got %d parameters, want at most %d", len(c.Params), maxParams)
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"`,
		`Negotiate abc==, Basic realm="a\"b,c"`, `Bearer realm=x service = y,,=`, `a b="\`, "\x00\xff",
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		all := ParseChallenges(http.Header{"Www-Authenticate": {one, two}})
		if len(all) > maxChallenges {
			t.Errorf("got %d challenges, want at most %d", len(all), maxChallenges)
		}
		for _, c := range all {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) || c.Insecure || len(c.Params) > maxParams {
				t.Errorf("got challenge %+v, want a scheme in lower case and at most %d parameters", c, maxParams)
			}
			for name := range c.Params {
				if name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, " \t,=\"") {
					t.Errorf("got parameter %q, want a token in lower case", name)
				}
			}
		}
		again := ParseChallenges(http.Header{"Www-Authenticate": {one, two}})
		if diff := cmp.Diff(all, again); diff != "" {
			t.Errorf("parsed twice (-first +second):\n%s", diff)
		}
	})
}
