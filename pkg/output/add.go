package output

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/add"
)

// AddedImage is a digest that cip add adds to a file, or gives tags.
type AddedImage struct {
	File   string     `json:"file"`
	Image  string     `json:"image"`
	Source string     `json:"source"`
	Digest v1.Hash    `json:"digest"`
	New    bool       `json:"new"` // the list did not have the digest
	Tags   []string   `json:"tags"`
	Moved  []MovedTag `json:"moved,omitempty"`
}

// MovedTag is a tag that another digest had.
type MovedTag struct {
	Tag  string  `json:"tag"`
	From v1.Hash `json:"from"`
}

// DescribeAdded returns the description of changes. path returns the name of a file.
func DescribeAdded(changes []add.Change, path func(string) string) []AddedImage {
	all := []AddedImage{}
	for _, c := range changes {
		for _, a := range c.Added {
			d := AddedImage{
				File: path(c.Path), Image: a.Image, Source: a.Source.String(), Digest: a.Digest, New: a.New,
				Tags: append([]string{}, a.Tags...),
			}
			for _, m := range a.Moved {
				d.Moved = append(d.Moved, MovedTag{m.Tag, m.From})
			}
			all = append(all, d)
		}
	}
	return all
}
