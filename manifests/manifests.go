// Package manifests holds example manifests; those of the demo are part of the program.
package manifests

import "embed"

// Demo has the thin manifest directory of cip demo: "demo".
//
//go:embed demo
var Demo embed.FS
