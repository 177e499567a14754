package auth

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

const (
	googleScope = "https://www.googleapis.com/auth/cloud-platform"
	googleUser  = "oauth2accesstoken" // the user name with which Google's registries accept an access token as password
	maxFile     = 4 << 20             // bytes; configuration and key files have a few KiB
)

// account is the key of a Google service account.
type account struct {
	file         string
	Type         string `json:"type"`
	ClientEmail  string `json:"client_email"`
	PrivateKey   string `json:"private_key"`
	PrivateKeyID string `json:"private_key_id"`
	TokenURI     string `json:"token_uri"`
}

// readKeyFiles returns the accounts by e-mail address.
//
// The error joins the errors of all files.
func readKeyFiles(files []string) (map[string]*account, error) {
	accounts := make(map[string]*account, len(files))
	var failed []error
	for _, file := range files {
		a, err := readKeyFile(file)
		if err != nil {
			failed = append(failed, fmt.Errorf("reading key file %s: %w", file, err))
			continue
		}
		if other := accounts[a.ClientEmail]; other != nil {
			failed = append(failed, fmt.Errorf("reading key file %s: %s holds a key for %q too", file, other.file, a.ClientEmail))
			continue
		}
		accounts[a.ClientEmail] = a
	}
	return accounts, errors.Join(failed...)
}

// readKeyFile reads one file. Errors do not quote its content.
func readKeyFile(file string) (*account, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	a := &account{file: file}
	if err := json.Unmarshal(data, a); err != nil {
		return nil, jsonError(err)
	}
	switch {
	case a.Type != "service_account":
		return nil, errors.New(`not a service account's key: "type" is not "service_account"`)
	case a.ClientEmail == "":
		return nil, errors.New(`no "client_email"`)
	case a.TokenURI == "":
		return nil, errors.New(`no "token_uri"`)
	case !isRSAKey(a.PrivateKey):
		return nil, errors.New(`"private_key" is not an RSA key in PEM`)
	}
	return a, nil
}

// isRSAKey reports whether text is an RSA key in PEM.
//
// The key may be in PKCS #8 or #1.
func isRSAKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		_, ok := key.(*rsa.PrivateKey)
		return ok
	}
	_, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	return err == nil
}

// accountToken returns an access token of the account.
//
// Google gives it for an assertion that is signed with the account's key.
func (s *Store) accountToken(ctx context.Context, a *account) (answer, error) {
	conf := &jwt.Config{
		Email:        a.ClientEmail,
		PrivateKey:   []byte(a.PrivateKey),
		PrivateKeyID: a.PrivateKeyID,
		Scopes:       []string{googleScope},
		TokenURL:     a.TokenURI,
	}
	// The library uses the client in the context, but ignores the end of the context. The client has a timeout.
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.web)
	tok, err := conf.TokenSource(ctx).Token()
	if err != nil {
		return answer{}, fmt.Errorf("asking Google for a token of %q (key file %s): %w", a.ClientEmail, a.file, sanitize(err))
	}
	return s.googleAnswer(tok)
}

// googleAnswer returns an access token as user name and password.
func (s *Store) googleAnswer(tok *oauth2.Token) (answer, error) {
	if tok.AccessToken == "" {
		return answer{}, errors.New("asking Google for a token: the answer holds none")
	}
	return answer{cred: Credential{Username: googleUser, Password: tok.AccessToken, Expires: s.ends(tok.Expiry)}}, nil
}

// ends converts an expiry to the clock of the store.
func (s *Store) ends(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return s.now().Add(time.Until(t))
}

// readFile reads a file of at most maxFile bytes.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, pathError(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, pathError(err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, nil
}

// pathError returns the cause of a file error.
//
// The caller adds the name of the file.
func pathError(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// jsonError returns the position of an error in JSON, without quoting it.
func jsonError(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("wrong JSON type at byte %d", e.Offset)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON at byte %d", e.Offset)
	}
	return errors.New("not JSON, or it repeats a key")
}
