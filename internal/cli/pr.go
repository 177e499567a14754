package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/add"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/propose"
)

// prOptions are the flags of cip pr.
type prOptions struct {
	additionOptions
	confirmOptions
	resolve, signOff, draft bool
	only                    []string
	branch, baseBranch      string
	remote, fork, forge     string
	title, body             string
	custom                  *customProposal // nil: the usual one
}

// customProposal are parts of a proposal that no flag sets. It is an error if the branch
// exists, except for a pull request that could not be opened.
type customProposal struct {
	body string // text of the pull request, without the plan
	ask  bool   // before the push
}

func (o *prOptions) addFlags(f *pflag.FlagSet) {
	o.additionOptions.addFlags(f)
	o.confirmOptions.addFlags(f)
	f.BoolVar(&o.resolve, "resolve", false, "propose what cip resolve --write changes, instead of adding images")
	f.StringSliceVar(&o.only, "only", nil, "with --resolve: only the selectors with these `names`")
	f.StringVar(&o.branch, "branch", "", "`name` of the new branch; a number is appended if it is in use (default cip/IMAGE-TAG)")
	f.StringVar(&o.baseBranch, "base-branch", "", "`branch` that the pull request is for (default: the remote's own)")
	f.StringVar(&o.remote, "remote", "origin", "`remote` of the clone, or URL, of the repository that the pull request is for")
	f.StringVar(&o.fork, "fork", "", "push the branch to this fork: `OWNER` or OWNER/REPOSITORY")
	f.StringVar(&o.forge, "forge", "", "`service` that has the pull requests: github, gitlab or none (default: as the remote's host says)")
	f.StringVar(&o.title, "title", "", "`title` of the pull request and the commit")
	f.StringVar(&o.body, "body", "", "`text` of the pull request before the plan, such as a link to an issue")
	f.BoolVar(&o.signOff, "sign-off", false, "add Signed-off-by to the commit's message")
	f.BoolVar(&o.draft, "draft", false, "open the pull request as a draft")
}

func newPRCmd(o *prOptions, s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:         "pr IMAGE[:TAG][@DIGEST]...",
		Annotations: exits(),
		Short:       "Open a pull request that adds images to the manifests",
		Long: `pr does what cip add does, or cip resolve with --resolve, but on a new branch: it
fetches the branch that the pull request is for, changes the manifests as they
are there, commits, pushes and opens a pull request. Its text has the plan as cip
check prints it. Clone, work tree and index stay as they are. A dry run, the
default, prints branch, change and text.

If the branch has everything already, there is nothing to do. A pull request that
is open for the same change is printed, and a branch that has it is used again. A
closed one is not opened again: the new branch gets a number.

GITHUB_TOKEN opens pull requests at GitHub, and pushes if the remote is https and
has no login of its own. GITHUB_API_URL names another server than github.com, and
GITHUB_REPOSITORY the repository if the remote does not. GitLab opens a merge
request because of the push. Elsewhere the branch is pushed, and that is all.`,
		Example: `  cip pr cluster-autoscaler:v1.34.1 --thin-manifest-dir=registry.k8s.io --confirm
  cip pr apple:1.1 --manifest=promote.yaml --remote=upstream --fork=me --sign-off
  cip pr --resolve --thin-manifest-dir=manifests --draft --confirm`,
		RunE: o.withLog(s, o.run),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// proposing is one run of cip pr.
type proposing struct {
	*prOptions
	*session
	at     load.Manifests
	where  string // at, from the root of the repository
	work   *propose.Work
	base   *load.Revision // at, in the base branch
	failed bool           // some selectors could not be resolved
}

// run carries out cip pr.
func (o *prOptions) run(ctx context.Context, s *session, args []string) error {
	p := &proposing{prOptions: o, session: s}
	dry, err := o.dry()
	if err != nil {
		return err
	}
	if p.at, err = o.location(); err != nil {
		return err
	}
	request, err := p.asked(args)
	if err != nil {
		return err
	}
	if err := p.begin(ctx, dry); err != nil {
		return err
	}
	defer p.work.Draft.Close()
	files, promoted, err := p.change(ctx, request)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		p.log.Infof("nothing to propose: branch %s has everything already", p.work.Draft.Branch)
		return failIf(p.failed)
	}
	proposal, err := p.proposal(ctx, files, promoted)
	if err != nil {
		return err
	}
	plan, err := p.work.Plan(ctx, proposal)
	if err != nil {
		return err
	}
	if p.custom != nil && (plan.URL != "" || plan.Branch != proposal.Branch) {
		return fmt.Errorf("branch %s of %s exists already", proposal.Branch, p.work.Push.Pushed())
	}
	if dry {
		err = p.show(plan)
		p.log.Info("dry run: nothing was pushed; " + p.work.Preview(plan))
	} else {
		err = p.openIfWanted(ctx, plan)
	}
	return errors.Join(err, failIf(p.failed))
}

