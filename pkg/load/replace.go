package load

import (
	"bytes"
	"fmt"
	"path/filepath"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/tree"
)

// Replacement is the new content of a file.
type Replacement struct {
	Name     string // below the root of the manifests
	Old, New []byte
}

// Replace replaces files of manifests. None is replaced if one of them is not what it was,
// or if the new content of one cannot be stored.
func (m Manifests) Replace(all []Replacement) error {
	t := tree.Open(m.Root())
	defer t.Close()
	var files []tree.File
	for _, r := range all {
		at := filepath.Join(m.Root(), filepath.FromSlash(r.Name))
		data, err := FileIn(t, r.Name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", at, Cause(err))
		}
		if !bytes.Equal(data, r.Old) {
			return fmt.Errorf("%s has changed since it was read: run the command again", at)
		}
		files = append(files, tree.File{Name: r.Name, Data: r.New})
	}
	if err := t.ReplaceAll(files); err != nil {
		return fmt.Errorf("writing the files of %s: %w", m.Path(), err)
	}
	return nil
}
