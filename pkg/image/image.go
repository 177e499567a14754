// Package image parses the names in manifest files: registries, repositories,
// tags and digests.
//
// Names are values of go-containerregistry: name.Repository and v1.Hash. The package
// adds what go-containerregistry does not have: a registry with a path prefix, a few
// media types, and stricter parsers. Package name uses Docker Hub if the host is
// missing; here that is an error.
//
// Different spellings of a repository parse to the same comparable value. Examples are
// docker.io and index.docker.io, HOST:443 and HOST, busybox and library/busybox on
// Docker Hub, and a trailing slash. The package never sends a request.
package image

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// DockerHub is the canonical host of Docker Hub.
const DockerHub = name.DefaultRegistry

// maxName is the maximum length of a host and path together, in bytes. Many clients
// and registries have this limit.
const maxName = 255

// Component grammar of a repository path: OCI distribution-spec v1.1, "Pulling manifests".
var (
	component  = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
	pathRE     = regexp.MustCompile(`^` + component + `(?:/` + component + `)*$`)
	hostnameRE = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$`)
)

// ParseDigest parses "sha256:" and 64 lower-case hexadecimal digits.
func ParseDigest(s string) (v1.Hash, error) {
	if !isDigest(s) {
		return v1.Hash{}, fmt.Errorf("bad digest %q: want sha256: and 64 lower-case hexadecimal digits", clip(s))
	}
	return Hash(s), nil
}

// Hash splits a digest into algorithm and digits, without validation.
//
// Use it for digests that were validated before, and for error messages about
// invalid ones. A string without a colon becomes the Hex field.
func Hash(s string) v1.Hash {
	algorithm, hex, ok := strings.Cut(s, ":")
	if !ok {
		return v1.Hash{Hex: s}
	}
	return v1.Hash{Algorithm: algorithm, Hex: hex}
}

// DigestString is the inverse of Hash. It returns "" for the zero value, for which
// v1.Hash.String returns ":".
func DigestString(h v1.Hash) string {
	if h.Algorithm == "" {
		return h.Hex
	}
	return h.Algorithm + ":" + h.Hex
}

// CompareDigests compares the string forms of two digests.
func CompareDigests(a, b v1.Hash) int {
	if a.Algorithm != b.Algorithm {
		return strings.Compare(a.String(), b.String())
	}
	return strings.Compare(a.Hex, b.Hex)
}

// isDigest matches ^sha256:[0-9a-f]{64}$.
//
// It does not use a regular expression, because a large registry lists a million
// digests, and matching them would take a tenth of the run.
func isDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(hex) != 64 {
		return false
	}
	for i := range len(hex) {
		if c := hex[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// CheckTag returns an error unless s is a valid tag.
//
// The grammar is in the OCI distribution-spec v1.1, "Pulling manifests".
func CheckTag(s string) error {
	if !isTag(s) {
		return fmt.Errorf("bad tag %q: want up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'", clip(s))
	}
	return nil
}

// isTag matches ^\w[\w.-]{0,127}$. Like isDigest, it uses no regular expression.
func isTag(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}

// Registry is a host with an optional path prefix, as in manifest files.
//
// Two values are equal if they name the same registry, however it was spelled.
type Registry struct {
	name.Registry
	Prefix string // without slashes at its ends; may be empty
}

// NewRegistry returns the registry at a host, with a path prefix or "".
func NewRegistry(host, prefix string) Registry {
	r, err := name.NewRegistry(host, name.WeakValidation)
	if err != nil { // an invalid host only appears in messages
		r = name.Registry{}
	}
	return Registry{r, prefix}
}

// NewRepository returns the repository at a path of a host.
func NewRepository(host, path string) name.Repository { return NewRegistry(host, "").Repo(path) }

// ParseRegistry parses "host[:port][/prefix]".
//
// The host must be localhost or contain a '.' or a ':'. So a forgotten host is an
// error, and does not select Docker Hub.
func ParseRegistry(s string) (Registry, error) {
	if s == "" {
		return Registry{}, errors.New("empty registry name")
	}
	if scheme, _, ok := strings.Cut(s, "://"); ok {
		return Registry{}, fmt.Errorf("bad registry name %q: write it without %s://", clip(s), clip(scheme))
	}
	if len(s) > maxName {
		return Registry{}, fmt.Errorf("bad registry name %q: longer than %d bytes", clip(s), maxName)
	}
	host, prefix, _ := strings.Cut(strings.TrimSuffix(s, "/"), "/")
	host, err := parseHost(host)
	if err != nil {
		return Registry{}, fmt.Errorf("bad registry name %q: %w", clip(s), err)
	}
	if prefix != "" && !pathRE.MatchString(prefix) {
		return Registry{}, fmt.Errorf("bad registry name %q: bad path %q", clip(s), clip(prefix))
	}
	return NewRegistry(host, prefix), nil
}

// IsHost reports whether the first element of a name is a host: localhost, or a text
// with '.' or ':'.
func IsHost(s string) bool { return s == "localhost" || strings.ContainsAny(s, ".:") }

func parseHost(s string) (string, error) {
	s = strings.ToLower(s)
	if !IsHost(s) {
		return "", fmt.Errorf("%q is not a registry host: it has neither '.' nor ':'", clip(s))
	}
	host, port := s, ""
	if rest, ok := strings.CutPrefix(s, "["); ok { // an IPv6 literal
		addr, after, closed := strings.Cut(rest, "]")
		if !closed || net.ParseIP(addr) == nil || !strings.Contains(addr, ":") {
			return "", fmt.Errorf("bad host %q", clip(s))
		}
		host, port = "", strings.TrimPrefix(after, ":")
		if after != "" && (after == ":" || !strings.HasPrefix(after, ":")) {
			return "", fmt.Errorf("bad host %q", clip(s))
		}
	} else if before, after, ok := strings.Cut(s, ":"); ok {
		host, port = before, after
		if port == "" {
			return "", fmt.Errorf("bad host %q: empty port", clip(s))
		}
	}
	if host != "" && !hostnameRE.MatchString(host) || host == "" && s[0] != '[' {
		return "", fmt.Errorf("bad host %q", clip(s))
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
			return "", fmt.Errorf("bad host %q: bad port", clip(s))
		}
	}
	return CanonicalHost(s), nil
}

// CanonicalHost returns the canonical spelling of a host.
//
// That is lower case, without port 443, and one name for Docker Hub. A loopback host
// keeps its port, because without a port such a host may be used without TLS on port 80.
func CanonicalHost(host string) string {
	host = strings.ToLower(host)
	if name, ok := strings.CutSuffix(host, ":443"); ok && strings.ContainsAny(name, ".]") && !Loopback(name) {
		host = name
	}
	switch host {
	case "docker.io", "registry-1.docker.io":
		return DockerHub
	}
	return host
}

// String returns the registry as host[:port][/prefix].
func (r Registry) String() string {
	if r.Prefix == "" {
		return r.Name()
	}
	return r.Name() + "/" + r.Prefix
}

// Repository returns the repository of a name below the prefix.
func (r Registry) Repository(below string) (name.Repository, error) {
	if !pathRE.MatchString(below) {
		return name.Repository{}, fmt.Errorf("bad repository name %q: want lower-case letters and digits, joined by '.', '_', '__', '-' or '/'", clip(below))
	}
	path := below
	if r.Prefix != "" {
		path = r.Prefix + "/" + below
	}
	if r.RegistryStr() == DockerHub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	if len(r.RegistryStr())+1+len(path) > maxName {
		return name.Repository{}, fmt.Errorf("bad repository name %q: %s and it are longer than %d bytes", clip(below), r, maxName)
	}
	return r.Repo(path), nil
}

// Relative returns the name of repo below r, and whether repo is below r.
//
// Whole path elements are compared: "R/sub" is below R, "R-other" is not. The
// repository R itself has the name of its last path element.
func (r Registry) Relative(repo name.Repository) (string, bool) {
	if repo.RegistryStr() != r.RegistryStr() {
		return "", false
	}
	path := repo.RepositoryStr()
	if r.Prefix == "" {
		return path, true
	}
	if path == r.Prefix {
		return path[strings.LastIndexByte(path, '/')+1:], true
	}
	return strings.CutPrefix(path, r.Prefix+"/")
}

// ParseRepository parses a fully qualified repository name, "host[:port]/path".
func ParseRepository(s string) (name.Repository, error) {
	host, path, ok := strings.Cut(s, "/")
	if !ok {
		return name.Repository{}, fmt.Errorf("bad repository %q: want host/path", clip(s))
	}
	r, err := ParseRegistry(host)
	if err != nil {
		return name.Repository{}, err
	}
	return r.Repository(path)
}

// ParseDockerRepository is ParseRepository for names as Docker writes them: without a
// host, they are on Docker Hub.
func ParseDockerRepository(s string) (name.Repository, error) {
	if host, _, nested := strings.Cut(s, "/"); !nested || !IsHost(host) {
		s = DockerHub + "/" + s
	}
	return ParseRepository(s)
}

// SplitReference splits REPOSITORY[:TAG][@DIGEST]. The repository is not checked.
func SplitReference(s string) (repository, tag string, digest v1.Hash, err error) {
	repository, pin, pinned := strings.Cut(s, "@")
	if pinned {
		if digest, err = ParseDigest(pin); err != nil {
			return "", "", v1.Hash{}, err
		}
	}
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository, tag = repository[:i], repository[i+1:]
		if err := CheckTag(tag); err != nil {
			return "", "", v1.Hash{}, err
		}
	}
	return repository, tag, digest, nil
}

// JoinReference returns REPOSITORY[:TAG][@DIGEST]. An empty tag or digest is left out.
func JoinReference(repository, tag string, digest v1.Hash) string {
	if tag != "" {
		repository += ":" + tag
	}
	if digest != (v1.Hash{}) {
		repository += "@" + digest.String()
	}
	return repository
}

// CompareRepositories orders repositories by host, then by path.
func CompareRepositories(a, b name.Repository) int {
	if c := strings.Compare(a.RegistryStr(), b.RegistryStr()); c != 0 {
		return c
	}
	return strings.Compare(a.RepositoryStr(), b.RepositoryStr())
}

// Google reports whether a host is Container Registry or Artifact Registry.
//
// Both accept the same credentials and have Google's extension of the tag list.
func Google(host string) bool {
	return host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, ".pkg.dev")
}

// Loopback reports whether a host is a loopback address, where TLS is not required.
//
// These are localhost, *.localhost, 127.0.0.0/8 and ::1, with any port.
func Loopback(host string) bool {
	bare := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		bare = h
	}
	bare = strings.Trim(bare, "[]")
	if bare == "localhost" || strings.HasSuffix(bare, ".localhost") {
		return true
	}
	ip := net.ParseIP(bare)
	return ip != nil && ip.IsLoopback()
}

// Clip shortens text of others for a message to at most the given number of bytes.
//
// An ellipsis replaces the rest. Characters are not cut.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// FirstNames lists names in a message: up to most of them, and the number of the others.
func FirstNames(names []string, most int) string {
	text := strings.Join(names[:min(most, len(names))], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// JoinNames lists two names or more in a message, as in "a, b and c".
func JoinNames(names []string, conjunction string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " " + conjunction + " " + names[last]
}

// clip shortens a name for an error message. It removes text that may be a password.
func clip(s string) string {
	const most = 140
	if user, host, ok := strings.Cut(s, "@"); ok && strings.Contains(user, ":") && !strings.Contains(user, "/") {
		s = "…@" + host
	}
	return Clip(s, most)
}
