package e2e

import (
	"os"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
)

// repository is a bare git repository of one branch.
type repository struct {
	*gittest.Repository
	commits []string // its first parents, the oldest first
	files   map[string]string
}

// commit adds a commit that changes some files to the branch main of a repository, a second after the one before.
func (w *world) commit(args []string) {
	w.need(args, 2, "commit DIR NAME [FILE=TEXT…]")
	dir, name := w.MkAbs(args[0]), args[1]
	r := w.repositories[dir]
	if r == nil {
		w.Check(os.MkdirAll(dir, 0o700))
		r = &repository{Repository: gittest.In(w.t, dir), files: map[string]string{}}
		w.repositories[dir] = r
	}
	for _, arg := range args[2:] {
		file, text, _ := strings.Cut(arg, "=")
		r.files[file] = text
	}
	id := r.Commit(len(r.commits), r.files, r.commits[max(0, len(r.commits)-1):]...)
	r.commits = append(r.commits, id)
	r.Branch("main", id)
	w.Setenv(name, id)
	w.Setenv(name+"_7", id[:7])
}
