package verify

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Entry is an entry of a manifest that wants a digest.
type Entry struct {
	Pos     manifest.Pos // the file is below the root of the git repository, if it was read there
	Tags    []string
	Sources []name.Repository
}

// entryOf returns the entry for a digest in a repository, or nil.
func entryOf(wanted *plan.Wanted, repo name.Repository, digest v1.Hash) *Entry {
	e := wanted.Entry(repo, digest)
	if e == nil {
		return nil
	}
	entry := &Entry{Pos: wanted.Target(repo).Pos(digest, ""), Tags: e.Tags}
	for _, s := range e.Sources {
		if !slices.Contains(entry.Sources, s.Repository) {
			entry.Sources = append(entry.Sources, s.Repository)
		}
	}
	return entry
}

// maxVersions is the number of versions of files that are kept. The largest known one
// needs about 2 MB.
const maxVersions = 64

// Commits reads manifests in the commits of a clone. It is safe for concurrent use.
type Commits struct {
	dir    string // of the manifests, below the root of the repository: a directory or a file
	isFile bool

	mu       sync.Mutex // pkg/git is not safe for concurrent use
	repo     *git.Repository
	versions map[string]*plan.Wanted // by the hashes of the files
}

// OpenCommits opens the git repository that contains manifests. The error wraps
// git.ErrNoRepository if there is none.
func OpenCommits(at load.Manifests) (*Commits, error) {
	repo, err := git.Open(at.Path())
	if err != nil {
		return nil, err
	}
	c := &Commits{isFile: at.File != "", repo: repo, versions: map[string]*plan.Wanted{}}
	c.dir, err = repo.Named(at.Path())
	return c, err
}

// Entry returns the entry of a manifest file in a commit that wants a digest, or nil if it
// does not want it. Both are named by a record, which nobody has compared with anything.
func (c *Commits) Entry(commit, file string, repo name.Repository, digest v1.Hash) (*Entry, error) {
	team, err := c.team(file)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var found map[string][]git.LogEntry
	if git.IsID(commit) {
		if found, err = c.repo.Find([]string{commit}); err != nil {
			return nil, err
		}
	}
	if len(found[commit]) != 1 {
		return nil, fmt.Errorf("commit %.80s is not in this clone: fetch it first", commit)
	}
	wanted, err := c.version(found[commit][0], team)
	if err != nil {
		return nil, fmt.Errorf("reading %s in commit %s: %w", file, commit, err)
	}
	if e := entryOf(wanted, repo, digest); e != nil {
		return e, nil
	}
	return retagged(wanted, repo), nil
}

// retagged returns a retag entry without a digest in a repository, or nil. It wants what
// its source tag pointed to at the time.
func retagged(wanted *plan.Wanted, repo name.Repository) *Entry {
	t := wanted.Target(repo)
	if t == nil {
		return nil
	}
	var e *Entry
	for _, r := range t.Retags("") {
		if e == nil {
			e = &Entry{Pos: r.Pos}
		}
		e.Tags, e.Sources = append(e.Tags, r.Tag), append(e.Sources, r.From.Repository)
	}
	return e
}

// team returns the team of a thin manifest's list of images, or "" for a plain manifest.
// Files elsewhere in the repository are not those that the user trusts.
func (c *Commits) team(file string) (string, error) {
	if c.isFile {
		if file != c.dir {
			return "", fmt.Errorf("the record names the manifest %.200q, not %q", file, c.dir)
		}
		return "", nil
	}
	team := path.Base(path.Dir(file))
	if list, _ := manifest.TeamFiles(team); path.Join(c.dir, list) != file {
		return "", fmt.Errorf("the record names the manifest %.200q, which is not a list of images in %q", file, c.dir)
	}
	return team, nil
}

// version returns what the manifest of a team wants in a commit.
func (c *Commits) version(at git.LogEntry, team string) (*plan.Wanted, error) {
	files := []string{c.dir}
	if !c.isFile {
		list, registries := manifest.TeamFiles(team)
		files = []string{path.Join(c.dir, list), path.Join(c.dir, registries)}
	}
	entries, err := c.repo.Subtrees(at.Tree, files)
	if err != nil {
		return nil, err
	}
	key := strings.Join(append(entries, team), "\x00")
	if slices.ContainsFunc(entries, func(e string) bool { return !git.IsRegular(e) }) {
		key = at.Tree + key // a link: what it leads to is not in the key
	}
	if w, ok := c.versions[key]; ok {
		return w, nil
	}
	w, err := c.parse(at, team, files)
	if err != nil {
		return nil, err
	}
	if len(c.versions) >= maxVersions {
		clear(c.versions)
	}
	c.versions[key] = w
	return w, nil
}

// parse reads the files of a team in a commit.
func (c *Commits) parse(at git.LogEntry, team string, files []string) (*plan.Wanted, error) {
	dir := c.dir
	if c.isFile {
		dir = path.Dir(c.dir)
	}
	all, err := c.repo.FS(at.ID, dir)
	if err != nil {
		return nil, err
	}
	var set *manifest.Set
	if c.isFile {
		set = manifest.Plain(all, path.Base(c.dir), c.dir)
	} else {
		set = manifest.Team(all, c.dir, team)
	}
	for _, f := range files {
		if part := set.Part(f); part.Broken || part.Digest == "" {
			return nil, fmt.Errorf("the manifest is broken: %s", firstFault(set))
		}
	}
	return plan.Desired(set, nil), nil
}

// firstFault returns the first fault that breaks a manifest.
func firstFault(set *manifest.Set) string {
	for _, f := range set.Faults {
		if f.Severity == manifest.Broken {
			return f.String()
		}
	}
	return "a file could not be read"
}
