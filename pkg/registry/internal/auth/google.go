package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

const (
	metadataServer = "http://169.254.169.254" // an address, because elsewhere a DNS look-up of the name may be slow
	metadataWithin = 2 * time.Second          // on Google's machines, where the server may be slow while a pod starts
	probeWithin    = 500 * time.Millisecond   // on other machines, which usually have no such server
)

// google returns an access token for all of Google's registries.
//
// It uses the first of these identities that exists: the application default
// credentials, the machine's service account, the user who signed in with gcloud.
func (s *Store) google(ctx context.Context, _ string) (answer, error) {
	return s.cache.get(ctx, sharedPrefix+"google", func(ctx context.Context) (answer, error) {
		var failed []error
		for _, ask := range []func(context.Context) (answer, error){s.googleDefault, s.googleMetadata, s.gcloud} {
			a, err := ask(ctx)
			_, implied := errors.AsType[impliedError](err)
			switch {
			case errors.Is(err, errAbsent):
			case implied:
				failed = append(failed, err)
			default:
				return a, err
			}
		}
		if len(failed) > 0 {
			return answer{}, impliedError{errors.Join(failed...)}
		}
		return answer{}, errAbsent
	})
}

// googleDefault uses the application default credentials.
//
// A file that the environment names must work. The file that gcloud wrote may be stale.
func (s *Store) googleDefault(ctx context.Context) (answer, error) {
	file, named := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"), true
	if file == "" {
		file, named = under(gcloudDir(), "application_default_credentials.json"), false
	}
	if file == "" {
		return answer{}, errAbsent
	}
	data, err := readFile(file)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return answer{}, errAbsent
	}
	var a answer
	if err == nil {
		a, err = s.googleFile(ctx, data)
	}
	if err == nil {
		return a, nil
	}
	err = fmt.Errorf("using the default credentials in %s: %w", file, err)
	if !named {
		err = impliedError{err}
	}
	return answer{}, err
}

// googleFile returns a token for a credentials file's identity.
func (s *Store) googleFile(ctx context.Context, data []byte) (answer, error) {
	var file struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return answer{}, jsonError(err)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.web)
	creds, err := google.CredentialsFromJSONWithType(ctx, data, file.Type, googleScope)
	if err != nil {
		return answer{}, sanitize(err)
	}
	tok, err := creds.TokenSource.Token()
	if err != nil {
		return answer{}, sanitize(err)
	}
	return s.googleAnswer(tok)
}

// googleMetadata returns a token of the machine's service account.
//
// The metadata server of Google's machines has it.
func (s *Store) googleMetadata(ctx context.Context) (answer, error) {
	base, within := metadataServer, probeWithin
	made := strings.HasPrefix(s.madeBy("product_name"), "Google")
	if host := os.Getenv("GCE_METADATA_HOST"); host != "" {
		base, made = "http://"+host, true
	}
	if made {
		within = metadataWithin
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	u := base + "/computeMetadata/v1/instance/service-accounts/default/token?scopes=" + url.QueryEscape(googleScope)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return answer{}, impliedError{withoutURL(err)}
	}
	req.Header.Set("Metadata-Flavor", "Google")
	resp, err := s.link.Do(req)
	if err != nil {
		if !made {
			return answer{}, errAbsent
		}
		return answer{}, impliedError{fmt.Errorf("asking the metadata server: %w", withoutURL(err))}
	}
	body, err := readBody(resp)
	if resp.Header.Get("Metadata-Flavor") != "Google" || resp.StatusCode == http.StatusNotFound {
		return answer{}, errAbsent // the server of another cloud, or a machine without an account
	}
	if resp.StatusCode != http.StatusOK {
		err = statusError(resp.StatusCode, "")
	}
	if err != nil {
		return answer{}, impliedError{fmt.Errorf("asking the metadata server: %w", err)}
	}
	var tok struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := strictjson.Unmarshal(body, &tok); err != nil {
		return answer{}, impliedError{fmt.Errorf("asking the metadata server: %w", jsonError(err))}
	}
	return s.googleAnswer(&oauth2.Token{
		AccessToken: tok.AccessToken,
		Expiry:      time.Now().Add(time.Duration(tok.ExpiresIn) * time.Second),
	})
}

// gcloud returns a token of the user of gcloud.
func (s *Store) gcloud(ctx context.Context) (answer, error) {
	// gcloud takes a second to start. Without this file nobody has signed in.
	if db := under(gcloudDir(), "credentials.db"); db == "" || !exists(db) {
		return answer{}, errAbsent
	}
	out, err := run(ctx, "", "gcloud", "config", "config-helper", "--force-auth-refresh", "--format=json(credential)")
	if err != nil {
		return answer{}, impliedError{fmt.Errorf("running gcloud config config-helper: %w", programError(err, out))}
	}
	var got struct {
		Credential struct {
			AccessToken string    `json:"access_token"`
			TokenExpiry time.Time `json:"token_expiry"`
		} `json:"credential"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return answer{}, impliedError{fmt.Errorf("running gcloud config config-helper: %w", jsonError(err))}
	}
	return s.googleAnswer(&oauth2.Token{AccessToken: got.Credential.AccessToken, Expiry: got.Credential.TokenExpiry})
}

// gcloudDir returns the configuration directory of gcloud, or "".
func gcloudDir() string {
	if dir := os.Getenv("CLOUDSDK_CONFIG"); dir != "" {
		return dir
	}
	if runtime.GOOS == "windows" {
		return under(os.Getenv("APPDATA"), "gcloud")
	}
	return under(homeDir(), filepath.Join(".config", "gcloud"))
}
