package propose

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// Site is a repository on a server: a host without a port, and a path such as owner/name.
type Site struct{ Host, Path string }

// SiteOf returns the site that an address names. That of a path on disk has no host.
func SiteOf(address string) Site {
	if host, path, ok := strings.Cut(address, ":"); ok && !strings.Contains(host, "/") && !strings.HasPrefix(path, "//") {
		return Site{strings.ToLower(host[strings.LastIndexByte(host, '@')+1:]), trimmed(path)} // user@host:path
	}
	u, err := url.Parse(address)
	if err != nil {
		return Site{}
	}
	return Site{strings.ToLower(u.Hostname()), trimmed(u.Path)}
}

// trimmed returns the path of a repository without slashes around it and without .git.
func trimmed(path string) string {
	return strings.TrimSuffix(strings.Trim(path, "/"), ".git")
}

// owner returns the owner of a repository, and its name.
func (s Site) owner() (owner, name string) {
	i := strings.LastIndexByte(s.Path, '/')
	return s.Path[:max(i, 0)], s.Path[i+1:]
}

// ForkOf returns the address of a fork, OWNER or OWNER/REPOSITORY, of a repository.
//
// It is the one of remotes that names the fork, or else the repository's own with
// another path.
func ForkOf(base git.Address, fork string, remotes []git.Address) (git.Address, error) {
	site := SiteOf(base.Fetch)
	_, name := site.owner()
	owner := fork
	if o, n, ok := strings.Cut(fork, "/"); ok {
		owner, name = o, n
	}
	if !isWord(owner) || !isWord(name) {
		return git.Address{}, fmt.Errorf("bad --fork %q: want OWNER or OWNER/REPOSITORY", fork)
	}
	want := Site{site.Host, owner + "/" + name}
	for _, r := range remotes {
		if at := SiteOf(r.Pushed()); site.Host != "" && at.Host == want.Host && strings.EqualFold(at.Path, want.Path) {
			return r, nil
		}
	}
	address := strings.TrimSuffix(base.Pushed(), "/")
	short := strings.TrimSuffix(address, ".git")
	suffix := address[len(short):]
	slash := strings.LastIndexByte(short, '/')
	start := strings.LastIndexAny(short[:max(slash, 0)], "/:")
	if start < 0 {
		return git.Address{}, fmt.Errorf("the address %s has no owner that --fork could replace: name the remote of the fork", address)
	}
	return git.Address{Fetch: short[:start+1] + want.Path + suffix}, nil
}

// isWord reports whether a text can be the name of an owner or of a repository.
func isWord(text string) bool {
	return strings.Trim(text, wordBytes) == "" && strings.Trim(text, ".") != ""
}

// wordBytes are the characters of names of owners and repositories.
const wordBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// Place says which forge a repository is on, and who asks it.
type Place struct {
	Kind      string // github, gitlab or none; empty: what the host of Base says
	Base      git.Address
	Push      git.Address
	UserAgent string
	Write     bool // pull requests are going to be opened
	Getenv    func(string) string
}

// NewForge returns the forge of a repository, and a login for pushing to it, if the
// environment has one.
func NewForge(p Place) (Forge, *git.Login, error) {
	kind := p.Kind
	base := SiteOf(p.Base.Fetch)
	api, err := apiURL(p.Getenv)
	if err != nil && (kind == "github" || kind == "") {
		return nil, nil, err
	}
	if kind == "" {
		kind = detect(base, api, p.Getenv)
	}
	switch kind {
	case "github":
		return newGitHub(p, api)
	case "gitlab":
		return newGitLab(p), nil, nil
	case "none":
		return noForge{p.Push}, nil, nil
	}
	return nil, nil, fmt.Errorf("bad --forge %q: want github, gitlab or none", kind)
}

// detect returns the kind of forge that a host is.
func detect(s Site, api *url.URL, getenv func(string) string) string {
	switch {
	case s.Host == "":
		return "none"
	case s.isOn(api):
		return "github"
	case s.Host == getenv("CI_SERVER_HOST"), strings.HasPrefix(s.Host, "gitlab."), strings.Contains(s.Host, ".gitlab."):
		return "gitlab"
	}
	return "none"
}

// secure reports whether a URL may be sent a token.
func secure(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// noForge is a server without pull requests, or one that cip does not know.
type noForge struct{ push git.Address }

// Opens implements Forge.
func (noForge) Opens() bool { return false }

// Requests implements Forge.
func (noForge) Requests(context.Context, Head) ([]Request, error) { return nil, nil }

// PushOptions implements Forge.
func (noForge) PushOptions(Proposal, Head) []string { return nil }

// Open implements Forge.
func (f noForge) Open(_ context.Context, _ Proposal, h Head) (Opened, error) {
	return Opened{Note: fmt.Sprintf("branch %s of %s has the change: open a pull request there", h.Branch, f.push.Pushed())}, nil
}
