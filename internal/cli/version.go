package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// versionInfo is the JSON form of cip version.
type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCmd(s streams) *cobra.Command {
	info := versionInfo{s.build.Version, s.build.Commit, s.build.Date, runtime.Version(), version.Platform()}
	return printsVersion(s, "j", "cip "+s.build.String(), info, &cobra.Command{Short: "Print the version", Example: "  cip version --json"})
}

// printsVersion makes a command print a version as text, or with --json as JSON.
func printsVersion(s streams, letter, text string, info any, cmd *cobra.Command) *cobra.Command {
	cmd.Use, cmd.Args = "version", noArgs
	asJSON := cmd.Flags().BoolP("json", letter, false, "print JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *asJSON {
			return output.WriteJSON(s.out, info)
		}
		_, err := fmt.Fprintln(s.out, text)
		return err
	}
	return cmd
}

// setVersion makes --version print what the version command prints.
func setVersion(root *cobra.Command, s streams) {
	root.Version = s.build.String()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
}
