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
	asJSON := false
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Args:    noArgs,
		Example: "  cip version --json",
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return output.WriteJSON(s.out, versionInfo{s.build.Version, s.build.Commit, s.build.Date, runtime.Version(), version.Platform()})
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
