package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/internal/schema"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

func newSchemaCmd(s streams) *cobra.Command {
	var kinds strings.Builder
	for _, k := range schema.Kinds() {
		fmt.Fprintf(&kinds, "  %-11s %s\n", k.Name, k.About)
	}
	return &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Print the JSON Schema of a kind of file, for editors",
		Long: `schema prints a JSON Schema (draft 07). Editors use it to complete keys and to
mark mistakes. Without KIND, the schema accepts every kind of manifest (plain,
thin, images, native, sources). With KIND, messages of the editor are clearer:

` + kinds.String() + `
Editors with the YAML language server read the schema's name from the first
line of a file:

  # yaml-language-server: $schema=FILE`,
		Example: `  cip schema images > images.schema.json
  cip schema > cip.schema.json`,
		Args:      countArgs(0, 1),
		ValidArgs: schema.Names(),
		RunE: func(_ *cobra.Command, args []string) error {
			found, err := schema.Of(strings.Join(args, ""))
			if err != nil {
				return err
			}
			return output.WriteJSON(s.out, found)
		},
	}
}