// openIfWanted asks whether to open the pull request, if somebody is to be asked.
func (p *proposing) openIfWanted(ctx context.Context, plan *propose.Plan) error {
	if p.custom != nil && p.custom.ask {
		if err := p.show(plan); err != nil {
			return err
		}
		if !p.confirmed("Push the branch and open the pull request?") {
			p.log.Info("nothing was pushed")
			return nil
		}
	}
	return p.open(ctx, plan)
}

// confirmed asks a question on stderr, and reports whether the answer on standard input is yes.
func (s streams) confirmed(question string) bool {
	fmt.Fprintf(s.err, "%s (y/N) ", question)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n') // no answer is no
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer)))
}

// asked returns what to add. With --resolve, nothing may be named.
func (p *proposing) asked(args []string) (add.Request, error) {
	request, err := p.request(args)
	named := len(args)+len(p.tags)+len(p.images)+len(p.digests) > 0 || p.all || p.filter != "" || p.snapshot != ""
	switch {
	case p.resolve && named:
		return request, errors.New("--resolve takes no images: the selectors name them")
	case !p.resolve && len(p.only) > 0:
		return request, errors.New("--only requires --resolve")
	case p.title != "" && (strings.TrimSpace(p.title) == "" || strings.ContainsAny(p.title, "\r\n")):
		return request, fmt.Errorf("bad --title %q: want one line", p.title)
	}
	return request, err
}

// begin fetches the base branch and opens the manifests in it. The caller must close the draft.
func (p *proposing) begin(ctx context.Context, dry bool) error {
	repo, err := git.Open(p.at.Path())
	if err != nil {
		return err
	}
	if p.where, err = repo.Named(p.at.Path()); err != nil {
		return err
	}
	program, err := git.NewProgram(ctx, git.Setup{Clone: p.at.Root(), Env: os.Environ()})
	if err != nil {
		return err
	}
	from, err := program.Remote(p.remote)
	if err != nil {
		return err
	}
	p.work = &propose.Work{Push: from}
	if p.fork != "" {
		if p.work.Push, err = propose.ForkOf(from, p.fork, program.Remotes()); err != nil {
			return err
		}
	}
	var login *git.Login
	p.work.Forge, login, err = propose.NewForge(propose.Place{
		Kind: p.forge, Base: from, Push: p.work.Push, UserAgent: "cip/" + p.build.Version, Write: !dry, Getenv: p.getenv,
	})
	if err != nil {
		return err
	}
	if login != nil {
		program.Use(*login)
	}
	if p.work.Draft, err = program.NewDraft(ctx, from, p.baseBranch); err != nil {
		return err
	}
	p.base, err = p.at.In(p.work.Draft.Repository, p.work.Draft.Base, p.where)
	if err == nil && p.base.Lacks() != "" {
		err = fmt.Errorf("branch %s of %s has no %s: its manifests are not where those of the clone are", p.work.Draft.Branch, from, p.base.Lacks())
	}
	if err != nil {
		return errors.Join(err, p.work.Draft.Close())
	}
	return nil
}

// change returns the changes of files in the repository, and what they promote.
func (p *proposing) change(ctx context.Context, request add.Request) (files []git.FileChange, promoted []output.Promoted, err error) {
	if p.resolve {
		return p.resolved(ctx)
	}
	changes, err := p.compute(ctx, add.Files{FS: p.base.Files, Name: p.base.Name(), Display: p.at.Path()}, request, p.session)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		files = append(files, git.FileChange{Path: path.Join(p.base.Dir, c.Path), Before: c.Old, After: c.New})
		for _, a := range c.Added {
			promoted = append(promoted, output.Promoted{Image: a.Image, Digest: a.Digest.String(), Tags: slices.Clone(a.Tags)})
		}
	}
	return files, promoted, nil
}

// show prints what a real run would do.
func (p *proposing) show(plan *propose.Plan) error {
	from := p.work.Draft.Branch + " of " + p.remote + ", at " + p.work.Draft.Base
	return output.WriteProposal(p.out, plan, from, p.color())
}

// open pushes the branch, opens the pull request and prints its URL.
func (p *proposing) open(ctx context.Context, plan *propose.Plan) error {
	done, err := p.work.Open(ctx, plan)
	for _, line := range lines(done.Said) {
		p.log.Infof("%s: %s", p.work.Push.Pushed(), line)
	}
	if err != nil {
		return err
	}
	switch {
	case plan.URL != "":
		p.log.Infof("the pull request of branch %s is open already", plan.Branch)
	case done.Pushed:
		p.log.Infof("pushed branch %s to %s", plan.Branch, p.work.Push.Pushed())
	default:
		p.log.Infof("branch %s of %s has this change already", plan.Branch, p.work.Push.Pushed())
	}
	if done.URL == "" {
		p.log.Info(done.Note)
		return nil
	}
	_, err = fmt.Fprintln(p.out, output.Escape(done.URL))
	return err
}
