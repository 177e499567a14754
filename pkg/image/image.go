// Package image holds the names of the field: registries, repositories, tags
// and digests, as they are written in manifests and told apart on the wire.
//
// It parses and prints names and never looks anything up. Two spellings of one
// place (docker.io and index.docker.io, HOST:443 and HOST, busybox and
// library/busybox on Docker Hub, a trailing slash) parse to one comparable value, so that names can be
// map keys everywhere else.
package image

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// DockerHub is the one name cip uses for Docker Hub's registry, whatever alias was written.
const DockerHub = "docker.io"

// maxName is the length many clients and registries allow a host and path together, in bytes.
const maxName = 255

// Component grammar of a repository path: OCI distribution-spec v1.1, "Pulling manifests".
var (
	component  = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
	pathRE     = regexp.MustCompile(`^` + component + `(?:/` + component + `)*$`)
	hostnameRE = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$`)
)

// Digest is the identity of a manifest: "sha256:" and 64 lower-case hex digits.
type Digest string

// ParseDigest returns s as a Digest, or an error that says what a digest looks like.
func ParseDigest(s string) (Digest, error) {
	if !isDigest(s) {
		return "", fmt.Errorf("bad digest %q: want sha256: and 64 lower-case hexadecimal digits", clip(s))
	}
	return Digest(s), nil
}

// isDigest matches ^sha256:[0-9a-f]{64}$. A large registry lists a million of them:
// a regular expression would take a tenth of the whole run.
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

// Hex returns the digits after the algorithm.
func (d Digest) Hex() string {
	_, hex, _ := strings.Cut(string(d), ":")
	return hex
}

// CheckTag returns an error unless s can be a tag: OCI distribution-spec v1.1, "Pulling manifests".
func CheckTag(s string) error {
	if !isTag(s) {
		return fmt.Errorf("bad tag %q: want up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'", clip(s))
	}
	return nil
}

// isTag matches ^\w[\w.-]{0,127}$, by hand for the reason that isDigest has.
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

// Registry is a place that holds repositories: a host and an optional path prefix.
// It is comparable; parsing has removed every difference in spelling.
type Registry struct {
	Host   string // host[:port], lower case, Docker Hub as "docker.io"
	Prefix string // path prefix without slashes at its ends; may be empty
}

// ParseRegistry reads "host[:port][/prefix]". The host must hold a '.' or a ':' or be
// localhost, so that a forgotten host is an error and not Docker Hub.
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
	return Registry{Host: host, Prefix: prefix}, nil
}

func parseHost(s string) (string, error) {
	s = strings.ToLower(s)
	if s != "localhost" && !strings.ContainsAny(s, ".:") {
		return "", fmt.Errorf("%q is no registry host: it holds neither '.' nor ':'", clip(s))
	}
	name, port := s, ""
	if rest, ok := strings.CutPrefix(s, "["); ok { // an IPv6 literal
		addr, after, closed := strings.Cut(rest, "]")
		if !closed || net.ParseIP(addr) == nil || !strings.Contains(addr, ":") {
			return "", fmt.Errorf("bad host %q", clip(s))
		}
		name, port = "", strings.TrimPrefix(after, ":")
		if after != "" && (after == ":" || !strings.HasPrefix(after, ":")) {
			return "", fmt.Errorf("bad host %q", clip(s))
		}
	} else if before, after, ok := strings.Cut(s, ":"); ok {
		name, port = before, after
		if port == "" {
			return "", fmt.Errorf("bad host %q: empty port", clip(s))
		}
	}
	if name != "" && !hostnameRE.MatchString(name) || name == "" && s[0] != '[' {
		return "", fmt.Errorf("bad host %q", clip(s))
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
			return "", fmt.Errorf("bad host %q: bad port", clip(s))
		}
	}
	return CanonicalHost(s), nil
}

// CanonicalHost returns the one spelling of a host: lower case, without the port
// that it has anyway, Docker Hub by its one name. A port of a host on this machine
// stays, since without one such a host may be spoken to without TLS, on port 80.
func CanonicalHost(host string) string {
	host = strings.ToLower(host)
	if name, ok := strings.CutSuffix(host, ":443"); ok && strings.ContainsAny(name, ".]") && !Loopback(name) {
		host = name
	}
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return DockerHub
	}
	return host
}

// String returns the registry as it is written in a manifest.
func (r Registry) String() string {
	if r.Prefix == "" {
		return r.Host
	}
	return r.Host + "/" + r.Prefix
}

// Repository returns the repository called name below the registry's prefix.
func (r Registry) Repository(name string) (Repository, error) {
	if !pathRE.MatchString(name) {
		return Repository{}, fmt.Errorf("bad repository name %q: want lower-case letters and digits, joined by '.', '_', '__', '-' or '/'", clip(name))
	}
	path := name
	if r.Prefix != "" {
		path = r.Prefix + "/" + name
	}
	if r.Host == DockerHub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	if len(r.Host)+1+len(path) > maxName {
		return Repository{}, fmt.Errorf("bad repository name %q: %s and it are longer than %d bytes", clip(name), r, maxName)
	}
	return Repository{Host: r.Host, Path: path}, nil
}

// Relative returns the name of repo below r, and whether it is below r at all.
// The boundary is a path element: "R/sub" is below R, "R-other" is not. The
// repository that is R itself goes by its last path element.
func (r Registry) Relative(repo Repository) (string, bool) {
	if repo.Host != r.Host {
		return "", false
	}
	if r.Prefix == "" {
		return repo.Path, true
	}
	if repo.Path == r.Prefix {
		return repo.Path[strings.LastIndexByte(repo.Path, '/')+1:], true
	}
	return strings.CutPrefix(repo.Path, r.Prefix+"/")
}

// Repository is one repository of a registry host. It is comparable.
type Repository struct {
	Host string // as in Registry
	Path string // full path on the host, never empty
}

// ParseRepository reads a fully qualified repository name, "host[:port]/path".
func ParseRepository(s string) (Repository, error) {
	host, path, ok := strings.Cut(s, "/")
	if !ok {
		return Repository{}, fmt.Errorf("bad repository %q: want host/path", clip(s))
	}
	r, err := ParseRegistry(host)
	if err != nil {
		return Repository{}, err
	}
	return r.Repository(path)
}

// String returns "host/path", and the host alone without a path.
func (r Repository) String() string {
	if r.Path == "" {
		return r.Host
	}
	return r.Host + "/" + r.Path
}

// IsZero reports whether r names nothing.
func (r Repository) IsZero() bool { return r == Repository{} }

// Digest returns the reference "host/path@digest".
func (r Repository) Digest(d Digest) string { return r.String() + "@" + string(d) }

// Tag returns the reference "host/path:tag".
func (r Repository) Tag(tag string) string { return r.String() + ":" + tag }

// Compare orders repositories as their String forms are ordered, host first.
func (r Repository) Compare(o Repository) int {
	if c := strings.Compare(r.Host, o.Host); c != 0 {
		return c
	}
	return strings.Compare(r.Path, o.Path)
}

// Google reports whether a host is Google's Container Registry or Artifact Registry,
// which share credentials and a way of listing.
func Google(host string) bool {
	return host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, ".pkg.dev")
}

// Loopback reports whether a host names this machine, so that a registry there
// needs no TLS: localhost, names below it, 127.0.0.0/8 and ::1, with any port.
func Loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// Clip bounds foreign text in a message: what is beyond so many bytes, in whole
// characters, becomes an ellipsis.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// clip bounds a name in an error message, and leaves out what may be a password.
func clip(s string) string {
	const most = 140
	if user, host, ok := strings.Cut(s, "@"); ok && strings.Contains(user, ":") && !strings.Contains(user, "/") {
		s = "…@" + host
	}
	return Clip(s, most)
}
