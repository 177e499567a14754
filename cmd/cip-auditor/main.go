// Command cip-auditor checks the changes of production registries against the manifests.
// It is cip audit as a program of its own.
package main

import (
	"os"

	"sigs.k8s.io/k8s-container-image-promoter/internal/cli"
	build "sigs.k8s.io/k8s-container-image-promoter/internal/version"
)

// Set by the linker; see the Makefile. An empty value is read from Go's build information.
var version, commit, date string

func main() {
	os.Exit(cli.Main(cli.Auditor, build.Build{Version: version, Commit: commit, Date: date}))
}
