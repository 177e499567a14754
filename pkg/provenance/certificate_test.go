package provenance_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

func TestCertificate(t *testing.T) {
	t.Parallel()
	const account, google = "builder@example.com", "https://accounts.google.com"
	tests := map[string]struct {
		identity, identityRegexp, issuer, issuerRegexp string
		id                                             provenance.Identity
		want                                           bool
	}{
		"exact":                            {account, "", google, "", provenance.Identity{SAN: account, Issuer: google}, true},
		"another identity":                 {account, "", google, "", provenance.Identity{SAN: "x" + account, Issuer: google}, false},
		"another issuer":                   {account, "", google, "", provenance.Identity{SAN: account, Issuer: google + "/"}, false},
		"no identity":                      {account, "", google, "", provenance.Identity{}, false},
		"expression of a part":             {"", "example", google, "", provenance.Identity{SAN: account, Issuer: google}, true},
		"anchored expression":              {"", "^example", google, "", provenance.Identity{SAN: account, Issuer: google}, false},
		"alternatives":                     {"", "(a@example.com)|(builder@example.com)", google, "", provenance.Identity{SAN: account, Issuer: google}, true},
		"expression of the issuer":         {account, "", "", "google", provenance.Identity{SAN: account, Issuer: google}, true},
		"another expression of the issuer": {account, "", "", "github", provenance.Identity{SAN: account, Issuer: google}, false},
		"any, and nothing there":           {"", ".*", "", ".*", provenance.Identity{}, false},
		"any, and a key":                   {"", ".*", "", ".*", provenance.Identity{SAN: account, Issuer: google, Key: "sha256:00"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := provenance.NewCertificate(tc.identity, tc.identityRegexp, tc.issuer, tc.issuerRegexp)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Matches(tc.id); got != tc.want {
				t.Errorf("%s, %+v: got %v, want %v", c, tc.id, got, tc.want)
			}
		})
	}
	for want, bad := range map[string][4]string{
		"bad identity of certificates: want a value":                               {"", "", google, ""},
		"bad issuer of certificates: want a value":                                 {account, "", "", ""},
		"bad identity of certificates: a value and a regular expression exclude":   {account, ".*", google, ""},
		"bad issuer of certificates: a value and a regular expression exclude":     {account, "", google, ".*"},
		"bad identity of certificates: error parsing regexp":                       {"", "(", google, ""},
		"bad issuer of certificates: error parsing regexp: missing closing ]: `[`": {account, "", "", "["},
	} {
		if _, err := provenance.NewCertificate(bad[0], bad[1], bad[2], bad[3]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want one with %q", bad, err, want)
		}
	}
}
