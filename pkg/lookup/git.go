package lookup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// histories opens the selectors' git repositories, each branch once.
type histories struct {
	open memo.Map[git.Remote, *history]
}

// in returns a function that opens histories for selectors whose files are in dir.
// Relative paths of repositories are relative to dir. A caller has exclusive use of a
// history until it calls the returned release function.
func (h *histories) in(dir string) func(context.Context, string, string) (resolve.History, func(), error) {
	return func(ctx context.Context, repository, branch string) (resolve.History, func(), error) {
		m := git.Remote{URL: repository, Branch: branch}
		if m.Local() && !filepath.IsAbs(repository) && !strings.Contains(repository, "://") {
			m.URL = filepath.Join(dir, filepath.FromSlash(repository))
		}
		found, err := h.open.Do(ctx, m, func() (*history, error) { return openHistory(ctx, m) })
		if err != nil {
			return nil, nil, err
		}
		found.mu.Lock()
		return found, found.mu.Unlock, nil
	}
}

func openHistory(ctx context.Context, m git.Remote) (*history, error) {
	m.Dir = cacheDir(m)
	repo, tip, err := m.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	return &history{repo: repo, tip: tip}, nil
}

// cacheDir returns the directory that keeps the copy of a remote branch between runs. It
// is "", for a copy in memory, if there is no cache directory or if the URL has a
// secret, which must not be written to disk. Local repositories are not copied.
func cacheDir(m git.Remote) string {
	cache, err := os.UserCacheDir()
	if err != nil || m.Local() || m.String() != m.URL {
		return ""
	}
	key := sha256.Sum256([]byte(m.URL + "\n" + m.Branch))
	dir := filepath.Join(cache, "cip", "git", hex.EncodeToString(key[:16]))
	if os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	return dir
}

// history makes one branch of a git repository a resolve.History.
type history struct {
	mu   sync.Mutex // locked by the caller that uses the history
	repo *git.Repository
	tip  string
}

// Tip implements resolve.History, and so do the others.
func (h *history) Tip(string) (string, error) { return h.tip, nil }

func (h *history) Walk(ctx context.Context, tip string, all bool) iter.Seq2[resolve.Commit, error] {
	return func(yield func(resolve.Commit, error) bool) {
		for c, err := range h.repo.Walk(ctx, tip, all) {
			if !yield(resolve.Commit(c), err) {
				return
			}
		}
	}
}

func (h *history) Subtrees(tree string, paths []string) ([]string, error) {
	return h.repo.Subtrees(tree, paths)
}

func (h *history) IsAncestor(ctx context.Context, a, b string) (bool, error) {
	return h.repo.IsAncestor(ctx, a, b)
}

func (h *history) Find(abbreviations []string) (map[string][]resolve.Commit, error) {
	found, err := h.repo.Find(abbreviations)
	if err != nil {
		return nil, err
	}
	all := make(map[string][]resolve.Commit, len(found))
	for a, entries := range found {
		for _, c := range entries {
			all[a] = append(all[a], resolve.Commit(c))
		}
	}
	return all, nil
}
