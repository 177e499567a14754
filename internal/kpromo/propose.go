package kpromo

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// Where the manifests of Kubernetes are.
const (
	kubernetesRepository = "https://github.com/kubernetes/k8s.io"
	kubernetesManifests  = "registry.k8s.io"
)

// proposeFlags are the flags of kpromo pr.
var proposeFlags = []flag{
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

// Proposal is what no flag of cip pr says.
type Proposal struct {
	Body string // text of the pull request
	Ask  bool   // before the push

	fork string // address
}

// Clone makes an empty clone of the repository of Kubernetes in a directory. It returns
// the directory of the manifests in it.
func (p *Proposal) Clone(dir string) (string, error) {
	at := filepath.Join(dir, kubernetesManifests)
	if err := git.Init(dir, [][2]string{{"origin", kubernetesRepository}, {"userfork", p.fork}}); err != nil {
		return "", err
	}
	return at, os.Mkdir(at, 0o700)
}

func proposeCommand() Command {
	return Command{
		Use:   "pr",
		Short: "Open a pull request of kubernetes/k8s.io that promotes tags (cip pr)",
		Long: `kpromo pr is cip pr for kubernetes/k8s.io, of which it needs no clone: it adds the
tags of the project's staging registry to its list of images, pushes a branch to
the fork, and opens a pull request. GITHUB_TOKEN is required.`,
		Example:   "  cip kpromo pr --fork=ORG --tag=v1.34.1 --interactive",
		flags:     proposeFlags,
		translate: (*translation).propose,
	}
}

// forkRE matches ORG and ORG/REPO.
var forkRE = regexp.MustCompile(`^([A-Za-z0-9-]+)(?:/([A-Za-z0-9.-]+))?$`)

// propose translates the flags of kpromo pr into those of cip pr.
func (t *translation) propose() error {
	tags, project, fork := t.list("tag"), t.text("project"), t.text("fork")
	issue, err := url.Parse(t.text("issue"))
	switch {
	case len(tags) == 0 || slices.Contains(tags, ""):
		return errors.New("--tag is required")
	case slices.Contains(tags, "latest"):
		return errors.New("--tag=latest: kpromo does not promote the tag latest")
	case !forkRE.MatchString(fork):
		return fmt.Errorf("bad --fork %q: want ORG or ORG/REPO", fork)
	case t.text("issue") != "" && (err != nil || issue.Scheme != "https" && issue.Scheme != "http" || issue.Host != "github.com"):
		return fmt.Errorf("bad --issue %q: want a URL of github.com", t.text("issue"))
	}
	if !strings.Contains(fork, "/") {
		fork += "/k8s.io"
	}
	title := "Image promotion for " + project + " " + strings.Join(tags, " / ")
	t.line.Proposal = &Proposal{Body: t.body(title), Ask: t.on("interactive"), fork: "https://github.com/" + fork}
	if t.on("use-ssh") {
		t.line.Proposal.fork = "git@github.com:" + fork + ".git"
	}
	if project == "kubernetes" {
		title = "releng: " + title
	}
	t.add(cmp.Or(t.text("staging-repo"), "gcr.io/k8s-staging-"+project), "--all")
	t.set("thin-manifest-dir", kubernetesManifests)
	t.pass("tag", "image")
	for _, digest := range t.list("digests") {
		t.set("digest", digest)
	}
	t.set("fork", fork)
	t.set("base-branch", "main")
	t.set("branch", project+"-"+tags[0]+"-image-promotion")
	t.set("title", title)
	t.set("forge", "github")
	t.add("--sign-off", "--confirm")
	return nil
}

// body returns the text of the pull request.
func (t *translation) body(line string) string {
	words := []string{Name, "pr", "--fork", t.text("fork")}
	for _, name := range []string{"interactive", "project", "staging-repo", "reviewers", "issue"} {
		switch f := t.Flags.Lookup(name); {
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
