package cli

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// Where the manifests of Kubernetes are.
const (
	kubernetesRepository = "https://github.com/kubernetes/k8s.io"
	kubernetesManifests  = "registry.k8s.io"
)

// pullRequestFlags are the flags of kpromo pr.
var pullRequestFlags = []kpromoFlag{
	{"tag", []string(nil), special, "promote the images with these `tags`; required, may be repeated"},
	{"fork", "", special, "push to this fork of kubernetes/k8s.io: `ORG` or ORG/REPO; required"},
	{"project", "kubernetes", special, "`name` of the project"},
	{"staging-repo", "", special, "staging `registry` of the project (default gcr.io/k8s-staging-PROJECT)"},
	{"image", []string(nil), special, "promote only the images with these `names`; may be repeated"},
	{"digests", []string(nil), special, "promote only these `digests`"},
	{"reviewers", "@kubernetes/release-engineering", special, "`handles` of reviewers"},
	{"issue", "", special, "`URL` of the issue on GitHub"},
	{"interactive", false, special, "print the change, and ask before it is pushed"},
	{"use-ssh", true, special, "push to the fork with SSH"},
	{"update-repo", true, ignored, ""},
}

func newKpromoPRCmd(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pr",
		Short: "Open a pull request of kubernetes/k8s.io that promotes tags (cip pr)",
		Long: `kpromo pr is cip pr for kubernetes/k8s.io, of which it needs no clone: it adds the
tags of the project's staging registry to its list of images, pushes a branch to
the fork, and opens a pull request. GITHUB_TOKEN is required.`,
		Example:     "  cip kpromo pr --fork=ORG --tag=v1.34.1 --interactive",
		Annotations: exits(),
		Args:        noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, custom, err := translatePR(cmd.Flags())
			if err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "cip-kpromo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			err = git.Init(dir, [][2]string{{"origin", kubernetesRepository}, {"userfork", t.forkURL()}})
			if err == nil {
				err = os.Mkdir(filepath.Join(dir, kubernetesManifests), 0o700)
			}
			if err != nil {
				return err
			}
			t.in = dir
			if t.on("interactive") {
				custom.ask = s.ask
			}
			return t.instead(cmd.Context(), newPRCmd(&prOptions{custom: custom}, s), s)
		},
	}
	addFlags(cmd.Flags(), pullRequestFlags)
	return cmd
}

// ask asks a question on stderr, and reports whether the answer on standard input is yes.
func (s streams) ask(question string) bool {
	fmt.Fprintf(s.err, "%s (y/N) ", question)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n') // no answer is no
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer)))
}

// forkRE matches ORG and ORG/REPO.
var forkRE = regexp.MustCompile(`^([A-Za-z0-9-]+)(?:/([A-Za-z0-9.-]+))?$`)

// fork returns OWNER/REPOSITORY of the fork.
func (t *translation) fork() string {
	if fork := t.text("fork"); strings.Contains(fork, "/") {
		return fork
	}
	return t.text("fork") + "/k8s.io"
}

// forkURL returns the address of the fork.
func (t *translation) forkURL() string {
	if t.on("use-ssh") {
		return "git@github.com:" + t.fork() + ".git"
	}
	return "https://github.com/" + t.fork()
}

// translatePR translates the flags of kpromo pr into those of cip pr.
func translatePR(from *pflag.FlagSet) (*translation, customProposal, error) {
	custom := customProposal{fresh: true}
	t, err := newTranslation(from, pullRequestFlags)
	if err != nil {
		return nil, custom, err
	}
	tags := t.list("tag")
	issue, err := url.Parse(t.text("issue"))
	switch {
	case len(tags) == 0 || slices.Contains(tags, ""):
		return nil, custom, errors.New("--tag is required")
	case slices.Contains(tags, "latest"):
		return nil, custom, errors.New("--tag=latest: kpromo does not promote the tag latest")
	case !forkRE.MatchString(t.text("fork")):
		return nil, custom, fmt.Errorf("bad --fork %q: want ORG or ORG/REPO", t.text("fork"))
	case t.text("issue") != "" && (err != nil || issue.Scheme != "https" && issue.Scheme != "http" || issue.Host != "github.com"):
		return nil, custom, fmt.Errorf("bad --issue %q: want a URL of github.com", t.text("issue"))
	}
	staging := t.text("staging-repo")
	if staging == "" {
		staging = "gcr.io/k8s-staging-" + t.text("project")
	}
	t.args = append(t.args, staging, "--all")
	t.add("thin-manifest-dir", kubernetesManifests)
	t.pass("tag", "image")
	for _, digest := range t.list("digests") {
		t.add("digest", digest)
	}
	line := "Image promotion for " + t.text("project") + " " + strings.Join(tags, " / ")
	title := line
	if t.text("project") == "kubernetes" {
		title = "releng: " + line
	}
	t.add("fork", t.fork())
	t.add("base-branch", "main")
	t.add("branch", t.text("project")+"-"+tags[0]+"-image-promotion")
	t.add("title", title)
	t.add("forge", "github")
	t.args = append(t.args, "--sign-off", "--confirm")
	custom.body = t.body(line)
	return t, custom, nil
}

// body returns the text of the pull request.
func (t *translation) body(line string) string {
	words := []string{"kpromo", "pr", "--fork", t.text("fork")}
	for _, name := range []string{"interactive", "project", "staging-repo", "reviewers", "issue"} {
		switch f := t.from.Lookup(name); {
		case f.Value.String() == f.DefValue:
		case f.Value.Type() == "bool":
			words = append(words, "--"+name)
		default:
			words = append(words, "--"+name, f.Value.String())
		}
	}
	for _, name := range []string{"tag", "image"} {
		for _, value := range t.list(name) {
			words = append(words, "--"+name, value)
		}
	}
	xref := ""
	if issue := t.text("issue"); issue != "" {
		xref = "\nxref: " + issue + "\n\n"
	}
	return line + "\n" + xref + "This pull request was made by `kpromo`.\n```\n" + shellquote.Join(words...) + "\n```\n\n/hold\ncc: " + t.text("reviewers") + "\n"
}

// inside returns arguments with the directory of the manifests in another one.
func inside(dir string, args []string) []string {
	const flag = "--thin-manifest-dir="
	all := slices.Clone(args)
	for i, arg := range all {
		if name, ok := strings.CutPrefix(arg, flag); ok && dir != "" {
			all[i] = flag + filepath.Join(dir, name)
		}
	}
	return all
}
