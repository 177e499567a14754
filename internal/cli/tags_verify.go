package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// tagsVerifyOptions are the flags of cip tags verify.
type tagsVerifyOptions struct {
	imageTagsOptions
	registryOptions
}

func newTagsVerifyCmd(s streams) *cobra.Command {
	o := &tagsVerifyOptions{}
	cmd := &cobra.Command{
		Use:         "verify [REPOSITORY[,LABEL=VALUE]…]",
		Annotations: exits(),
		Short:       "Check that every tag of an image tags file has one image",
		Long: `verify checks that every tag of an image tags file leads to labels: aliases have
no cycles and no missing targets. This sends no request. With REPOSITORY, it
also checks that exactly one image there has the labels of each tag and the
given labels. All faults are reported with their position in the file.`,
		Example: `  cip tags verify --image-tags=app.json
  cip tags verify --image-tags=app.json registry.example.com/app,os=linux,arch=amd64`,
		Args: countArgs(0, 1),
		RunE: o.withLog(s, o.run),
	}
	f := cmd.Flags()
	o.imageTagsOptions.addFlags(f)
	o.registryOptions.addFlags(f)
	return cmd
}

// run carries out cip tags verify.
func (o *tagsVerifyOptions) run(ctx context.Context, s *session, args []string) (err error) {
	var ref resolve.Reference
	if len(args) > 0 {
		if ref, err = resolve.ParseReference(args[0]); err != nil {
			return err
		}
		if ref.Tag != "" {
			return errors.New("verify checks every tag: name the repository without one")
		}
	}
	tags, err := o.load(s, true)
	if err != nil {
		return err
	}
	v := resolve.VerifyChains(tags)
	if len(args) > 0 {
		client, err := o.client(s, nil)
		if err != nil {
			return err
		}
		defer client.Close()
		s.progress.Start("looking for images", len(v.Ends))
		err = v.VerifyImages(ctx, lookup.NewRegistry(client), ref, s.progress.Step)
		s.progress.Finish()
		if err != nil {
			return err
		}
	}
	s.logFaults(v.Faults)
	if _, err := fmt.Fprintln(s.out, v.Summary()); err != nil {
		return err
	}
	return failIf(len(v.Faults) > 0)
}
