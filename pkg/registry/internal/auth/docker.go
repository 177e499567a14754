package auth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// hubServer is the name that helpers use for Docker Hub.
const hubServer = "https://index.docker.io/v1/"

// dockerConfig is the kind of credentials in configuration files of Docker or Podman.
const dockerConfig = "docker config"

// configFile is a file in the format of Docker's config.json.
type configFile struct {
	name    string
	err     error                   // the file exists but cannot be used
	helper  string                  // "credsStore": for entries without a helper of their own
	entries map[string]*configEntry // by host or host/path
}

// configEntry is the configuration of a host, or of a path on it.
type configEntry struct {
	helper string
	server string // the name that a helper is asked for
	cred   Credential
	err    error // the entry in "auths" cannot be used
}

// authValue is one value of "auths".
type authValue struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// loadConfigs reads the configuration files of Docker and Podman.
//
// A host or path uses the first file that has a credential for it. places are the names
// of the files, also of those that do not exist.
func loadConfigs(warn func(key, text string)) (files []*configFile, places []string) {
	home := homeDir()
	docker := cmp.Or(os.Getenv("DOCKER_CONFIG"), under(home, ".docker"))
	xdg := cmp.Or(os.Getenv("XDG_CONFIG_HOME"), under(home, ".config"))
	if text := os.Getenv("DOCKER_AUTH_CONFIG"); text != "" {
		files = append(files, parseConfig("$DOCKER_AUTH_CONFIG", []byte(text)))
		places = append(places, "$DOCKER_AUTH_CONFIG")
	}
	named := os.Getenv("REGISTRY_AUTH_FILE")
	for _, name := range []string{
		under(docker, "config.json"),
		named,
		under(os.Getenv("XDG_RUNTIME_DIR"), "containers/auth.json"),
		under(xdg, "containers/auth.json"),
	} {
		if name == "" || slices.Contains(places, short(name)) {
			continue
		}
		places = append(places, short(name))
		data, err := readFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if name == named {
				warn(name, fmt.Sprintf("REGISTRY_AUTH_FILE names %s, which does not exist", name))
			}
		case err != nil:
			files = append(files, &configFile{name: name, err: err})
		default:
			files = append(files, parseConfig(name, data))
		}
	}
	return files, places
}

// short returns the name of a file with ~ in place of the home directory.
func short(name string) string {
	if rest, ok := strings.CutPrefix(name, homeDir()+string(filepath.Separator)); ok && homeDir() != "" {
		return filepath.Join("~", rest)
	}
	return name
}

// Missing describes where a host's credential was looked for.
func (s *Store) Missing(host string) string {
	text := fmt.Sprintf("no credentials for %s in %s", host, strings.Join(s.places, ", "))
	if len(s.places) == 0 {
		text = "no credentials for " + host
	}
	for name, serves := range map[string]func(string) bool{"Google": image.Google, "AWS": isECR, "Azure": isACR, "GitHub": isGHCR} {
		if serves(host) {
			return text + ", and no " + name + " identity"
		}
	}
	return text + "; try docker login " + host
}

