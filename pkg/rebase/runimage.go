package rebase

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Order says which of the names of a run image go before which, on one registry.
type Order int

// The orders: that of pack, which asks local mirrors first, and that of the
// platform specification, which begins with the image itself.
const (
	PackOrder Order = iota + 1
	SpecOrder
)

// Origin says where a name of a run image was found.
type Origin string

// The origins of names.
const (
	FromLocal  Origin = "local mirror"
	FromImage  Origin = "run image"
	FromMirror Origin = "mirror"
)

// Candidate is one name of a run image.
type Candidate struct {
	Name      string // as it is written
	Reference        // zero if the name is none
	Origin    Origin
	Near      bool   // on the host that the app is on
	Rejected  string // why it was not chosen; empty if it was, or if it was not looked at
	Chosen    bool
}

// Candidates returns the names of a run image for an app on a host, best first:
// those on the host, whose layers can be mounted, before the others.
func Candidates(host string, n Names, local []string, order Order) []Candidate {
	var all []Candidate
	add := func(origin Origin, names ...string) {
		for _, s := range names {
			all = append(all, candidate(host, s, origin))
		}
	}
	own := func() {
		if n.Image != "" {
			add(FromImage, n.Image)
		}
	}
	if order == SpecOrder {
		own()
		add(FromMirror, n.Mirrors...)
		add(FromLocal, local...)
	} else {
		add(FromLocal, local...)
		own()
		add(FromMirror, n.Mirrors...)
	}
	var near, far []Candidate
	seen := map[Reference]struct{}{}
	for _, c := range all {
		if _, twice := seen[c.Reference]; twice && c.Rejected == "" {
			continue
		}
		seen[c.Reference] = struct{}{}
		if c.Near {
			near = append(near, c)
		} else {
			far = append(far, c)
		}
	}
	return append(near, far...)
}

func candidate(host, name string, origin Origin) Candidate {
	ref, err := ParseReference(name)
	c := Candidate{Name: name, Reference: ref, Origin: origin, Near: err == nil && ref.RegistryStr() == host}
	if err != nil {
		c.Rejected = err.Error()
	}
	return c
}

// errNoRunImage says that nothing names a run image.
var errNoRunImage = errors.New("run image must be specified: neither metadata nor a file names one")

// pick marks the first candidate that probe can read as chosen and returns it. The
// others tell why they were passed over.
func pick(ctx context.Context, all []Candidate, probe func(Reference) error) (Reference, error) {
	if len(all) == 0 {
		return Reference{}, errNoRunImage
	}
	for i := range all {
		c := &all[i]
		if c.Rejected != "" {
			continue
		}
		err := probe(c.Reference)
		switch {
		case err == nil:
			c.Chosen = true
			return c.Reference, nil
		case ctx.Err() != nil:
			return Reference{}, ctx.Err()
		}
		c.Rejected = err.Error()
	}
	why := make([]string, len(all))
	for i, c := range all {
		why[i] = fmt.Sprintf("%s %s: %s", c.Origin, c.Name, c.Rejected)
	}
	return Reference{}, fmt.Errorf("choosing a run image: failed to find accessible run image: %s", strings.Join(why, "; "))
}

// Pick chooses among candidates: one HEAD for each that is looked at. What does not
// exist is not readable.
func Pick(ctx context.Context, c *registry.Client, all []Candidate) (Reference, error) {
	return pick(ctx, all, func(r Reference) error {
		var state inventory.State
		var err error
		if r.Digest != (v1.Hash{}) {
			state, err = c.Has(ctx, r.Repository, r.Digest.String())
		} else {
			_, state, err = c.Resolve(ctx, r.Repository, r.Tag)
		}
		if err == nil && state == inventory.Absent {
			return registry.ErrNotFound
		}
		return err
	})
}
