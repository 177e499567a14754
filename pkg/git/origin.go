package git

import "path/filepath"

// Origin returns the address of the remote origin and the top of the work tree.
//
// Either is empty if there is none. The address may hold a password.
func (r *Repository) Origin() (address, workTree string) {
	if remote, err := r.repo.Remote("origin"); err == nil && len(remote.Config().URLs) > 0 {
		address = remote.Config().URLs[0]
	}
	if tree, err := r.repo.Worktree(); err == nil {
		workTree = filepath.ToSlash(tree.Filesystem.Root())
	}
	return address, workTree
}
