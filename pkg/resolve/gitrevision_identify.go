package resolve

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"

	"golang.org/x/sync/errgroup"
)

// The annotations for the origin of an image (image-spec, "Annotations"). Many
// images have them as labels instead.
const (
	revisionLabel = "org.opencontainers.image.revision"
	sourceLabel   = "org.opencontainers.image.source"
)

// idLength is the number of digits in a commit id.
const idLength = 40

// maxConcurrentReads is the maximum number of images that are read concurrently. It
// hides latency without sending bursts of requests to one host.
const maxConcurrentReads = 8

// removed is the reason of a tag that is listed and answered with 404. It was deleted
// in between, or the registry is eventually consistent.
const removed = "the registry lists the tag but does not have it"

// build is a tag that was built from a commit.
type build struct {
	tag      string
	commit   string  // full or abbreviated id in lower case; empty if unknown, with a reason
	order    string  // order among the builds of one commit
	by       string  // byTag or byLabel
	digest   v1.Hash // zero until it is read
	absent   bool    // the registry does not have the tag
	chosen   bool
	reason   string // reason why it was chosen or not; empty until known
	rank     int    // see rankChosen
	position int    // position among the builds of the same rank
}

// minAbbreviation returns the minimum number of digits in an abbreviated commit id.
func (j *job) minAbbreviation() int {
	return cmp.Or(j.Select.GitRevision.MinAbbreviation, 7) // the length that git prints and build tools use
}

// exists reads the digest of a build once. It returns false if the registry does not
// have the tag.
func (j *job) exists(ctx context.Context, b *build) (bool, error) {
	if b.digest == (v1.Hash{}) && !b.absent {
		digest, ok, err := j.Registry.Digest(ctx, j.Repository, b.tag)
		if err != nil {
			return false, err
		}
		b.digest, b.absent = digest, !ok
	}
	return !b.absent, nil
}

// identifier finds the commit that each tag was built from.
type identifier interface {
	identify(ctx context.Context, j *job, tags []string) ([]*build, error)
}

// identifiers returns the identifiers of a policy, in the order to try them.
//
// If the policy does not set identify, they follow the advice of Flux: tags such as
// main-8609b01-42, then the revision label of the image specification.
func identifiers(g *selector.GitRevision) []identifier {
	switch id := g.Identify; {
	case id == nil:
		tag := newTagIdentifier(&selector.IdentifyTag{
			Pattern: regexp.QuoteMeta(strings.ReplaceAll(g.Branch, "/", "-")) + `-(?P<sha>[0-9a-fA-F]+)(?:-(?P<n>[0-9]+))?`,
			Commit:  "$sha",
			Order:   "$n",
		})
		tag.text = "the default pattern " + tag.text
		return []identifier{tag, &labelIdentifier{label: revisionLabel}}
	case id.Tag != nil:
		return []identifier{newTagIdentifier(id.Tag)}
	default:
		return []identifier{&labelIdentifier{label: id.Label, source: id.Source}}
	}
}

// tagIdentifier finds the commit id in the tag.
type tagIdentifier struct {
	text          string // the pattern as messages name it
	pattern       *regexp.Regexp
	commit, order string // templates
}

// newTagIdentifier returns a tagIdentifier. Package selector has validated t.
func newTagIdentifier(t *selector.IdentifyTag) *tagIdentifier {
	return &tagIdentifier{text: t.Pattern, pattern: regexp.MustCompile("^(?:" + t.Pattern + ")$"), commit: t.Commit, order: t.Order}
}

func (p *tagIdentifier) identify(_ context.Context, j *job, tags []string) ([]*build, error) {
	builds := make([]*build, len(tags))
	for i, tag := range tags {
		builds[i] = p.read(tag, j.minAbbreviation())
		// A tag with a commit id does not move, so the digest in the lock is still valid.
		builds[i].digest, _ = j.locked(tag)
	}
	return builds, nil
}

// read returns the build for a tag, without requests.
func (p *tagIdentifier) read(tag string, minLength int) *build {
	b := &build{tag: tag, by: byTag}
	match := p.pattern.FindStringSubmatchIndex(tag)
	if match == nil {
		b.reason = "does not match " + p.text
		return b
	}
	b.order = string(p.pattern.ExpandString(nil, p.order, tag, match))
	b.commit, b.reason = commitID(string(p.pattern.ExpandString(nil, p.commit, tag, match)), minLength)
	return b
}