// under joins a directory and a name. It returns "" if dir is "".
func under(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// parseConfig reads Docker's format.
//
// A broken entry is an error for its own host or path only.
func parseConfig(name string, data []byte) *configFile {
	f := &configFile{name: name, entries: map[string]*configEntry{}}
	if len(bytes.TrimSpace(data)) == 0 {
		return f
	}
	var c struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredHelpers map[string]string          `json:"credHelpers"`
		CredsStore  string                     `json:"credsStore"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		f.err = jsonError(err)
		return f
	}
	f.helper = c.CredsStore
	for _, key := range bestFirst(c.Auths) {
		cred, err := parseAuth(c.Auths[key])
		if e := f.entry(key); e.cred.Anonymous() && e.err == nil {
			e.cred, e.err = cred, err
		}
	}
	for _, key := range bestFirst(c.CredHelpers) {
		if e := f.entry(key); e.helper == "" {
			e.helper, e.server = c.CredHelpers[key], serverName(key)
		}
	}
	return f
}

// entry returns the entry for a key of the file.
//
// It adds one if there is none.
func (f *configFile) entry(key string) *configEntry {
	name := entryName(key)
	e := f.entries[name]
	if e == nil {
		e = &configEntry{server: serverName(key)}
		f.entries[name] = e
	}
	return e
}

// serverName returns the name that a helper is asked for.
//
// It is the key as written, because "docker login" stored it under that. Docker Hub has
// a name of its own.
func serverName(key string) string {
	if entryName(key) == image.DockerHub {
		return hubServer
	}
	return key
}

// bestFirst sorts keys: the best spelling comes first.
//
// Plain names come before URLs. Docker Hub's historical URL comes first, because clients
// still write that.
func bestFirst[V any](m map[string]V) []string {
	rank := func(k string) int {
		switch {
		case k == hubServer, k == entryName(k) && k != image.DockerHub:
			return 0
		case strings.Contains(k, "index.docker.io"):
			return 1
		case k == image.DockerHub:
			return 2
		}
		return 3
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(rank(a)-rank(b), strings.Compare(a, b))
	})
}

// entryName returns the host or host/path that a key means.
//
// Keys may be URLs with the version of the registry API, as older clients wrote them.
func entryName(key string) string {
	_, rest, isURL := strings.Cut(key, "://")
	if !isURL {
		rest = key
	}
	host, path, _ := strings.Cut(rest, "/")
	host = image.CanonicalHost(strings.TrimSpace(host))
	versioned := isURL || strings.HasSuffix(path, "/") || host == image.DockerHub
	path = strings.Trim(path, "/")
	if first, more, _ := strings.Cut(path, "/"); versioned && (first == "v1" || first == "v2") {
		path = more
	}
	if path == "" {
		return host
	}
	return host + "/" + path
}

// parseAuth reads one value of "auths". null and {} are anonymous.
func parseAuth(data json.RawMessage) (Credential, error) {
	var a authValue
	if err := json.Unmarshal(data, &a); err != nil {
		return Credential{}, jsonError(err)
	}
	c := Credential{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Auth == "" {
		return c, nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(a.Auth, "= \r\n"))
	if err != nil {
		return Credential{}, errors.New(`"auth" is not base64`)
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return Credential{}, errors.New(`"auth" is not name:password in base64`)
	}
	c.Username, c.Password = user, strings.Trim(password, "\x00")
	return c, nil
}

// configuredPath returns the longest path with entry, or the host.
//
// The path is that of the repository or one of its parents.
func (s *Store) configuredPath(host, path string) string {
	for name := host + "/" + strings.Trim(path, "/"); len(name) > len(host); name = name[:strings.LastIndexByte(name, '/')] {
		for _, f := range s.files {
			if e := f.entries[name]; e != nil && (e.helper != "" || f.helper != "" || e.err != nil || !e.cred.Anonymous()) {
				return name
			}
		}
	}
	return host
}

// configured returns the credential for name in the files.
//
// name is a host or host/path. The first file with a credential is used. Without one the
// answer is zero.
func (s *Store) configured(ctx context.Context, name string) (answer, error) {
	for _, f := range s.files {
		if f.err != nil {
			return answer{}, fmt.Errorf("reading %s: %w", f.name, f.err)
		}
		e := f.entries[name]
		if e == nil {
			e = &configEntry{server: serverName(name)}
		}
		if helper := cmp.Or(e.helper, f.helper); helper != "" {
			c, err := s.askHelper(ctx, helper, e.server)
			switch {
			case err != nil && e.cred.Anonymous():
				return answer{}, fmt.Errorf("asking credential helper %q, which %s names: %w", helper, f.name, err)
			case err != nil:
				s.warn(f.name+" "+name, fmt.Sprintf("passing over credential helper %q for %s, as %s holds a password too: %v",
					helper, name, f.name, err))
			case !c.Anonymous():
				return answer{cred: c.from("credential helper", helper+" of "+short(f.name)), keep: helperKept}, nil
			}
		}
		if e.err != nil {
			return answer{}, fmt.Errorf("reading the entry for %s in %s: %w", name, f.name, e.err)
		}
		if !e.cred.Anonymous() {
			return answer{cred: e.cred.from(dockerConfig, short(f.name))}, nil
		}
	}
	return answer{}, nil
}
