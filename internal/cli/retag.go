package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
		Annotations: exits(changesMeaning),
		Short:       "Put the tags that native StarlingX files want, in place",
		Long: `retag reads native StarlingX files, whose entries each name a repository in full, a
tag that is there (src_build_tag) and the tag that is to point to the same image. No
image is copied and no blob moves: an index stays an index, and every digest stays
what it is. All documents of all files are one set: what they contradict each other
in is refused. Dry run is the default: nothing is written without --confirm.

A tag that points to another image already is a conflict; --if-exists=skip is content
that it exists, --if-exists=overwrite moves it, and --repush=NAME moves it for the
repositories whose last path element is NAME. An entry that is refused or fails stops
only itself, and the exit code is 1.`,
		Example: `  cip retag -f image-tags.yaml
  cip retag -f image-tags-bullseye.yaml -f image-tags-trixie.yaml --repush=rvmc,dex --confirm`,
		RunE: func(cmd *cobra.Command, args []string) error { return runRetag(cmd.Context(), o, s, args) },
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *retagOptions) addFlags(f *pflag.FlagSet) {
	f.StringSliceVarP(&o.files, "file", "f", nil, "native StarlingX `files`; more may follow as arguments")
	f.StringVar(&o.ifExists, "if-exists", "error", "when a tag points to another image: error, skip or overwrite")
	f.StringSliceVar(&o.repush, "repush", nil, "overwrite the tags of repositories whose last path element is one of these `names`")
	o.promotionOptions.addFlags(f)
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "dryrun" { // as the script is called that this command stands for
			name = "dry-run"
		}
		return pflag.NormalizedName(name)
	})
}

// runRetag carries out cip retag.
func runRetag(ctx context.Context, o *retagOptions, s streams, args []string) error {
	files := append(slices.Clone(o.files), args...)
	if len(files) == 0 || slices.Contains(files, "") {
		return errors.New("no file: want -f FILE")
	}
	rule, err := o.rule()
	if err != nil {
		return err
	}
	p := &promotion{
		promotionOptions: &o.promotionOptions, streams: s, paths: files,
		load: func() (*manifest.Set, error) { return o.load(files) },
	}
	p.job.IfExists = rule
	return p.start(ctx)
}

// rule returns what becomes of tags that exist.
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

// load reads all files as one set. A name given to --repush that is in none of them
// is an error: what was to move would not.
func (o *retagOptions) load(files []string) (*manifest.Set, error) {
	sets := make([]*manifest.Set, len(files))
	for i, file := range files {
		sets[i] = native(file)
	}
	set := manifest.Join(sets...)
	names := map[string]struct{}{}
	for _, m := range set.Manifests {
		for i := range m.Images {
			names[path.Base(m.Images[i].Name)] = struct{}{}
		}
		for _, r := range m.Refused {
			names[path.Base(r.Name)] = struct{}{}
		}
	}
	for _, name := range o.repush {
		if _, ok := names[name]; !ok && !set.Broken() {
			return nil, fmt.Errorf("--repush %q: no entry has a repository of that name", name)
		}
	}
	return set, nil
}

// native reads one native file.
func native(file string) *manifest.Set {
	in := openTree(filepath.Dir(file), file)
	defer in.Close()
	return manifest.Native(in, filepath.Base(file), file)
}
