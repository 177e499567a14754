package audit

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// issuer signs tokens like Google.
type issuer struct {
	key *rsa.PrivateKey
	url string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"1","n":%q,"e":%q}]}`,
			base64.RawURLEncoding.EncodeToString(key.N.Bytes()), base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()))
	}))
	t.Cleanup(server.Close)
	return &issuer{key, server.URL}
}

// token returns a valid token, except for claims.
func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{
		"iss": googleIssuer, "aud": "https://audit.example.com/", "sub": "1", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		"email": "push@project.example.com", "email_verified": true,
	}
	for k, v := range claims {
		all[k] = v
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"1","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	good, other := newIssuer(t), newIssuer(t)
	reg := registrytest.New(t)
	r := newRig(t, reg, "  []\n", func(o *Options) {
		o.OIDC = OIDC{Audience: "https://audit.example.com/", Email: "push@project.example.com", KeysURL: good.url}
	})
	body := pubsubBody("1", "INSERT", reg.Host+"/other/apple", "1.0", "")
	for _, test := range []struct {
		name, token string
		want        int
	}{
		{"good", good.token(t, nil), 200},
		{"none", "", 401},
		{"no token", "nonsense", 401},
		{"another key", other.token(t, nil), 401},
		{"another audience", good.token(t, map[string]any{"aud": "https://other.example.com/"}), 401},
		{"another issuer", good.token(t, map[string]any{"iss": "https://evil.example.com"}), 401},
		{"expired", good.token(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), 401},
		{"another account", good.token(t, map[string]any{"email": "other@project.example.com"}), 401},
		{"an account that is not verified", good.token(t, map[string]any{"email_verified": false}), 401},
	} {
		header := []string{}
		if test.token != "" {
			header = []string{"Authorization", "Bearer " + test.token}
		}
		if status, text := r.post("/", body, header...); status != test.want {
			t.Errorf("%s: %d %s, want %d", test.name, status, text, test.want)
		}
	}
	if status, text := r.post("/events/distribution", "{}"); status != http.StatusForbidden {
		t.Errorf("other systems, which show no token: got %d %s, want 403", status, text)
	}
}
