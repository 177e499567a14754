package provenance

// Pattern matches a part of an identity: exactly, by prefix, as a glob or as a regular
// expression of the whole value.
type Pattern struct {
	Kind  string // exact, prefix, glob or regex
	Fold  bool   // upper and lower case are the same
	Value string
}