// commitID returns a full or abbreviated commit id in lower case, or the reason why s
// is not one.
func commitID(s string, minLength int) (id, problem string) {
	switch {
	case s == "":
		return "", "has no commit id"
	case strings.Trim(s, "0123456789abcdefABCDEF") != "":
		return "", fmt.Sprintf("%s is not a commit id", quote(s))
	case len(s) < minLength:
		return "", fmt.Sprintf("commit %s has fewer than %d digits", s, minLength)
	case len(s) > idLength:
		return "", fmt.Sprintf("commit %s has more than %d digits", quote(s), idLength)
	}
	return strings.ToLower(s), ""
}

// quote returns untrusted text, clipped and quoted.
func quote(s string) string { return strconv.Quote(clip(s)) }

// labelIdentifier finds the commit id in an annotation or label of the image.
type labelIdentifier struct {
	label  string
	source string // required value of sourceLabel; empty: any
}

func (l *labelIdentifier) identify(ctx context.Context, j *job, tags []string) ([]*build, error) {
	builds := make([]*build, len(tags))
	for i, tag := range tags {
		builds[i] = &build{tag: tag, by: byLabel}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxConcurrentReads)
	for _, b := range builds {
		group.Go(func() error { return l.read(ctx, j, b) })
	}
	return builds, group.Wait()
}

// read reads the labels of the image and sets the commit of the build.
func (l *labelIdentifier) read(ctx context.Context, j *job, b *build) error {
	exists, err := j.exists(ctx, b)
	if err != nil {
		return err
	}
	if !exists {
		b.reason = removed
		return nil
	}
	labelMaps, err := j.labelMaps(ctx, b.digest)
	if err != nil {
		return err
	}
	if source := firstValue(labelMaps, sourceLabel); l.source != "" && !sameRepository(source, l.source) {
		b.reason = fmt.Sprintf("%s is %s, not %s", sourceLabel, quote(source), l.source)
		return nil
	}
	revision := firstValue(labelMaps, l.label)
	if revision == "" {
		b.reason = "has no " + l.label
		return nil
	}
	b.commit, b.reason = parseRevision(revision, j.minAbbreviation())
	return nil
}

// labelMaps returns the annotations and labels of an image, the most reliable first.
//
// Annotations come before labels, because an image inherits the labels of its base
// image. For an index, the first image is used as well.
func (j *job) labelMaps(ctx context.Context, digest v1.Hash) ([]map[string]string, error) {
	img, err := j.Registry.Image(ctx, j.Repository, digest.String())
	if err != nil {
		return nil, err
	}
	labelMaps := []map[string]string{img.Annotations}
	for _, child := range img.Children {
		if isAttestation(child) {
			continue
		}
		inner, err := j.Registry.Image(ctx, j.Repository, child.Digest.String())
		if err != nil {
			return nil, err
		}
		return append(labelMaps, child.Annotations, inner.Annotations, inner.Labels), nil
	}
	return append(labelMaps, img.Labels), nil
}

// firstValue returns the first non-empty value of key.
func firstValue(labelMaps []map[string]string, key string) string {
	for _, labels := range labelMaps {
		if labels[key] != "" {
			return labels[key]
		}
	}
	return ""
}

// parseRevision parses a revision label: <id>, or one of the forms that Flux writes,
// <branch>/<id> and <pointer>@sha1:<id>.
//
// It returns the commit id, or the reason why s is not a revision.
func parseRevision(s string, minLength int) (id, problem string) {
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
	id, problem = commitID(text, minLength)
	if problem != "" {
		problem = fmt.Sprintf("revision %s: %s", quote(s), problem)
	}
	return id, problem
}

// sameRepository reports whether two git URLs are for one repository.
//
// https://host/path, git@host:path and ssh://git@host/path.git are the same.
func sameRepository(a, b string) bool {
	return normalizeURL(a) == normalizeURL(b)
}

func normalizeURL(s string) string {
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
