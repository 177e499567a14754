// Package version describes the build of a binary: version, commit and date.
package version

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"
)

// Build describes what a binary was built from.
type Build struct {
	Version string // a release, or "dev"
	Commit  string // git commit, with "-dirty" where the work tree differed
	Date    string // of the commit, RFC 3339
}

// OrBuildInfo returns b with empty fields filled from the information that Go adds to
// every binary: go install adds the version of the module, go build in a git work tree
// adds the commit.
func (b Build) OrBuildInfo() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		b.Version = cmp.Or(b.Version, "dev")
		return b
	}
	return b.or(info)
}

// or fills in empty fields from build information.
func (b Build) or(info *debug.BuildInfo) Build {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := settings["vcs.revision"]
	if settings["vcs.modified"] == "true" {
		commit += "-dirty"
	}
	version := info.Main.Version
	if version == "(devel)" {
		version = ""
	}
	return Build{
		Version: cmp.Or(b.Version, strings.TrimPrefix(version, "v"), "dev"),
		Commit:  cmp.Or(b.Commit, commit),
		Date:    cmp.Or(b.Date, settings["vcs.time"]),
	}
}

// commitDigits is the number of digits of a commit in a line. It then fits 80 columns.
const commitDigits = 12

// String returns the line that cip version prints.
func (b Build) String() string {
	commit, dirty, _ := strings.Cut(b.Commit, "-")
	commit = commit[:min(len(commit), commitDigits)]
	if dirty != "" {
		commit += "-" + dirty
	}
	return strings.Join(strings.Fields(strings.Join([]string{b.Version, commit, b.Date, runtime.Version(), Platform()}, " ")), " ")
}

// Platform returns operating system and architecture, such as linux/amd64.
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
