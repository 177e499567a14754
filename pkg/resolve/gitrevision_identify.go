package resolve

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// The annotations and labels that images carry by custom (image-spec, "Annotations").
const (
	revisionLabel = "org.opencontainers.image.revision"
	sourceLabel   = "org.opencontainers.image.source"
)

// idLength is that of a whole commit id in hex digits.
const idLength = 40

// atOnce is how many images are described at a time: enough to hide latency, few for a host.
const atOnce = 8

// gone is the reason of a tag that was removed, or is not yet everywhere.
const gone = "the registry lists the tag and does not have it"

// build is a tag as a build of a commit.
type build struct {
	tag    string
	commit string // whole or abbreviated, lower case; empty if it cannot be told, and reason says why
	order  string // of builds of one commit
	by     string
	digest v1.Hash // once read
	absent bool    // once read: the registry does not have it
	chosen bool
	reason string // why it was taken or not, once known
	rank   int    // among the candidates
	back   int    // among those of its rank
}

// buildReader reads what builds need from the registry.
type buildReader struct {
	*job
	atLeast int // hex digits of an abbreviation
}

// exists reads the digest of a build, once; false if its tag is gone.
func (r *buildReader) exists(ctx context.Context, b *build) (bool, error) {
	if b.digest == (v1.Hash{}) && !b.absent {
		digest, ok, err := r.Registry.Digest(ctx, r.Repository, b.tag)
		if err != nil {
			return false, err
		}
		b.digest, b.absent = digest, !ok
	}
	return !b.absent, nil
}

// identification tells the commits of images in one way.
type identification interface {
	identify(ctx context.Context, r *buildReader, tags []string) ([]*build, error)
}

// identifications returns the ways to tell commits, the first to be tried first.
// Without a word in the policy they are what Flux advises: tags such as
// main-8609b01-42, then the label of the image specification.
func identifications(g *manifest.GitRevision) []identification {
	switch id := g.Identify; {
	case id == nil:
		return []identification{
			newTagPattern(&manifest.IdentifyTag{
				Pattern: regexp.QuoteMeta(strings.ReplaceAll(g.Branch, "/", "-")) + `-(?P<sha>[0-9a-fA-F]+)(?:-(?P<n>[0-9]+))?`,
				Commit:  "$sha",
				Order:   "$n",
			}),
			&labelled{label: revisionLabel},
		}
	case id.Tag != nil:
		return []identification{newTagPattern(id.Tag)}
	default:
		return []identification{&labelled{label: id.Label, source: id.Source}}
	}
}

// tagPattern takes the commit out of the tag.
type tagPattern struct {
	pattern       *regexp.Regexp
	commit, order string // templates
}

// newTagPattern takes a pattern and templates that the file's reader has checked.
func newTagPattern(t *manifest.IdentifyTag) *tagPattern {
	return &tagPattern{pattern: regexp.MustCompile("^(?:" + t.Pattern + ")$"), commit: t.Commit, order: t.Order}
}

func (p *tagPattern) identify(_ context.Context, r *buildReader, tags []string) ([]*build, error) {
	builds := make([]*build, len(tags))
	for i, tag := range tags {
		builds[i] = p.read(tag, r.atLeast)
		// Unlike one that is told by its label, such a tag means one commit for ever.
		builds[i].digest, _ = r.locked(tag)
	}
	return builds, nil
}

// read returns what a tag says.
func (p *tagPattern) read(tag string, atLeast int) *build {
	b := &build{tag: tag, by: byTag}
	match := p.pattern.FindStringSubmatchIndex(tag)
	if match == nil {
		b.reason = "does not match the pattern"
		return b
	}
	b.order = string(p.pattern.ExpandString(nil, p.order, tag, match))
	b.commit, b.reason = commitID(string(p.pattern.ExpandString(nil, p.commit, tag, match)), atLeast)
	return b
}

// commitID returns a commit id or its abbreviation in lower case, or why it is none.
func commitID(s string, atLeast int) (id, problem string) {
	switch {
	case s == "":
		return "", "names no commit"
	case strings.Trim(s, "0123456789abcdefABCDEF") != "":
		return "", fmt.Sprintf("%s is not a commit id", quote(s))
	case len(s) < atLeast:
		return "", fmt.Sprintf("commit %s has fewer than %d digits", s, atLeast)
	case len(s) > idLength:
		return "", fmt.Sprintf("commit %s has more than %d digits", quote(s), idLength)
	}
	return strings.ToLower(s), ""
}

