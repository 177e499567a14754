package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// maxVerified is the number of tags whose images are looked up at the same time. The
// client limits the requests to each host.
const maxVerified = 16

// Verification is the result of verifying an image tags file.
type Verification struct {
	Ends   []string         // the tags with labels at the ends of all chains, sorted
	Faults []manifest.Fault // by position

	tags       *imagetags.File
	chains     int             // without a fault
	found      int             // ends with one image
	repository name.Repository // that VerifyImages looked in; zero: it was not called
}

// VerifyChains follows the aliases of every tag, without requests.
func VerifyChains(t *imagetags.File) *Verification {
	v := &Verification{tags: t}
	ends := map[string]struct{}{}
	for _, tag := range t.Tags() {
		path, err := t.Chain(tag)
		if fault := (manifest.Fault{}); errors.As(err, &fault) {
			v.Faults = append(v.Faults, fault)
			continue
		}
		v.chains++
		ends[path[len(path)-1]] = struct{}{}
	}
	v.Ends = slices.Sorted(maps.Keys(ends))
	manifest.SortFaults(v.Faults)
	return v
}

// VerifyImages looks for the image of each end in a repository, with the labels of
// ref in addition. A tag that does not lead to exactly one image is a fault. The error
// is that of ctx. step is called after each end.
func (v *Verification) VerifyImages(ctx context.Context, reg Registry, ref Reference, step func()) error {
	finder := NewFinder(ctx, reg, ref.Repository)
	errs := make([]error, len(v.Ends))
	var g errgroup.Group
	g.SetLimit(maxVerified)
	for i, tag := range v.Ends {
		g.Go(func() error {
			m, err := v.tags.Merge(tag, ref.Labels, false)
			if err == nil {
				_, err = finder.Find(ctx, m.Labels)
			}
			errs[i] = err
			step()
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	if err := ctx.Err(); err != nil {
		return err
	}
	v.repository = ref.Repository
	for i, err := range errs {
		if err == nil {
			v.found++
			continue
		}
		message := fmt.Sprintf("tag %q: %v", v.Ends[i], err)
		v.Faults = append(v.Faults, manifest.Fault{Pos: v.tags.Pos(v.Ends[i]), Severity: manifest.Refused, Message: message})
	}
	manifest.SortFaults(v.Faults)
	return nil
}

// Summary returns the result as a sentence.
func (v *Verification) Summary() string {
	text := fmt.Sprintf("%s, %s of labels", plural(v.chains, "tag"), plural(len(v.Ends), "set"))
	switch n := len(v.Ends); {
	case v.repository == (name.Repository{}):
	case n == 1 && v.found == 1:
		text += fmt.Sprintf(": it identifies exactly one image in %s", v.repository)
	case n == v.found:
		text += fmt.Sprintf(": each identifies exactly one image in %s", v.repository)
	default:
		text += fmt.Sprintf(": %d of %d identify exactly one image in %s", v.found, n, v.repository)
	}
	return text + "."
}
