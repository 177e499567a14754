package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// retagOptions are the flags of cip retag.
type retagOptions struct {
	promotionOptions
	files    []string
	ifExists string
	repush   []string
}

func newRetagCmd(s streams) *cobra.Command {
	o := &retagOptions{}
	cmd := &cobra.Command{
		Use:         "retag -f FILE...",
		Annotations: exits(changesMeaning, retryMeaning),
		Short:       "Add the tags in native StarlingX files, in place",
		Long: `retag reads native StarlingX files. An entry has the full name of a repository,
an existing tag (src_build_tag) and the new tag for the same image. No blob is
copied, and digests never change. All documents of all files are one set;
entries that contradict each other are refused. By default nothing is written
(dry run).

A tag that already points to another image is a conflict. --if-exists=skip keeps
such tags, --if-exists=overwrite moves them, and --repush=NAME moves them in
repositories whose last path element is NAME. If an entry is refused or fails,
the others are still done and the exit code is 1.`,
		Example: `  cip retag -f image-tags.yaml
  cip retag -f image-tags-bullseye.yaml -f image-tags-trixie.yaml --repush=rvmc,dex --confirm`,
		RunE: o.withLog(s, o.run),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *retagOptions) addFlags(f *pflag.FlagSet) {
	f.StringSliceVarP(&o.files, "file", "f", nil, "native StarlingX `files`; arguments are files, too")
	f.StringVar(&o.ifExists, "if-exists", "error", "`action` if a tag points to another image: error, skip or overwrite")
	f.StringSliceVar(&o.repush, "repush", nil, "overwrite the tags of repositories whose last path element is one of these `names`")
	o.promotionOptions.addFlags(f)
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "dryrun" { // the spelling of retag-images.sh, which this command replaces
			name = "dry-run"
		}
		return pflag.NormalizedName(name)
	})
}

// run carries out cip retag.
func (o *retagOptions) run(ctx context.Context, s *session, args []string) error {
	files := append(slices.Clone(o.files), args...)
	if len(files) == 0 || slices.Contains(files, "") {
		return errors.New("no file: want -f FILE")
	}
	rule, err := o.rule()
	if err != nil {
		return err
	}
	p := &promotion{
		promotionOptions: &o.promotionOptions, session: s, paths: files,
		load: func() (*manifest.Set, error) { return o.load(files) },
	}
	p.job.IfExists = rule
	return p.start(ctx)
}

// rule returns the treatment of existing tags, for each repository.
func (o *retagOptions) rule() (func(name.Repository) plan.IfExists, error) {
	answers := map[string]plan.IfExists{"error": plan.Refuse, "skip": plan.Leave, "overwrite": plan.Overwrite}
	answer, ok := answers[o.ifExists]
	if !ok {
		return nil, fmt.Errorf("bad --if-exists %q: want error, skip or overwrite", o.ifExists)
	}
	return func(repo name.Repository) plan.IfExists {
		if slices.Contains(o.repush, path.Base(repo.RepositoryStr())) {
			return plan.Overwrite
		}
		return answer
	}, nil
}

// load reads all files as one set. A name in --repush that no entry has is an error:
// a tag that should have moved would silently stay.
func (o *retagOptions) load(files []string) (*manifest.Set, error) {
	set := load.Native(files)
	names := load.LastElements(set)
	for _, name := range o.repush {
		if _, ok := names[name]; !ok && !set.Broken() {
			return nil, fmt.Errorf("--repush %q: no entry has a repository of that name", name)
		}
	}
	return set, nil
}
