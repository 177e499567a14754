package propose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-github/v89/github"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

const (
	apiTimeout  = 30 * time.Second // of one request to GitHub, which answers within a few seconds
	mostResults = 100              // pull requests of one branch that are looked at, the newest first
)

// apiURL returns the URL of GitHub's API.
func apiURL(getenv func(string) string) (*url.URL, error) {
	text := cmp.Or(getenv("GITHUB_API_URL"), "https://api.github.com")
	u, err := url.Parse(strings.TrimSuffix(text, "/") + "/")
	if err != nil || u.Host == "" || u.User != nil || !secure(u) {
		return nil, fmt.Errorf("bad GITHUB_API_URL: want the https URL of GitHub's API")
	}
	return u, nil
}

// serverHost returns the host whose repositories an API serves.
func serverHost(api *url.URL) string {
	return strings.TrimPrefix(strings.ToLower(api.Hostname()), "api.")
}

// isOn reports whether a site is on the server of an API. Its SSH also has a host of its
// own, for networks that allow only the port of https.
func (s Site) isOn(api *url.URL) bool {
	return strings.TrimPrefix(s.Host, "ssh.") == serverHost(api)
}

// gitHub opens pull requests with the API of GitHub.
type gitHub struct {
	client     *github.Client
	base, head Site
	secrets    *secret.Set
}

func newGitHub(p Place, api *url.URL) (Forge, *git.Login, error) {
	token := p.Getenv("GITHUB_TOKEN")
	if token == "" && p.Write {
		return nil, nil, errNoToken
	}
	g := &gitHub{secrets: &secret.Set{}}
	g.secrets.Add(token)
	var err error
	if g.base, err = ownSite(p.Base, api, p.Getenv); err != nil {
		return nil, nil, err
	}
	g.head = g.base
	if p.Push.Pushed() != p.Base.Pushed() {
		g.head = SiteOf(p.Push.Pushed())
		owner, name := g.head.owner() // the path on disk of a mirror may be longer
		g.head.Path = owner[strings.LastIndexByte(owner, '/')+1:] + "/" + name
	}
	base := api.String()
	options := []github.ClientOptionsFunc{
		github.WithHTTPClient(&http.Client{Timeout: apiTimeout, CheckRedirect: stay}),
		github.WithURLs(&base, nil), github.WithUserAgent(p.UserAgent),
	}
	if token != "" {
		options = append(options, github.WithAuthToken(token))
	}
	if g.client, err = github.NewClient(options...); err != nil {
		return nil, nil, fmt.Errorf("making a client of %s: %w", base, err)
	}
	return g, login(p.Push, api, token), nil
}

// ownSite returns the repository of an address. GITHUB_REPOSITORY names it if the
// address does not, such as one with an alias of SSH.
func ownSite(at git.Address, api *url.URL, getenv func(string) string) (Site, error) {
	site := SiteOf(at.Fetch)
	if named := getenv("GITHUB_REPOSITORY"); !site.isOn(api) && named != "" {
		site.Path = named
	}
	if owner, name := site.owner(); owner == "" || name == "" || strings.Contains(owner, "/") {
		return site, fmt.Errorf("the address %s does not name a repository of GitHub: set GITHUB_REPOSITORY to OWNER/NAME", at)
	}
	return site, nil
}

// stay refuses redirects to other hosts, which would get the token, and those that
// turn a POST into a GET.
func stay(req *http.Request, via []*http.Request) error {
	const most = 5 // redirects
	first := via[0]
	if len(via) > most || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme || req.Method != first.Method {
		return fmt.Errorf("the server redirects to %s: the repository may have moved", req.URL.Redacted())
	}
	return nil
}

// login returns the login for pushing with a token, or nil if the address is not one of
// the server that the token is for.
func login(push git.Address, api *url.URL, token string) *git.Login {
	u, err := url.Parse(push.Pushed())
	if err != nil || token == "" || !secure(u) || strings.ToLower(u.Hostname()) != serverHost(api) {
		return nil
	}
	return &git.Login{URL: u.Scheme + "://" + u.Host + "/", User: "x-access-token", Password: token}
}

// Requests implements Forge.
func (g *gitHub) Requests(ctx context.Context, h Head) ([]Request, error) {
	owner, name := g.base.owner()
	from, _ := g.head.owner()
	found, _, err := g.client.PullRequests.List(ctx, owner, name, &github.PullRequestListOptions{
		State: "all", Head: from + ":" + h.Branch, Base: h.Into, ListOptions: github.ListOptions{PerPage: mostResults},
	})
	if err != nil {
		return nil, fmt.Errorf("listing the pull requests of %s: %w", g.base.Path, g.hide(err))
	}
	var all []Request
	for _, r := range found {
		all = append(all, Request{URL: r.GetHTMLURL(), Open: r.GetState() == "open", Commit: r.GetHead().GetSHA()})
	}
	return all, nil
}

// PushOptions implements Forge.
func (*gitHub) PushOptions(Proposal, Head) []string { return nil }

// Open implements Forge.
func (g *gitHub) Open(ctx context.Context, p Proposal, h Head) (Opened, error) {
	owner, name := g.base.owner()
	from, fork := g.head.owner()
	head := h.Branch
	n := &github.NewPullRequest{Title: &p.Title, Body: &p.Body, Base: &h.Into, Draft: &p.Draft, Head: &head}
	if g.head != g.base {
		head = from + ":" + h.Branch
	}
	if from == owner && fork != name { // a fork of the same owner
		n.HeadRepo = &fork
	}
	made, resp, err := g.client.PullRequests.Create(ctx, owner, name, n)
	if err == nil {
		return Opened{URL: made.GetHTMLURL()}, nil
	}
	if resp != nil && resp.StatusCode == http.StatusUnprocessableEntity {
		if found, listErr := g.Requests(ctx, h); listErr == nil {
			for _, r := range found {
				if r.Open { // opened by somebody else at the same time
					return Opened{URL: r.URL}, nil
				}
			}
		}
	}
	return Opened{}, fmt.Errorf("opening a pull request in %s: %w", g.base.Path, g.hide(err))
}

// hide removes the token from an error, which a server may repeat.
func (g *gitHub) hide(err error) error {
	if text := g.secrets.Redact(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
