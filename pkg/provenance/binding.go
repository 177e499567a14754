package provenance

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	github       = "https://github.com/"
	generators   = github + "slsa-framework/slsa-github-generator/" + workflowsDir
	googleIssuer = "https://accounts.google.com"
)

// delegators are the workflows that sign for builders which are called by them.
var delegators = []string{generators + "delegator_generic_slsa3.yml", generators + "delegator_lowperms-generic_slsa3.yml"}

var (
	commitRE  = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)
	releaseRE = regexp.MustCompile(`^refs/tags/v(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)$`)
)

// Matches reports whether the signer is the one of an identity. Keys are never.
func (s Signer) Matches(id Identity) bool {
	return id.Key == "" && id.SAN != "" && id.Issuer != "" && s.Issuer.Matches(id.Issuer) && s.Identity.Matches(id.SAN)
}

// matching returns the specifications of the policy's signers that match an identity.
func (p *Policy) matching(id Identity) []string {
	var specs []string
	for _, s := range p.Signers {
		if s.Matches(id) {
			specs = append(specs, s.Spec)
		}
	}
	return specs
}

// bindingFault says why the signer may not name the builder of a build from a source, or "".
func (b build) bindingFault(id Identity, source string) string {
	workflow, ref, _ := strings.Cut(id.SAN, "@")
	if strings.HasPrefix(strings.ToLower(workflow), generators) && !releaseRE.MatchString(ref) {
		return fmt.Sprintf("it is signed by %s, want a release of the generators, @refs/tags/vX.Y.Z", quote(id.SAN))
	}
	if slices.Contains(delegators, workflow) {
		return repositoryFault(id, source)
	}
	if !onGitHub(b.builder) {
		return ""
	}
	if id.Issuer == googleIssuer {
		return fmt.Sprintf("it names the builder %s, and is signed by the Google account %s, want the workflow", quote(b.builder), quote(id.SAN))
	}
	builder, at, _ := strings.Cut(b.builder, "@")
	named := strings.HasPrefix(ref, "refs/")
	sameRef := at == ref && (named || commitRE.MatchString(ref)) || named && commitRE.MatchString(at)
	if !strings.HasPrefix(workflow, github) || builder != workflow || !sameRef {
		return fmt.Sprintf("it names the builder %s, and is signed by %s, want the same workflow", quote(b.builder), quote(id.SAN))
	}
	return repositoryFault(id, source)
}

// onGitHub reports whether a builder is below https://github.com/, in any spelling of it.
func onGitHub(builder string) bool {
	_, rest, ok := strings.Cut(builder, "://")
	if !ok {
		rest = builder
	}
	host, _, _ := strings.Cut(rest, "/")
	return strings.EqualFold(host, "github.com")
}

// repositoryFault says that the certificate is of another source repository, or "".
func repositoryFault(id Identity, source string) string {
	if id.SourceRepository == "" || sameSource(source, id.SourceRepository) {
		return ""
	}
	return fmt.Sprintf("its certificate is for the source %s, want %s", quote(id.SourceRepository), quote(source))
}

// callerFault says why the workflow that called the builder is not accepted, or "".
func (b build) callerFault(c *Caller, id Identity, sources []string) string {
	w, ok := parseWorkflow(id.BuildConfig)
	switch {
	case !ok:
		return fmt.Sprintf("its certificate names the build config %s, want a workflow of GitHub", quote(id.BuildConfig))
	case !slices.ContainsFunc(sources, func(s string) bool { return sameSource(s, w.repository) }):
		return fmt.Sprintf("its certificate names a build config of %s, want %s", quote(w.repository), list(sources))
	case id.SourceRepository != "" && !sameSource(w.repository, id.SourceRepository):
		return fmt.Sprintf("its certificate is for the source %s, and its build config for %s, want the same", quote(id.SourceRepository), quote(w.repository))
	case len(c.Workflows) > 0 && !slices.Contains(c.Workflows, w.path):
		return fmt.Sprintf("it was called by the workflow %s, want %s", quote(w.path), list(c.Workflows))
	case !slices.ContainsFunc(c.Refs, func(pattern string) bool { ok, err := path.Match(pattern, w.ref); return ok && err == nil }):
		return fmt.Sprintf("it was called at %s, want %s", quote(w.ref), list(c.Refs))
	case !sameSource(w.repository, b.workflow.repository) || w.path != b.workflow.path || w.ref != b.workflow.ref:
		return fmt.Sprintf("it names the workflow %s of %s at %s, want the build config of its certificate, %s",
			quote(b.workflow.path), quote(b.workflow.repository), quote(b.workflow.ref), quote(id.BuildConfig))
	}
	return ""
}

// parseWorkflow parses a build config URI: https://github.com/ORG/REPO/.github/workflows/FILE@REF.
func parseWorkflow(uri string) (workflowAt, bool) {
	rest, ok := strings.CutPrefix(uri, github)
	name, ref, ok2 := strings.Cut(rest, "@")
	parts := strings.SplitN(name, "/", 3)
	if !ok || !ok2 || len(parts) < 3 || !strings.HasPrefix(parts[2], workflowsDir) {
		return workflowAt{}, false
	}
	return workflowAt{github + parts[0] + "/" + parts[1], parts[2], ref}, true
}
