package provenance

import (
	"slices"
	"strings"
)

// StandsFor reports whether the builder is trusted under an id: its own, or its own at
// any ref if it has none.
//
// It never stands for a longer path.
func (b *Builder) StandsFor(id string) bool {
	rest, ok := strings.CutPrefix(id, b.ID)
	atRef := !strings.Contains(b.ID, "@") && len(rest) > 1 && rest[0] == '@'
	return ok && b.ID != "" && (rest == "" || atRef)
}

// Claimable returns the builders that a certificate may name which matches the signers
// with these specifications.
//
// They are the builders that name one of the signers or, failing any, those that name none.
func (p *Policy) Claimable(specs []string) []*Builder {
	var bound, free []*Builder
	for i := range p.Builders {
		b := &p.Builders[i]
		switch {
		case len(specs) == 0:
		case len(b.Signers) == 0:
			free = append(free, b)
		case slices.ContainsFunc(b.Signers, func(s string) bool { return slices.Contains(specs, s) }):
			bound = append(bound, b)
		}
	}
	if len(bound) > 0 {
		return bound
	}
	return free
}

// lowestLevel returns the lowest level of builders, or 0 if there are none.
func lowestLevel(builders []*Builder) int {
	lowest := 0
	for _, b := range builders {
		if lowest == 0 || b.Level < lowest {
			lowest = b.Level
		}
	}
	return lowest
}

// reachable returns the highest level that an image can be verified for.
func (p *Policy) reachable() int {
	highest := 0
	for i := range p.Signers {
		highest = max(highest, lowestLevel(p.Claimable([]string{p.Signers[i].Spec})))
	}
	return highest
}
