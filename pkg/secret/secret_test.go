package secret_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	const password = "p@ss/w+rd:planted?"
	pair := base64.StdEncoding.EncodeToString([]byte("robot:" + password))
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":              {"manifest unknown", "manifest unknown"},
		"plain":                {"bad " + password + "!", "bad [redacted]!"},
		"twice":                {password + password, "[redacted][redacted]"},
		"the pair":             {"robot:" + password, "[redacted]"},
		"the header":           {"got Basic " + pair + ".", "got Basic [redacted]."},
		"without padding":      {"got " + strings.TrimRight(pair, "="), "got [redacted]"},
		"base64url":            {base64.URLEncoding.EncodeToString([]byte(password)), "[redacted]"},
		"base64url, no =":      {base64.RawURLEncoding.EncodeToString([]byte("robot:" + password)), "[redacted]"},
		"in a query":           {"/v2/?p=" + url.QueryEscape(password) + "&x=1", "/v2/?p=[redacted]&x=1"},
		"in a path":            {"/v2/" + url.PathEscape(password), "/v2/[redacted]"},
		"escaped in lower":     {strings.ToLower(url.QueryEscape("p@ss/w+rd")) + strings.ToLower("%3A") + "planted%3f", "[redacted]"},
		"the header, in a URL": {url.QueryEscape("Basic " + pair), "Basic+[redacted]"},
		"some of it escaped":   {"http://bot:p@ss/w%2Brd:planted%3f@x/", "http://bot:[redacted]@x/"},
		"escaped twice":        {"x=" + url.QueryEscape(url.QueryEscape(password)), "x=[redacted]"},
		"escaped as JSON":      {`"p@ss\/w\u002brd:planted?"`, `"[redacted]"`},
		"escaped as HTML":      {"p&#64;ss/w&#x2B;rd:planted?<br>", "[redacted]<br>"},
		"other escapes stay":   {"100 %, 50%25, \\n &amp; " + password, "100 %, 50%25, \\n &amp; [redacted]"},
		"the name alone":       {"user robot may not pull", "user robot may not pull"},
		"a short one":          {"token=abc, abcd", "token=[redacted], abcd"},
		"a token as the name":  {"hello github_pat_planted", "hello [redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s secret.Set
			s.AddPair("robot", password)
			s.AddPair("github_pat_planted", "x-oauth")
			s.Add("abc", "")
			if got := s.Redact(tc.text); got != tc.want {
				t.Errorf("Redact(%q): got %q, want %q", tc.text, got, tc.want)
			}
		})
	}
}

// A secret is also found in the base64 of a longer text.
func TestRedactEmbedded(t *testing.T) {
	t.Parallel()
	const password = "correct-horse-battery"
	var s secret.Set
	s.AddPair("robot", password)
	for _, before := range []string{"", "a", "ab", "abc", "Authorization: Basic robot:"} {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			got := s.Redact(e.EncodeToString([]byte(before + password + " and more")))
			if raw, err := e.DecodeString(got); err == nil || !strings.Contains(got, "[redacted]") {
				t.Errorf("after %q: got %q, which decodes to %q, want it redacted", before, got, raw)
			}
		}
	}
}

func TestEmptySet(t *testing.T) {
	t.Parallel()
	var s secret.Set
	if got := s.Redact("text"); got != "text" {
		t.Errorf("got %q, want %q", got, "text")
	}
}
