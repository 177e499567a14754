// Package lookup runs selectors: it reads what package resolve needs and writes the
// results. Registry reads tags and images, Rebaser computes rebased images, and Selectors
// reads git, runs the selectors of a set of manifests and updates lists of images and
// locks.
//
// It never selects a digest and never writes to a registry: package resolve selects. It
// is a package of its own because it needs registries, git and rebasing, which resolve
// must not import.
package lookup
