package provenance

import "strings"

// builtFrom reports whether the build names the source of a policy.
//
// Every source in the parameters of the build must be it. Where there is none, a git
// dependency must be.
func (b build) builtFrom(source string) bool {
	for _, uri := range b.external {
		if !sameSource(source, uri) {
			return false
		}
	}
	if len(b.external) > 0 {
		return true
	}
	for _, d := range b.dependencies {
		if d.git && sameSource(source, d.URI) {
			return true
		}
	}
	return false
}

// sources returns the sources that the build names, for messages.
func (b build) sources() []string {
	if len(b.external) > 0 {
		return b.external
	}
	var uris []string
	for _, d := range b.dependencies {
		if d.git {
			uris = append(uris, d.URI)
		}
	}
	return uris
}

// sameSource reports whether a recorded source is the one of a policy.
//
// What follows @ in the recorded source is a git reference. A policy without a scheme
// accepts all schemes.
func sameSource(policy, recorded string) bool {
	recorded, _, _ = strings.Cut(recorded, "@")
	wantScheme, want := splitSource(policy)
	scheme, got := splitSource(recorded)
	return got != "" && got == want && (wantScheme == "" || scheme == wantScheme)
}

// splitSource returns the scheme of a source, and the rest in the spelling that is compared.
func splitSource(uri string) (scheme, rest string) {
	uri = strings.TrimPrefix(uri, "git+")
	uri = strings.TrimSuffix(strings.TrimRight(uri, "/"), ".git")
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		scheme, rest = "", uri
	}
	host, path, _ := strings.Cut(rest, "/")
	if host == "" {
		return scheme, ""
	}
	return strings.ToLower(scheme), strings.ToLower(host) + "/" + path
}
