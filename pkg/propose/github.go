package propose

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

const (
	apiTimeout  = 30 * time.Second // of one request to GitHub, which answers within a few seconds
	mostResults = 100              // pull requests of one branch that are looked at, the newest first
	apiAnswer   = 8 << 20          // bytes; a pull request has up to 30 kB
	apiVersion  = "2022-11-28"     // of GitHub's REST API
)

// apiURL returns the URL of GitHub's API.
func apiURL(getenv func(string) string) (*url.URL, error) {
	text := cmp.Or(getenv("GITHUB_API_URL"), "https://api.github.com")
	u, err := url.Parse(strings.TrimSuffix(text, "/") + "/")
	if err != nil || u.Host == "" || u.User != nil || !secure(u) {
		return nil, errors.New("bad GITHUB_API_URL: want the https URL of GitHub's API")
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
	client     *http.Client
	api        *url.URL
	agent      string // of the header User-Agent
	token      string // may be empty
	base, head Site
	secrets    *secret.Set
}

func newGitHub(p Place, api *url.URL) (Forge, *git.Login, error) {
	token := strings.TrimSpace(p.Getenv("GITHUB_TOKEN")) // files of tokens may end with an empty line
	switch {
	case token == "" && p.Write:
		return nil, nil, errors.New("GITHUB_TOKEN is not set, so no pull request can be opened (--forge=none pushes the branch alone)")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, nil, errors.New("bad GITHUB_TOKEN: it has a space, a line break or another character that no token has")
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
	g.client = &http.Client{Timeout: apiTimeout, CheckRedirect: stay}
	g.api, g.agent, g.token = api, p.UserAgent, token
	return g, login(p.Push, api, token), nil
}

// ownSite returns the repository of an address. GITHUB_REPOSITORY names it if the
// address does not, such as one with an alias of SSH.
func ownSite(at git.Address, api *url.URL, getenv func(string) string) (Site, error) {
	site := SiteOf(at.Fetch)
	if named := getenv("GITHUB_REPOSITORY"); !site.isOn(api) && named != "" {
		site.Path = named
	}
	if owner, name := site.owner(); !isWord(owner) || !isWord(name) {
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

// Opens implements Forge.
func (*gitHub) Opens() bool { return true }

// Requests implements Forge.
func (g *gitHub) Requests(ctx context.Context, h Head) ([]Request, error) {
	owner, name := g.base.owner()
	from, _ := g.head.owner()
	query := url.Values{
		"state": {"all"}, "head": {from + ":" + h.Branch}, "base": {h.Into}, "per_page": {strconv.Itoa(mostResults)},
	}
	var found []pullRequest
	if err := g.call(ctx, http.MethodGet, []string{"repos", owner, name, "pulls"}, query, nil, &found); err != nil {
		return nil, fmt.Errorf("listing the pull requests of %s: %w", g.base.Path, g.hide(err))
	}
	var all []Request
	for _, r := range found {
		all = append(all, Request{URL: r.URL, Open: r.State == "open", Commit: r.Head.Commit})
	}
	return all, nil
}

// PushOptions implements Forge.
func (*gitHub) PushOptions(Proposal, Head) []string { return nil }

// Open implements Forge.
func (g *gitHub) Open(ctx context.Context, p Proposal, h Head) (Opened, error) {
	owner, name := g.base.owner()
	from, fork := g.head.owner()
	n := newPullRequest{Title: p.Title, Body: p.Body, Base: h.Into, Draft: p.Draft, Head: h.Branch}
	if g.head != g.base {
		n.Head = from + ":" + h.Branch
	}
	if from == owner && fork != name { // a fork of the same owner
		n.HeadRepository = fork
	}
	var made pullRequest
	err := g.call(ctx, http.MethodPost, []string{"repos", owner, name, "pulls"}, nil, n, &made)
	if err == nil {
		return Opened{URL: made.URL}, nil
	}
	if refused, ok := errors.AsType[*apiError](err); ok && refused.status == http.StatusUnprocessableEntity {
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

// pullRequest is what the API says of a pull request.
type pullRequest struct {
	URL   string `json:"html_url"`
	State string `json:"state"`
	Head  struct {
		Commit string `json:"sha"`
	} `json:"head"`
}

// newPullRequest is the body of the request that opens one.
type newPullRequest struct {
	Title          string `json:"title"`
	Body           string `json:"body"`
	Head           string `json:"head"`
	HeadRepository string `json:"head_repo,omitempty"`
	Base           string `json:"base"`
	Draft          bool   `json:"draft"`
}

// apiError is an answer of the API with an unexpected status.
type apiError struct {
	status  int
	Message string            `json:"message"`
	Errors  []json.RawMessage `json:"errors"` // objects or texts
}

// Error implements error.
func (e *apiError) Error() string {
	text := fmt.Sprintf("%d %s", e.status, http.StatusText(e.status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	for _, raw := range e.Errors {
		var plain string
		var detail struct{ Message, Field, Code string }
		switch {
		case json.Unmarshal(raw, &plain) == nil:
			text += ": " + plain
		case json.Unmarshal(raw, &detail) == nil:
			text += ": " + cmp.Or(detail.Message, detail.Field+" "+detail.Code)
		}
	}
	return text
}

// call sends a request to the API, and decodes the answer.
func (g *gitHub) call(ctx context.Context, method string, path []string, query url.Values, body, into any) error {
	to := g.api.JoinPath(path...)
	to.RawQuery = query.Encode()
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), content)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", apiVersion)
	req.Header.Set("User-Agent", g.agent)
	if g.token != "" {
		req.Header.Set("Authorization", "Bearer "+g.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, apiAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		e := &apiError{}
		_ = json.Unmarshal(raw, e) // the status says enough without the message
		e.status = resp.StatusCode
		return e
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("parsing the answer: %w", err)
	}
	return nil
}

// hide removes the token from an error, which a server may repeat.
func (g *gitHub) hide(err error) error {
	if text := g.secrets.Redact(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
