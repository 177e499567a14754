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
	googleUser  = "oauth2accesstoken" // the name under which Google's registries take an access token as password
	maxFile     = 4 << 20             // bytes; configurations and key files are a few KiB
)

// account is a Google service account's key. It is held by pointer only.
type account struct {
	file         string
	Type         string `json:"type"`
	ClientEmail  string `json:"client_email"`
	PrivateKey   string `json:"private_key"`
	PrivateKeyID string `json:"private_key_id"`
	TokenURI     string `json:"token_uri"`
}

// readKeyFiles returns the accounts of all files, by address, or all that is wrong with them.
func readKeyFiles(files []string) (map[string]*account, error) {
	accounts := make(map[string]*account, len(files))
	var faults []error
	for _, file := range files {
		a, err := readKeyFile(file)
		if err != nil {
			faults = append(faults, fmt.Errorf("reading key file %s: %w", file, err))
			continue
		}
		if other := accounts[a.ClientEmail]; other != nil {
			faults = append(faults, fmt.Errorf("reading key file %s: %s holds a key for %q too", file, other.file, a.ClientEmail))
			continue
		}
		accounts[a.ClientEmail] = a
	}
	return accounts, errors.Join(faults...)
}

// readKeyFile reads one file. No error quotes what is in it.
func readKeyFile(file string) (*account, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	a := &account{file: file}
	if err := json.Unmarshal(data, a); err != nil {
		return nil, jsonFault(err)
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

// isRSAKey reports whether text is a PEM block of PKCS #8 or #1 with an RSA key.
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

// accountToken exchanges an assertion signed with the account's key for an access token.
func (s *Store) accountToken(ctx context.Context, a *account) (answer, error) {
	conf := &jwt.Config{
		Email:        a.ClientEmail,
		PrivateKey:   []byte(a.PrivateKey),
		PrivateKeyID: a.PrivateKeyID,
		Scopes:       []string{googleScope},
		TokenURL:     a.TokenURI,
	}
	// The library takes its client from the context and does not end with it; the client's time limit ends it.
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.web)
	tok, err := conf.TokenSource(ctx).Token()
	if err != nil {
		return answer{}, fmt.Errorf("asking Google for a token of %q (key file %s): %w", a.ClientEmail, a.file, tame(err))
	}
	return s.googleAnswer(tok)
}

// googleAnswer returns an access token as registries take it.
func (s *Store) googleAnswer(tok *oauth2.Token) (answer, error) {
	if tok.AccessToken == "" {
		return answer{}, errors.New("asking Google for a token: the answer holds none")
	}
	return answer{cred: Credential{Username: googleUser, Password: tok.AccessToken, Expires: s.ends(tok.Expiry)}}, nil
}

// ends moves a point in the system clock's time to this store's clock.
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
		return nil, pathFault(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, pathFault(err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, nil
}

// pathFault returns why a file could not be read, without naming it again.
func pathFault(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// jsonFault says where JSON is wrong and quotes nothing of it.
func jsonFault(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("wrong JSON type at byte %d", e.Offset)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON at byte %d", e.Offset)
	}
	return errors.New("not JSON, or it repeats a key")
}
