package resolve

import (
	"context"
	"fmt"
)

// tag implements the policy tag: it selects the given tag.
func (j *job) tag(ctx context.Context) (*Choice, error) {
	tag := j.Select.Tag
	d, err := j.pin(ctx, tag)
	if err != nil {
		return nil, err
	}
	return &Choice{
		Tag: tag, Digest: d, Default: []string{tag},
		Candidates: []Candidate{{Tag: tag, Digest: d, Chosen: true, Reason: "named"}},
	}, nil
}

// digest implements the policy digest: it selects the given digest.
//
// The registry must hold it. If the lock has the digest, this is not checked again.
func (j *job) digest(ctx context.Context) (*Choice, error) {
	d := j.Select.Digest
	if l := j.previous; l == nil || l.Digest != d || j.Refresh {
		_, ok, err := j.Registry.Digest(ctx, j.Repository, d.String())
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, fmt.Errorf("reading source %s: there is no such digest", j.Repository.Digest(d.String()).String())
		}
	}
	return &Choice{Digest: d, Candidates: []Candidate{{Digest: d, Chosen: true, Reason: "named"}}}, nil
}
