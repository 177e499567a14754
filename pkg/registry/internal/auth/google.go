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
	metadataServer = "http://169.254.169.254" // by address: looking the name up may take long elsewhere
	metadataWithin = 2 * time.Second          // on a machine Google made; its server may be slow while a pod starts
	probeWithin    = 500 * time.Millisecond   // elsewhere, where the server is near or not there at all
)

// google returns a token of the first identity there is: the application default
// credentials, the machine's service account, the user signed in with gcloud.
// One token serves all of Google's registries.
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

// googleDefault uses the application default credentials: the file that the
// environment names, which must be good, or the one gcloud wrote, which may be stale.
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

// googleFile asks for a token of the identity that a credentials file describes.
func (s *Store) googleFile(ctx context.Context, data []byte) (answer, error) {
	var file struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return answer{}, jsonFault(err)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.web)
	creds, err := google.CredentialsFromJSONWithType(ctx, data, file.Type, googleScope)
	if err != nil {
		return answer{}, tame(err)
	}
	tok, err := creds.TokenSource.Token()
	if err != nil {
		return answer{}, tame(err)
	}
	return s.googleAnswer(tok)
}

// googleMetadata asks the metadata server of Google's machines for the token of
// the service account that this one runs as.
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
		return answer{}, errAbsent // another cloud's server, or a machine without an account
	}
	if resp.StatusCode != http.StatusOK {
		err = statusFault(resp.StatusCode, resp.Header, "")
	}
	if err != nil {
		return answer{}, impliedError{fmt.Errorf("asking the metadata server: %w", err)}
	}
	var tok struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := strictjson.Unmarshal(body, &tok); err != nil {
		return answer{}, impliedError{fmt.Errorf("asking the metadata server: %w", jsonFault(err))}
	}
	return s.googleAnswer(&oauth2.Token{
		AccessToken: tok.AccessToken,
		Expiry:      time.Now().Add(time.Duration(tok.ExpiresIn) * time.Second),
	})
}

// gcloud asks the gcloud command for the token of the user who signed in with it.
func (s *Store) gcloud(ctx context.Context) (answer, error) {
	// Starting gcloud takes a second; without this file nobody has signed in.
	if db := under(gcloudDir(), "credentials.db"); db == "" || !exists(db) {
		return answer{}, errAbsent
	}
	out, err := run(ctx, "", "gcloud", "config", "config-helper", "--force-auth-refresh", "--format=json(credential)")
	if err != nil {
		return answer{}, impliedError{fmt.Errorf("running gcloud config config-helper: %w", programFault(err, out))}
	}
	var got struct {
		Credential struct {
			AccessToken string    `json:"access_token"`
			TokenExpiry time.Time `json:"token_expiry"`
		} `json:"credential"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return answer{}, impliedError{fmt.Errorf("running gcloud config config-helper: %w", jsonFault(err))}
	}
	return s.googleAnswer(&oauth2.Token{AccessToken: got.Credential.AccessToken, Expiry: got.Credential.TokenExpiry})
}

// gcloudDir returns the folder in which gcloud keeps its state, or "".
func gcloudDir() string {
	if dir := os.Getenv("CLOUDSDK_CONFIG"); dir != "" {
		return dir
	}
	if runtime.GOOS == "windows" {
		return under(os.Getenv("APPDATA"), "gcloud")
	}
	return under(homeDir(), filepath.Join(".config", "gcloud"))
}