// quote quotes a foreign text, shortened.
func quote(s string) string { return strconv.Quote(told(s)) }

// labelled takes the commit out of an annotation or label.
type labelled struct {
	label  string
	source string // that the image has to name; empty: any
}

func (l *labelled) identify(ctx context.Context, r *buildReader, tags []string) ([]*build, error) {
	builds := make([]*build, len(tags))
	for i, tag := range tags { // the newest names first
		builds[i] = &build{tag: tag, by: byLabel}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, b := range builds {
		group.Go(func() error { return l.read(ctx, r, b) })
	}
	return builds, group.Wait()
}

// read finds out what an image says.
func (l *labelled) read(ctx context.Context, r *buildReader, b *build) error {
	there, err := r.exists(ctx, b)
	if err != nil {
		return err
	}
	if !there {
		b.reason = gone
		return nil
	}
	claims, err := r.claims(ctx, b.digest)
	if err != nil {
		return err
	}
	if source := outermost(claims, sourceLabel); l.source != "" && !sameSource(source, l.source) {
		b.reason = fmt.Sprintf("%s is %s, not %s", sourceLabel, quote(source), l.source)
		return nil
	}
	revision := outermost(claims, l.label)
	if revision == "" {
		b.reason = "has no " + l.label
		return nil
	}
	b.commit, b.reason = parseRevision(revision, r.atLeast)
	return nil
}

// claims returns an image's annotations and labels. Those come first that say more
// of the image itself: labels are inherited from a base image unless overwritten.
func (r *buildReader) claims(ctx context.Context, digest v1.Hash) ([]map[string]string, error) {
	img, err := r.Registry.Image(ctx, r.Repository, digest.String())
	if err != nil {
		return nil, err
	}
	claims := []map[string]string{img.Annotations}
	for _, child := range img.Children {
		if child.OS == "unknown" { // an attestation beside the images
			continue
		}
		inner, err := r.Registry.Image(ctx, r.Repository, child.Digest.String())
		if err != nil {
			return nil, err
		}
		return append(claims, child.Annotations, inner.Annotations, inner.Labels), nil
	}
	return append(claims, img.Labels), nil
}

// outermost returns the first claim of a key.
func outermost(claims []map[string]string, key string) string {
	for _, c := range claims {
		if c[key] != "" {
			return c[key]
		}
	}
	return ""
}

// parseRevision reads <id>, <branch>/<id> and <pointer>@sha1:<id>, the two that
// Flux writes, or says why it is none of them.
func parseRevision(s string, atLeast int) (id, problem string) {
	s = strings.TrimSpace(s)
	if strings.HasSuffix(strings.ToLower(s), "-dirty") {
		return "", fmt.Sprintf("revision %s is of a modified work tree", quote(s))
	}
	text := s[strings.LastIndexByte(s, '/')+1:]
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		algorithm, sum, ok := strings.Cut(s[i+1:], ":")
		if !ok || !strings.EqualFold(algorithm, "sha1") {
			return "", fmt.Sprintf("revision %s is not that of a SHA-1 repository", quote(s))
		}
		text = sum
	}
	id, problem = commitID(text, atLeast)
	if problem != "" {
		problem = fmt.Sprintf("revision %s: %s", quote(s), problem)
	}
	return id, problem
}

// sameSource reports whether two URLs name one repository: https://host/path,
// git@host:path and ssh://git@host/path.git do.
func sameSource(a, b string) bool {
	return plainSource(a) == plainSource(b)
}

func plainSource(s string) string {
	s, _, _ = strings.Cut(s, "#")
	_, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		host, path, _ := strings.Cut(s, ":") // user@host:path
		rest = host + "/" + strings.TrimPrefix(path, "/")
	}
	host, path, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndexByte(host, '@')+1:]
	return strings.ToLower(host) + "/" + strings.TrimSuffix(strings.Trim(path, "/"), ".git")
}
