package kpromo

import (
	"fmt"
	"runtime"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
)

// Version is what kpromo version prints.
type Version struct {
	Version   string `json:"gitVersion"`
	Commit    string `json:"gitCommit"`
	TreeState string `json:"gitTreeState"`
	Date      string `json:"buildDate"`
	Go        string `json:"goVersion"`
	Compiler  string `json:"compiler"`
	Platform  string `json:"platform"`
}

// VersionOf returns the version of a build.
func VersionOf(b version.Build) Version {
	commit, _, dirty := strings.Cut(b.Commit, "-dirty")
	state := "clean"
	if dirty {
		state = "dirty"
	}
	return Version{releaseOf(b), commit, state, b.Date, runtime.Version(), runtime.Compiler, version.Platform()}
}

// String returns the version in lines.
func (v Version) String() string {
	return fmt.Sprintf("cip, under the name kpromo\n\nGitVersion:    %s\nGitCommit:     %s\nGitTreeState:  %s\nBuildDate:     %s\nGoVersion:     %s\nCompiler:      %s\nPlatform:      %s",
		v.Version, v.Commit, v.TreeState, v.Date, v.Go, v.Compiler, v.Platform)
}

// releaseOf returns the version of a build as git tags have it: v1.2.3.
func releaseOf(b version.Build) string {
	if b.Version != "" && '0' <= b.Version[0] && b.Version[0] <= '9' {
		return "v" + b.Version
	}
	return b.Version
}

// builderOf returns the builder of promotion records of Kubernetes.
func builderOf(b version.Build) string { return "https://k8s.io/promo-tools@" + releaseOf(b) }
