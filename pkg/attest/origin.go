package attest

import (
	"encoding/json"
	"net/url"
	"strings"
)

// Origin is where the manifests are kept.
type Origin struct {
	URI    string // git+https://…; empty if it is not known
	Commit string // of all manifests; empty if it is not known, or if a file differs from it
	Path   func(file string) string
}

// File is a file of the manifests.
type File struct {
	Name   string // relative to the work tree; outside of git as it was given
	URI    string
	Commit string
}

// file returns a file by the name that messages have; "" stands for all of them.
func (o *Origin) file(display string) File {
	f := File{Name: display}
	if o.Path != nil && display != "" {
		f.Name = o.Path(display)
	}
	if o.Commit != "" {
		f.URI, f.Commit = o.URI, o.Commit
	}
	return f
}

func (f File) resource() *resource {
	if f.Name == "" {
		return nil
	}
	r := &resource{Name: f.Name, URI: f.URI}
	if f.Commit != "" {
		r.Digest = map[string]string{"gitCommit": f.Commit}
	}
	return r
}

// RepositoryURI returns the address of a git repository in statements. It is that of the
// remote, if this is https, without user and password. Otherwise it is from the
// description of the Prow job, whose clones have no remote: that of the repository which
// is cloned to workTree. It is empty if neither says it.
func RepositoryURI(remote, workTree string, getenv func(string) string) string {
	if uri := gitURI(remote); uri != "" {
		return uri
	}
	var spec struct {
		Refs  *prowRefs  `json:"refs"`
		Extra []prowRefs `json:"extra_refs"`
	}
	if json.Unmarshal([]byte(getenv("JOB_SPEC")), &spec) != nil {
		return ""
	}
	if spec.Refs != nil {
		spec.Extra = append([]prowRefs{*spec.Refs}, spec.Extra...)
	}
	for _, r := range spec.Extra {
		if strings.HasSuffix(strings.TrimSuffix(workTree, "/"), "/src/"+r.path()) {
			return r.uri()
		}
	}
	return ""
}

// gitURI returns an https address as git+https, or "" for another one.
func gitURI(remote string) string {
	u, err := url.Parse(remote)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return ""
	}
	u.User, u.Scheme, u.RawQuery, u.Fragment = nil, "git+https", "", ""
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), ".git")
	return u.String()
}

// prowRefs is a repository that a Prow job clones.
type prowRefs struct {
	Org   string `json:"org"`
	Repo  string `json:"repo"`
	Alias string `json:"path_alias"`
	Clone string `json:"clone_uri"`
}

// path returns where a job clones the repository to, below src.
func (r prowRefs) path() string {
	if r.Alias != "" {
		return r.Alias
	}
	return "github.com/" + r.Org + "/" + r.Repo
}

func (r prowRefs) uri() string {
	if uri := gitURI(r.Clone); uri != "" {
		return uri
	}
	return gitURI("https://github.com/" + r.Org + "/" + r.Repo)
}

// JobOf returns the job that the environment describes: of Prow, GitHub Actions or
// GitLab.
func JobOf(getenv func(string) string) Job {
	switch {
	case getenv("JOB_NAME") != "":
		return Job{getenv("JOB_NAME"), getenv("JOB_TYPE"), getenv("BUILD_ID"), getenv("PROW_JOB_ID")}
	case getenv("GITHUB_ACTIONS") == "true":
		return Job{Name: getenv("GITHUB_WORKFLOW"), Type: getenv("GITHUB_EVENT_NAME"), Build: getenv("GITHUB_RUN_ID")}
	case getenv("GITLAB_CI") == "true":
		return Job{Name: getenv("CI_JOB_NAME"), Type: getenv("CI_PIPELINE_SOURCE"), Build: getenv("CI_JOB_ID")}
	}
	return Job{}
}
