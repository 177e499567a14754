package gittest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// GitHub is a server with the part of GitHub's API that is about pull requests.
type GitHub struct {
	URL   string
	Token string // that requests must have

	repositories map[string]*Repository // by owner and name

	mu    sync.Mutex
	pulls []*Pull
	fail  map[string]int
}

// Pull is a pull request of a GitHub.
type Pull struct {
	In, From string // owner/name
	Branch   string
	Base     string
	Title    string
	Body     string
	Draft    bool
	State    string
	URL      string

	head string // commit of a closed one, whose branch may be removed
}

// NewGitHub starts a server with repositories, by owner and name.
func NewGitHub(t testing.TB, token string, repositories map[string]*Repository) *GitHub {
	t.Helper()
	g := &GitHub{Token: token, repositories: repositories, fail: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/{owner}/{name}/pulls", g.list)
	mux.HandleFunc("POST /repos/{owner}/{name}/pulls", g.create)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		status := g.fail[r.Method]
		switch got := r.Header.Get("Authorization"); {
		case got != "Bearer "+g.Token && (got != "" || r.Method != http.MethodGet):
			refuse(w, http.StatusUnauthorized, "Bad credentials "+got)
		case status != 0:
			refuse(w, status, "status of the test, to "+got)
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	g.URL = s.URL
	return g
}

// Fail makes requests with a method fail with a status. 0 ends this.
func (g *GitHub) Fail(method string, status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail[method] = status
}

// Pulls returns the pull requests, oldest first.
func (g *GitHub) Pulls() []Pull {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []Pull
	for _, p := range g.pulls {
		all = append(all, *p)
	}
	return all
}

// Close closes the pull request with a number, from 1.
func (g *GitHub) Close(number int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.pulls[number-1]
	p.State, p.head = "closed", g.commit(p)
}

// commit returns the last commit of a pull request's branch.
func (g *GitHub) commit(p *Pull) string {
	if p.head != "" {
		return p.head
	}
	return g.repositories[p.From].Branches()[p.Branch]
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"message": message})
}

func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	found := []any{}
	for i := len(g.pulls) - 1; i >= 0; i-- {
		p := g.pulls[i]
		owner, _, _ := strings.Cut(p.From, "/")
		if p.In == r.PathValue("owner")+"/"+r.PathValue("name") && r.FormValue("head") == owner+":"+p.Branch && r.FormValue("base") == p.Base {
			found = append(found, g.described(p))
		}
	}
	_ = json.NewEncoder(w).Encode(found)
}

func (g *GitHub) described(p *Pull) any {
	return map[string]any{"html_url": p.URL, "state": p.State, "head": map[string]any{"sha": g.commit(p), "ref": p.Branch}}
}

func (g *GitHub) create(w http.ResponseWriter, r *http.Request) {
	var want struct {
		Title, Body, Base, Head string
		Draft                   bool
		HeadRepo                string `json:"head_repo"`
	}
	if err := json.NewDecoder(r.Body).Decode(&want); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	in := r.PathValue("owner") + "/" + r.PathValue("name")
	p := &Pull{
		In: in, From: in, Branch: want.Head, Base: want.Base, Title: want.Title, Body: want.Body, Draft: want.Draft, State: "open",
		URL: fmt.Sprintf("https://github.example/%s/pull/%d", in, len(g.pulls)+1),
	}
	if owner, branch, ok := strings.Cut(want.Head, ":"); ok {
		name := r.PathValue("name")
		if want.HeadRepo != "" {
			name = want.HeadRepo
		}
		p.From, p.Branch = owner+"/"+name, branch
	}
	repo := g.repositories[p.From]
	if repo == nil || repo.Branches()[p.Branch] == "" {
		refuse(w, http.StatusUnprocessableEntity, "Validation Failed: no branch "+p.Branch+" in "+p.From)
		return
	}
	for _, other := range g.pulls {
		if other.State == "open" && other.From == p.From && other.Branch == p.Branch {
			refuse(w, http.StatusUnprocessableEntity, "A pull request already exists for "+want.Head)
			return
		}
	}
	g.pulls = append(g.pulls, p)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(g.described(p))
}
