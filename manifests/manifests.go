// Package manifests holds example manifests; those of the demo are part of the program.
package manifests

import "embed"

// Demo is the thin manifest directory of cip demo, below "demo".
//
//go:embed demo
var Demo embed.FS
