package plan

import (
	"hash/fnv"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Shard keeps one of count disjoint parts, and removes the others. index counts from 0.
// A destination repository is in one part; invalid repository names are in part 0. A
// fault is kept in the parts that have an edge it concerns, or in part 0 if there is no
// such edge. This includes the given faults of the manifests, which are returned.
func (w *Wanted) Shard(index, count int, faults []manifest.Fault) []manifest.Fault {
	all := reasons(w.Targets)
	w.Targets = slices.DeleteFunc(w.Targets, func(t *Target) bool {
		return shardOf(t.Repository, count) != index
	})
	own := reasons(w.Targets)
	if index != 0 {
		w.Invalid = nil
	}
	elsewhere := func(f manifest.Fault) bool {
		if !among(f, all) {
			return index != 0
		}
		return !among(f, own)
	}
	w.Faults = slices.DeleteFunc(w.Faults, elsewhere)
	return slices.DeleteFunc(slices.Clone(faults), elsewhere)
}

// shardOf returns the part of count that a destination repository belongs to.
func shardOf(repo name.Repository, count int) int {
	h := fnv.New64a()
	h.Write([]byte(repo.String()))
	return int(h.Sum64() % uint64(count))
}

// reasons returns the reasons of all refusals of the targets.
func reasons(targets []*Target) map[string]struct{} {
	out := map[string]struct{}{}
	for _, t := range targets {
		for _, r := range t.Want.Refused {
			out[r.Reason] = struct{}{}
		}
	}
	return out
}

// among reports whether a fault is the reason of a refusal. The reason has the position
// of the fault if it concerns one entry, and no position if it concerns several.
func among(f manifest.Fault, reasons map[string]struct{}) bool {
	_, one := reasons[f.String()]
	_, several := reasons[f.Message]
	return one || several
}
