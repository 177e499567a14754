package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// versionInfo is what cip version tells.
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
			v := versionInfo{version, commit, date, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if asJSON {
				return output.WriteJSON(s.out, v)
			}
			fields := strings.Fields(strings.Join([]string{"cip", v.Version, v.Commit, v.Date, v.Go, v.Platform}, " "))
			_, err := fmt.Fprintln(s.out, strings.Join(fields, " "))
			return err
		},
	}
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print JSON")
	return cmd
}
