package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// Limits of the policy newest: it reads the config of every image.
const (
	maxNewest      = 1000 // candidate tags; up to 3 requests each
	maxIndexImages = 64   // images of one index; up to 2 requests each
)

// createdAnnotation is the creation time of an image (image-spec, "Annotations").
const createdAnnotation = "org.opencontainers.image.created"

// dated is a candidate tag with the creation time of its image.
type dated struct {
	value
	digest  v1.Hash
	absent  bool      // the registry does not have the tag
	created time.Time // zero: the image has none
}

// newest implements the policy newest: it selects the image that was created last.
//
// Among images of one creation time the greater tag is better.
func (j *job) newest(ctx context.Context) (*Choice, error) {
	tags, err := j.Registry.Tags(ctx, j.Repository)
	if err != nil {
		return nil, err
	}
	values, out := j.filter(tags)
	if len(values) > maxNewest {
		return nil, fmt.Errorf("%d tags of source %s are candidates: newest reads each image, %d at most: use filterTags or exclude",
			len(values), j.Repository, maxNewest)
	}
	all, err := j.readCreated(ctx, values)
	if err != nil {
		return nil, err
	}
	lock := &selector.LockNewest{Images: selector.Times{}}
	var in []dated
	for _, d := range all {
		if !d.absent {
			lock.Images[d.digest.String()] = formatCreated(d.created)
		}
		switch {
		case d.absent:
			out = append(out, Candidate{Tag: d.tag, Reason: removed})
		case d.created.IsZero():
			out = append(out, Candidate{Tag: d.tag, Digest: d.digest, Reason: "has an image without a creation time"})
		default:
			in = append(in, d)
		}
	}
	out = sorted(out)
	if len(in) == 0 {
		return &Choice{Candidates: out}, errNoCandidate(j.Repository.String(), tags, out)
	}
	slices.SortFunc(in, func(a, b dated) int { return cmp.Or(b.created.Compare(a.created), strings.Compare(b.tag, a.tag)) })
	best := in[0]
	lock.Created = formatCreated(best.created)
	c := &Choice{
		Tag: best.tag, Default: []string{best.tag}, Fields: selector.TagFields{Value: best.value.value}, Newest: lock,
		Candidates: append(newestCandidates(in), out...), Notes: newestNotes(in),
	}
	if err := j.checkOlder(best); err != nil {
		return c, err
	}
	c.Digest, c.Candidates[0].Chosen = best.digest, true
	return c, nil
}

// newestCandidates describes images with a creation time, the newest first.
func newestCandidates(in []dated) []Candidate {
	all := make([]Candidate, len(in))
	for i, d := range in {
		reason := "created " + formatCreated(d.created) + ": the newest"
		switch {
		case i == 0:
		case d.created.Equal(in[0].created):
			reason = "created at the same time as " + in[0].tag + ", whose name is greater"
		default:
			reason = "created " + formatCreated(d.created) + ": older than " + in[0].tag
		}
		all[i] = Candidate{Tag: d.tag, Digest: d.digest, Reason: reason}
	}
	return all
}

// newestNotes names the tags whose images were created at the same time as the best.
func newestNotes(in []dated) []string {
	var same, others []string
	for _, d := range in[1:] {
		switch {
		case !d.created.Equal(in[0].created):
		case d.digest == in[0].digest:
			same = append(same, d.tag)
		default:
			others = append(others, d.tag)
		}
	}
	var notes []string
	if len(same) > 0 {
		notes = append(notes, fmt.Sprintf("the image has other tags: %s", first(same)))
	}
	if len(others) > 0 {
		notes = append(notes, fmt.Sprintf("%s and %s were created at the same time, %s: %s is selected, because its name is greater",
			in[0].tag, first(others), formatCreated(in[0].created), in[0].tag))
	}
	return notes
}

// checkOlder refuses an image that was created before the one in the lock.
func (j *job) checkOlder(best dated) error {
	if j.previous == nil || j.previous.Newest == nil || j.AllowRollback {
		return nil
	}
	locked := parseCreated(j.previous.Newest.Created)
	if !best.created.Before(locked) {
		return nil
	}
	return fmt.Errorf("refusing to roll back from the image in the lock, created %s, to tag %s, created %s (--allow-rollback)",
		formatCreated(locked), best.tag, formatCreated(best.created))
}

// readCreated reads the digests and creation times of tags. Images in the lock are not
// read again: the content of a digest does not change.
func (j *job) readCreated(ctx context.Context, values []value) ([]dated, error) {
	var known selector.Times
	if j.previous != nil && j.previous.Newest != nil {
		known = j.previous.Newest.Images
	}
	all := make([]dated, len(values))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxConcurrentReads)
	for i, v := range values {
		group.Go(func() error {
			d, ok, err := j.Registry.Digest(ctx, j.Repository, v.tag)
			all[i] = dated{value: v, digest: d, absent: !ok}
			if err != nil || !ok {
				return err
			}
			if text, ok := known[d.String()]; ok && (text == "" || !parseCreated(text).IsZero()) {
				all[i].created = parseCreated(text)
				return nil
			}
			if all[i].created, err = j.created(ctx, d); err != nil {
				return fmt.Errorf("looking for the creation time of tag %s: %w", v.tag, err)
			}
			return nil
		})
	}
	return all, group.Wait()
}

// created returns the creation time of an image, or of an index: that of its annotation,
// or else the latest of its images. Attestations do not count.
func (j *job) created(ctx context.Context, d v1.Hash) (time.Time, error) {
	img, err := j.Registry.Image(ctx, j.Repository, d.String())
	if err != nil {
		return time.Time{}, err
	}
	if len(img.Children) == 0 {
		return parseCreated(img.Created), nil
	}
	if t := parseCreated(img.Annotations[createdAnnotation]); !t.IsZero() {
		return t, nil
	}
	if len(img.Children) > maxIndexImages {
		return time.Time{}, errors.New("the index has more than " + plural(maxIndexImages, "image"))
	}
	var latest time.Time
	for _, child := range img.Children {
		if isAttestation(child) {
			continue
		}
		inner, err := j.Registry.Image(ctx, j.Repository, child.Digest.String())
		if err != nil {
			return time.Time{}, err
		}
		if t := parseCreated(inner.Created); t.After(latest) {
			latest = t
		}
	}
	return latest, nil
}

// parseCreated parses a creation time (RFC 3339). It is zero if there is none, or a bad
// one. Tools that set no time write 0001-01-01T00:00:00Z, which is zero too.
func parseCreated(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// formatCreated is the opposite of parseCreated.
func formatCreated(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}
