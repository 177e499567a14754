// Command cip promotes container images between registries.
package main

import (
	"os"

	"sigs.k8s.io/k8s-container-image-promoter/internal/cli"
	build "sigs.k8s.io/k8s-container-image-promoter/internal/version"
)

// Set by the linker; see the Makefile. An empty value is read from Go's build information.
var version, commit, date string

func main() {
	os.Exit(cli.Main(cli.Cip, build.Build{Version: version, Commit: commit, Date: date}))
}
