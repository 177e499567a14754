package git

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Address is where a repository is fetched from and pushed to. It has no password.
type Address struct {
	Fetch string
	Push  string // empty: as Fetch
}

// String returns the address that is fetched from.
func (a Address) String() string { return a.Fetch }

// Pushed returns the address that is pushed to.
func (a Address) Pushed() string {
	if a.Push != "" {
		return a.Push
	}
	return a.Fetch
}

// Remote returns the address of a remote of the user's clone, or of a URL or path.
//
// Passwords in URLs become logins of the program.
func (p *Program) Remote(name string) (Address, error) {
	a := Address{Fetch: p.variable("remote." + name + ".url"), Push: p.variable("remote." + name + ".pushurl")}
	base := p.top // of relative paths
	if a.Fetch == "" {
		if !strings.ContainsAny(name, "/:\\") {
			return a, fmt.Errorf("the git repository has no remote %q: name another one", name)
		}
		a.Fetch, base = name, "."
	}
	for _, url := range []*string{&a.Fetch, &a.Push} {
		*url = p.withoutLogin(*url)
		path, local := Remote{URL: *url}.path()
		if !local || path == "" || path != *url || filepath.IsAbs(path) {
			continue
		}
		var err error
		if *url, err = filepath.Abs(filepath.Join(base, path)); err != nil {
			return a, err
		}
	}
	return a, nil
}

// Remotes returns the addresses of all remotes of the user's clone, in the order of its
// configuration.
func (p *Program) Remotes() []Address {
	var all []Address
	for _, s := range p.own {
		if name, ok := strings.CutPrefix(s.key, "remote."); ok && strings.HasSuffix(name, ".url") {
			if a, err := p.Remote(strings.TrimSuffix(name, ".url")); err == nil {
				all = append(all, a)
			}
		}
	}
	return all
}

// variable returns the first value of a variable in the user's clone.
func (p *Program) variable(key string) string {
	for _, s := range p.own {
		if s.key == key {
			return s.value
		}
	}
	return ""
}

// withoutLogin removes the login from a URL and keeps it for the program.
func (p *Program) withoutLogin(address string) string {
	clean, l := withoutLogin(address)
	if l.User != "" || l.Password != "" {
		p.Use(l)
	}
	return clean
}

// withoutLogin splits a URL into itself without a login, and the login. In ssh, the
// user name is a part of the address.
func withoutLogin(address string) (string, Login) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil || u.Scheme != "http" && u.Scheme != "https" {
		return address, Login{}
	}
	l := Login{URL: u.Scheme + "://" + u.Host + "/", User: u.User.Username()}
	l.Password, _ = u.User.Password()
	u.User = nil
	return u.String(), l
}

// settings returns the settings of a remote with this address.
func (a Address) settings() []setting {
	all := []setting{{"remote." + remoteName + ".url", a.Fetch}}
	if a.Push != "" {
		all = append(all, setting{"remote." + remoteName + ".pushurl", a.Push})
	}
	return all
}

// remoteName is the name of the remote that settings describes.
const remoteName = "cip"
