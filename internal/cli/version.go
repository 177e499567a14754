package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// Build says what a binary was built from.
type Build struct {
	Version string // a release, or "dev"
	Commit  string // git commit, with "-dirty" where the work tree differed
	Date    string // of the commit, RFC 3339
}

// orBuildInfo fills in what the linker did not set from the information that Go
// adds to every binary: go install adds the module's version, go build in a git
// work tree adds the commit.
func (b Build) orBuildInfo() Build {
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

// String returns the line that cip version prints.
func (b Build) String() string {
	return strings.Join(strings.Fields(strings.Join([]string{b.Version, b.Commit, b.Date, runtime.Version(), platform()}, " ")), " ")
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// versionInfo is the JSON form of cip version.
type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCmd(s streams) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Args:    cobra.NoArgs,
		Example: "  cip version --json",
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return output.WriteJSON(s.out, versionInfo{s.build.Version, s.build.Commit, s.build.Date, runtime.Version(), platform()})
			}
			_, err := fmt.Fprintln(s.out, "cip", s.build)
			return err
		},
	}
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print JSON")
	return cmd
}

// setVersion makes --version print what the version command prints.
func setVersion(root *cobra.Command, s streams) {
	root.Version = s.build.String()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
}
