// Package registrytest gives tests real registries on loopback, with a
// recorder and injected faults in front, and builders for what they hold.
//
// A request passes, from the client inwards: the recorder (every request is
// counted, whatever becomes of it), the faults in the order they were added
// (the first added is the outermost), the authentication, the views that make
// the registry answer like another product (catalog, Google's listing, no
// referrers), and last the registry itself: olareg by default, which checks
// what it stores, or go-containerregistry's permissive one, or with [Proxy] an
// external process.
//
// Push, Manifest, Tags, HasBlob, Delete and Complete talk to the registry
// beneath all of these: what a test does to prepare or to verify is neither
// recorded nor hit by a fault, and needs no credentials.
//
// The package waits only where [Latency] or a fault demands it, never leaves loopback
// and never uses a fixed port. It is for tests and tools/bench; nothing of the product
// imports it.
package registrytest

// TB is the part of testing.TB that the package uses.
type TB interface {
	Helper()
	Cleanup(f func())
	TempDir() string
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}
