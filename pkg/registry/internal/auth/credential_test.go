package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSecretsAreNeverPrinted(t *testing.T) {
	const secret = "hunter2-planted"
	c := Credential{Username: secret + "u", Password: secret + "p", IdentityToken: secret + "i", RegistryToken: secret + "r", Expires: time.Now()}
	tok := Token{Value: secret, Expires: time.Now()}
	home := cleanEnv(t)
	write(t, home, ".docker/config.json", `{"auths":{"quay.io":{"auth":"`+basic("me", secret)+`"}}}`)
	keys := fakeGoogle(t)
	keys.token = secret
	s := testStore(t, Options{KeyFiles: []string{keys.file(t, "a@b")}, HTTPClient: keys.server.Client()})
	if got := find(t, s, "quay.io", "a", "").Password; got != secret {
		t.Fatalf("got password %q, want %q", got, secret)
	}
	if got := find(t, s, "gcr.io", "a", "a@b").Password; got != secret {
		t.Fatalf("got token %q, want %q", got, secret)
	}

	secrets := []string{secret, basic("me", secret), "PRIVATE KEY"}
	for _, v := range []any{
		c, &c, tok, &tok, []Credential{c}, map[string]Token{"x": tok},
		struct{ C Credential }{c}, struct{ T *Token }{&tok}, s,
		fmt.Errorf("using %v and %+v: %w", c, tok, errors.New("x")),
	} {
		printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", v, v, v, v, v, v, v)
		if js, err := json.Marshal(v); err == nil {
			printed += string(js)
		}
		for _, one := range secrets {
			if strings.Contains(printed, one) || strings.Contains(printed, fmt.Sprintf("%x", one)) {
				t.Errorf("%T: got %s, want no secret", v, printed)
			}
		}
	}
}

func TestStringIsTheKind(t *testing.T) {
	for _, test := range []struct {
		c    Credential
		want string
	}{
		{Credential{}, "anonymous"},
		{Credential{Expires: time.Now()}, "anonymous"},
		{Credential{Username: "u", Password: "p"}, "name and password (redacted)"},
		{Credential{Username: "u", IdentityToken: "i"}, "identity token (redacted)"},
		{Credential{RegistryToken: "r"}, "registry token (redacted)"},
	} {
		if got := test.c.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
	if got := (Token{}).String(); got != "no token" {
		t.Errorf("got %q, want %q", got, "no token")
	}
}
