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
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// hubServer is the name under which helpers keep Docker Hub's credentials.
const hubServer = "https://index.docker.io/v1/"

// configFile is one file in Docker's format.
type configFile struct {
	name   string
	err    error  // the file is there and cannot be used
	helper string // asked for whatever has no helper of its own
	places map[string]*place
}

// place is what one file says of a host, or of a path on it.
type place struct {
	helper string
	server string // what a helper is asked for
	cred   Credential
	err    error // what is written for the place cannot be used
}

// authEntry is one value of "auths".
type authEntry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// loadConfigs reads the files that the environment names or that lie where
// Docker and Podman keep them. The first that knows a place answers for it.
func loadConfigs(warn func(key, text string)) []*configFile {
	home := homeDir()
	docker := os.Getenv("DOCKER_CONFIG")
	if docker == "" {
		docker = under(home, ".docker")
	}
	xdg := os.Getenv("XDG_CONFIG_HOME")
	if xdg == "" {
		xdg = under(home, ".config")
	}
	var files []*configFile
	if text := os.Getenv("DOCKER_AUTH_CONFIG"); text != "" {
		files = append(files, parseConfig("$DOCKER_AUTH_CONFIG", []byte(text)))
	}
	named := os.Getenv("REGISTRY_AUTH_FILE")
	for _, name := range []string{
		under(docker, "config.json"),
		named,
		under(os.Getenv("XDG_RUNTIME_DIR"), "containers/auth.json"),
		under(xdg, "containers/auth.json"),
	} {
		if name == "" || slices.ContainsFunc(files, func(f *configFile) bool { return f.name == name }) {
			continue
		}
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
	return files
}

// under joins a name to a folder, or returns "" if the folder is not known.
func under(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// parseConfig reads Docker's format. A faulty entry is an error for its place only.
func parseConfig(name string, data []byte) *configFile {
	f := &configFile{name: name, places: map[string]*place{}}
	if len(bytes.TrimSpace(data)) == 0 {
		return f
	}
	var c struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredHelpers map[string]string          `json:"credHelpers"`
		CredsStore  string                     `json:"credsStore"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		f.err = jsonFault(err)
		return f
	}
	f.helper = c.CredsStore
	for _, key := range bestFirst(c.Auths) {
		cred, err := parseAuth(c.Auths[key])
		if p := f.place(key); p.cred.Anonymous() && p.err == nil {
			p.cred, p.err = cred, err
		}
	}
	for _, key := range bestFirst(c.CredHelpers) {
		if p := f.place(key); p.helper == "" {
			p.helper, p.server = c.CredHelpers[key], serverName(key)
		}
	}
	return f
}

// place returns the entry that a key as written stands for.
func (f *configFile) place(key string) *place {
	name := placeName(key)
	p := f.places[name]
	if p == nil {
		p = &place{server: serverName(key)}
		f.places[name] = p
	}
	return p
}

// serverName returns what a helper is asked for: the key as written, which is
// what a login stored, but for Docker Hub.
func serverName(key string) string {
	if placeName(key) == image.DockerHub {
		return hubServer
	}
	return key
}

// bestFirst returns the keys in the order in which spellings of one place count:
// as it is named today before URLs, but Docker Hub's historical URL first.
func bestFirst[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	rank := func(k string) int {
		switch {
		case k == hubServer, k == placeName(k) && k != image.DockerHub:
			return 0
		case strings.Contains(k, "index.docker.io"):
			return 1
		case k == image.DockerHub:
			return 2
		}
		return 3
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return keys
}

// placeName returns the host, or host and path, that a configuration's key stands for.
// Keys may be URLs with the version of the registry's API, as older clients wrote them.
func placeName(key string) string {
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

// parseAuth reads one value of "auths"; null and {} are nobody.
func parseAuth(data json.RawMessage) (Credential, error) {
	var a authEntry
	if err := json.Unmarshal(data, &a); err != nil {
		return Credential{}, jsonFault(err)
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

// configuredPlace returns the longest path with an entry of its own that holds host/path, or else the host.
func (s *Store) configuredPlace(host, path string) string {
	for name := host + "/" + strings.Trim(path, "/"); len(name) > len(host); name = name[:strings.LastIndexByte(name, '/')] {
		for _, f := range s.files {
			if p := f.places[name]; p != nil && (p.helper != "" || f.helper != "" || p.err != nil || !p.cred.Anonymous()) {
				return name
			}
		}
	}
	return host
}

// configured returns what the first file that knows the place says, or nothing.
func (s *Store) configured(ctx context.Context, name string) (answer, error) {
	for _, f := range s.files {
		if f.err != nil {
			return answer{}, fmt.Errorf("reading %s: %w", f.name, f.err)
		}
		p := f.places[name]
		if p == nil {
			p = &place{server: serverName(name)}
		}
		if helper := cmp.Or(p.helper, f.helper); helper != "" {
			c, err := s.askHelper(ctx, helper, p.server)
			switch {
			case err != nil && p.cred.Anonymous():
				return answer{}, fmt.Errorf("asking credential helper %q, which %s names: %w", helper, f.name, err)
			case err != nil:
				s.warn(f.name+" "+name, fmt.Sprintf("passing over credential helper %q for %s, as %s holds a password too: %v",
					helper, name, f.name, err))
			case !c.Anonymous():
				return answer{cred: c, keep: helperKept}, nil
			}
		}
		if p.err != nil {
			return answer{}, fmt.Errorf("reading the entry for %s in %s: %w", name, f.name, p.err)
		}
		if !p.cred.Anonymous() {
			return answer{cred: p.cred}, nil
		}
	}
	return answer{}, nil
}
