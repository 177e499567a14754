package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"cip/pkg/check"
	"cip/pkg/image"
	"cip/pkg/inventory"
	"cip/pkg/plan"
	"cip/pkg/promote"
	"cip/pkg/registry"
)

// evidence is what rules read of registries. It is filled once they may be spoken to.
type evidence struct {
	client  *registry.Client
	sources *promote.Sources
	wanted  *plan.Wanted
}

// Content implements check.Contents. What is going to be copied is not read again.
func (e *evidence) Content(ctx context.Context, repo image.Repository, digest string) (*check.Content, error) {
	content, err := e.sources.Read(ctx, repo, digest)
	if err != nil || content == nil {
		return nil, err
	}
	c := &check.Content{}
	for _, b := range content.Blobs {
		c.Blobs = append(c.Blobs, check.Blob{Digest: b.Digest, Size: b.Size, Foreign: b.Foreign()})
	}
	for _, child := range content.Children {
		c.Children = append(c.Children, child.Digest)
	}
	return c, nil
}

// BlobSize implements check.Contents. A foreign layer that is not there is left out of
// a promotion, and has the size that is declared.
func (e *evidence) BlobSize(ctx context.Context, repo image.Repository, b check.Blob) (int64, error) {
	n, err := e.sources.BlobSize(ctx, repo, registry.Descriptor{Digest: b.Digest, Size: b.Size})
	if b.Foreign && errors.Is(err, registry.ErrNotFound) {
		return b.Size, nil
	}
	return n, err
}

// Signatures implements check.Signatures.
func (e *evidence) Signatures(ctx context.Context, repo image.Repository, digest string) iter.Seq2[check.Attached, error] {
	return func(yield func(check.Attached, error) bool) {
		for s, err := range e.client.Signatures(ctx, repo, digest) {
			if !yield(check.Attached(s), err) {
				return
			}
		}
	}
}

// Find implements check.Finder.
func (e *evidence) Find(ctx context.Context, dst image.Repository, digest image.Digest) (inventory.State, error) {
	entry := e.wanted.Entry(dst, digest)
	if entry == nil {
		return inventory.Unknown, errors.New("nobody wants it")
	}
	if f := e.sources.Find(ctx, entry, dst); f.State != inventory.Absent {
		return f.State, f.Err
	}
	return e.client.Has(ctx, dst, string(digest))
}

// Bounds of a scanner's report.
const (
	maxReport  = 64 << 20 // bytes; the largest images make some ten MiB
	maxWords   = 2_000    // bytes of what a failing scanner says
	killedWait = 10 * time.Second
)

// scanCommand is a scanner: a program and its first arguments, to which the reference is appended.
type scanCommand []string

// Report implements check.Scanner.
func (c scanCommand) Report(ctx context.Context, im check.Image) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c[0], append(c[1:len(c):len(c)], im.Ref())...)
	cmd.WaitDelay = killedWait
	out, words := &bounded{most: maxReport, more: errors.New("it is too large")}, &bounded{most: maxWords}
	cmd.Stdout, cmd.Stderr = out, words
	switch err := cmd.Run(); {
	case out.lost:
		return nil, fmt.Errorf("running %s: its report is larger than %d MiB", c[0], maxReport>>20)
	case err != nil && len(words.kept) > 0:
		return nil, fmt.Errorf("running %s: %w: %s", c[0], err, bytes.TrimSpace(words.kept))
	case err != nil:
		return nil, fmt.Errorf("running %s: %w", c[0], err)
	}
	return out.kept, nil
}

// bounded keeps the first bytes of what is written to it. It is no bytes.Buffer,
// whose ReadFrom knows no bound.
type bounded struct {
	kept []byte
	most int
	more error // what comes of writing more; nil: it is dropped
	lost bool  // there was more
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	room := min(len(p), b.most-len(b.kept))
	b.kept = append(b.kept, p[:room]...)
	b.lost = b.lost || room < len(p)
	if room < len(p) && b.more != nil {
		return room, b.more
	}
	return len(p), nil
}

// reportDir is a directory of reports, one for each digest.
type reportDir string

// Report implements check.Scanner. A file's name is the digest's, or the one with a
// hyphen in place of the colon, which not all file systems and archives take.
func (d reportDir) Report(_ context.Context, im check.Image) ([]byte, error) {
	name := filepath.Join(string(d), string(im.Digest)+".json")
	raw, err := readFile(name, maxReport)
	if errors.Is(err, os.ErrNotExist) {
		raw, err = readFile(filepath.Join(string(d), strings.Replace(string(im.Digest), ":", "-", 1)+".json"), maxReport)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no report %s", name)
	}
	return raw, err
}
