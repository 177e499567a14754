// Package lookup reads what package resolve needs to run selectors: tags and images
// of registries (Registry), git histories (Histories), and the digests of images on
// a new run image (Rebaser).
//
// Package resolve decides and is pure; this package reads, and decides nothing. It
// is a package of its own because it needs registries, git and rebasing, which
// resolve must not import.
package lookup
