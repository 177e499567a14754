package rebase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Order is the order in which the names of a run image are tried.
type Order int

// The orders of candidates.
const (
	PackOrder Order = iota + 1 // as pack does: local mirrors, run image, mirrors
	SpecOrder                  // platform specification: run image, mirrors, local mirrors
)

// The values of Candidate.Origin: where the name of a candidate comes from.
const (
	fromLocal  = "local mirror"
	fromImage  = "run image"
	fromMirror = "mirror"
)

// Candidate is a name of a run image that can be chosen.
type Candidate struct {
	Name      string // spelling in the file or label
	Reference        // zero if the name is invalid
	Origin    string
	SameHost  bool    // the candidate is on the host of the app
	Held      v1.Hash // digest that the name leads to; zero if it was not read
	Rejected  string  // reason why it was skipped; empty if it was chosen or not tried
	Chosen    bool
}

// Candidates returns the names of a run image, best first.
//
// Names on host, the host of the app, come before all others, because their layers
// can be mounted. Duplicates are left out.
func Candidates(host string, n Names, local []string, order Order) []Candidate {
	var sameHost, otherHosts []Candidate
	seen := map[Reference]struct{}{}
	add := func(origin string, names []string) {
		for _, name := range names {
			c := Candidate{Name: name, Origin: origin}
			var err error
			if c.Reference, err = ParseReference(name); err != nil {
				c.Rejected = err.Error()
			} else if _, twice := seen[c.Reference]; twice {
				continue
			}
			seen[c.Reference] = struct{}{}
			if c.SameHost = err == nil && c.RegistryStr() == host; c.SameHost {
				sameHost = append(sameHost, c)
			} else {
				otherHosts = append(otherHosts, c)
			}
		}
	}
	if order != SpecOrder {
		add(fromLocal, local)
	}
	if n.Image != "" {
		add(fromImage, []string{n.Image})
	}
	add(fromMirror, n.Mirrors)
	if order == SpecOrder {
		add(fromLocal, local)
	}
	return append(sameHost, otherHosts...)
}

// pick returns the first candidate that probe can read, and marks it as chosen.
//
// It sets Rejected of the candidates before it. It is an error if none can be read.
func pick(ctx context.Context, all []Candidate, probe func(Reference) (v1.Hash, error)) (*Candidate, error) {
	if len(all) == 0 {
		return nil, errors.New("run image must be specified: neither metadata nor a file names one")
	}
	for i := range all {
		c := &all[i]
		if c.Rejected != "" {
			continue
		}
		held, err := probe(c.Reference)
		switch {
		case err == nil:
			c.Chosen, c.Held = true, held
			return c, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		c.Rejected = err.Error()
	}
	reasons := make([]string, len(all))
	for i, c := range all {
		reasons[i] = fmt.Sprintf("%s %s: %s", c.Origin, c.Name, c.Rejected)
	}
	return nil, fmt.Errorf("choosing a run image: failed to find accessible run image: %s", strings.Join(reasons, "; "))
}

// Pick returns the first candidate that the registries serve, and marks it as chosen.
//
// It sends one HEAD request for each candidate that it tries. A candidate that does
// not exist is skipped like one that cannot be read.
func Pick(ctx context.Context, c *registry.Client, all []Candidate) (*Candidate, error) {
	return pick(ctx, all, func(r Reference) (v1.Hash, error) { return head(ctx, c, r) })
}

// head returns the digest that a reference leads to. It sends one HEAD request.
func head(ctx context.Context, c *registry.Client, r Reference) (v1.Hash, error) {
	held := r.Digest
	var state inventory.State
	var err error
	if r.Digest != (v1.Hash{}) {
		state, err = c.Has(ctx, r.Repository, r.Digest)
	} else {
		held, state, err = c.Resolve(ctx, r.Repository, r.Tag)
	}
	if err == nil && state == inventory.Absent {
		err = registry.ErrNotFound
	}
	return held, err
}

// maxProbed is the number of candidates that Compare reads at a time.
const maxProbed = 8

// Compare reads the candidates that Pick did not try. It returns those that lead to
// another image than the chosen one; a candidate that cannot be read is none of them.
func Compare(ctx context.Context, c *registry.Client, all []Candidate) []Candidate {
	var g errgroup.Group
	g.SetLimit(maxProbed)
	var chosen v1.Hash
	for i := range all {
		candidate := &all[i]
		if candidate.Chosen {
			chosen = candidate.Held
		}
		if candidate.Chosen || candidate.Rejected != "" {
			continue
		}
		g.Go(func() error {
			held, err := head(ctx, c, candidate.Reference)
			if candidate.Held = held; err != nil {
				candidate.Held, candidate.Rejected = v1.Hash{}, err.Error()
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	return slices.DeleteFunc(slices.Clone(all), func(c Candidate) bool { return c.Held == (v1.Hash{}) || c.Held == chosen })
}
