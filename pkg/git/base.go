package git

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
)

// Base is a commit that later changes are compared with.
type Base struct {
	Commit string // its id; empty if the window begins before the first commit
	Found  string // how it was found; empty for a revision
}

// Base returns the base that a revision, a date or a duration names.
//
// The base of a date or a duration is the newest commit of the first-parent history
// of HEAD before the window. A branch or tag of that name wins; an abbreviation of an
// id does not, since 14d may be one. If text is "auto", the environment names the base.
func (r *Repository) Base(ctx context.Context, text string, now time.Time, getenv func(string) string) (Base, error) {
	if text == "auto" {
		return r.auto(ctx, getenv)
	}
	start, ok, err := Start(text, now)
	if err != nil {
		return Base{}, err
	}
	if !ok {
		id, err := r.Resolve(text)
		if err != nil && text != "" && '0' <= text[0] && text[0] <= '9' {
			err = fmt.Errorf("%w (a date is written like 2026-11-01, a duration like 14d)", err)
		}
		return Base{Commit: id}, err
	}
	if ref := r.ref(text); ref != "" {
		id, err := r.Resolve(ref)
		return Base{id, fmt.Sprintf("this is %s, which wins over a date or duration; write one with a space or a colon, which no name of git has", ref)}, err
	}
	return r.before(ctx, start)
}

// before returns the newest commit of the first-parent history before a time.
func (r *Repository) before(ctx context.Context, start time.Time) (Base, error) {
	head, err := r.Resolve("HEAD")
	if err != nil {
		return Base{}, err
	}
	since := start.UTC().Format(time.RFC3339)
	for s, err := range r.walk(ctx, head, false) {
		switch {
		case err != nil:
			return Base{}, err
		case s.When.Before(start) && s.ID == head:
			return Base{head, fmt.Sprintf("nothing to do: no commit since %s (uncommitted changes count)", since)}, nil
		case s.When.Before(start):
			return Base{s.ID, fmt.Sprintf("the base is commit %s of %s, the newest one before %s", s.ID, s.When.UTC().Format(time.RFC3339), since)}, nil
		case s.cut:
			return Base{}, fmt.Errorf("looking for the newest commit before %s: %w", since, &ShallowError{At: s.ID})
		}
	}
	return Base{"", fmt.Sprintf("there is no commit before %s: everything is new", since)}, nil
}

// auto returns the base that the environment of a CI job names.
func (r *Repository) auto(ctx context.Context, getenv func(string) string) (Base, error) {
	var rev, why string
	kind, event, target := getenv("JOB_TYPE"), getenv("GITHUB_EVENT_NAME"), getenv("GITHUB_BASE_REF")
	switch {
	case kind == "presubmit" || kind == "batch":
		if rev, why = getenv("PULL_BASE_SHA"), "PULL_BASE_SHA"; rev == "" {
			return Base{}, fmt.Errorf("JOB_TYPE is %s, but PULL_BASE_SHA is not set", kind)
		}
		why += ", as JOB_TYPE is " + kind
	case kind == "postsubmit":
		rev, why = "HEAD^", "HEAD^, as JOB_TYPE is postsubmit"
	case kind != "":
		return Base{}, fmt.Errorf("JOB_TYPE is %q: only presubmit, batch and postsubmit have a base", kind)
	case target != "":
		why = "the merge base with origin/" + target + ", as GITHUB_BASE_REF is set"
	case event == "push":
		before, err := pushedFrom(getenv("GITHUB_EVENT_PATH"))
		if err != nil {
			return Base{}, err
		}
		rev, why = before, "before in GITHUB_EVENT_PATH, as GITHUB_EVENT_NAME is push"
	case event != "":
		return Base{}, fmt.Errorf("GITHUB_EVENT_NAME is %q, and GITHUB_BASE_REF is not set: only pull requests and pushes have a base", event)
	default:
		return Base{}, errors.New("the environment names no base: neither JOB_TYPE, GITHUB_BASE_REF nor GITHUB_EVENT_NAME is set")
	}
	id, err := "", error(nil)
	if rev == "" {
		id, err = r.mergeBase(ctx, "HEAD", "origin/"+target)
	} else {
		id, err = r.Resolve(rev)
	}
	if err != nil {
		return Base{}, fmt.Errorf("the base is %s: %w", why, err)
	}
	return Base{id, fmt.Sprintf("the base is commit %s: %s", id, why)}, nil
}

// pushedFrom returns the commit that a branch had before the push of a GitHub event.
func pushedFrom(file string) (string, error) {
	if file == "" {
		return "", errors.New("GITHUB_EVENT_NAME is push, but GITHUB_EVENT_PATH is not set")
	}
	f, err := regular{osfs.New(filepath.Dir(file))}.open(filepath.Base(file), maxFile)
	if err != nil {
		return "", fmt.Errorf("reading GITHUB_EVENT_PATH: %w", err)
	}
	defer f.Close()
	var event struct{ Before string }
	if err := json.NewDecoder(io.LimitReader(f, maxFile)).Decode(&event); err != nil {
		return "", fmt.Errorf("reading GITHUB_EVENT_PATH %s: %w", file, err)
	}
	switch {
	case !IsID(event.Before):
		return "", fmt.Errorf("GITHUB_EVENT_PATH %s: before is %q, not the id of a commit", file, event.Before)
	case strings.Trim(event.Before, "0") == "":
		return "", errors.New("the push created the branch: it has no commit before")
	}
	return event.Before, nil
}

// IsID reports whether text is a full commit id.
func IsID(text string) bool {
	return len(text) == idLength && strings.Trim(text, "0123456789abcdef") == ""
}
