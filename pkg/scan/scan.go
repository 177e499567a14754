// Package scan gets the reports of vulnerability scanners: from a command that is
// run for each image, or from a directory of reports.
//
// It never interprets a report: package check does. It is a package of its own
// because package check is pure and may not start processes.
package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
)

// Limits of a scanner's output.
const (
	maxReport = 64 << 20         // bytes of a report; the largest images have about 10 MiB
	maxStderr = 2_000            // bytes of stderr that are quoted in an error
	killWait  = 10 * time.Second // from the end of the context until the pipes are closed
)

// Command is a scanner: a program and its first arguments. The reference of the image is appended to them.
type Command []string

// Report implements check.Scanner.
func (c Command) Report(ctx context.Context, im check.Image) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c[0], append(c[1:len(c):len(c)], im.Ref())...)
	cmd.WaitDelay = killWait
	stdout, stderr := &bounded{limit: maxReport, overflow: errors.New("it is too large")}, &bounded{limit: maxStderr}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	switch err := cmd.Run(); {
	case stdout.truncated:
		return nil, fmt.Errorf("running %s: its report is larger than %d MiB", c[0], maxReport>>20)
	case err != nil && len(stderr.kept) > 0:
		return nil, fmt.Errorf("running %s: %w: %s", c[0], err, bytes.TrimSpace(stderr.kept))
	case err != nil:
		return nil, fmt.Errorf("running %s: %w", c[0], err)
	}
	return stdout.kept, nil
}

// bounded keeps the first bytes that are written to it. A bytes.Buffer does not fit:
// its ReadFrom, which exec uses, has no limit.
type bounded struct {
	kept      []byte
	limit     int
	overflow  error // returned by Write at the limit; nil: further bytes are dropped
	truncated bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	room := min(len(p), b.limit-len(b.kept))
	b.kept = append(b.kept, p[:room]...)
	b.truncated = b.truncated || room < len(p)
	if room < len(p) && b.overflow != nil {
		return room, b.overflow
	}
	return len(p), nil
}

// Directory is a directory of reports, one for each digest.
type Directory string

// Report implements check.Scanner. The file name is DIGEST.json. A hyphen may replace the
// colon of the digest, because some file systems and archives do not allow colons.
func (d Directory) Report(_ context.Context, im check.Image) ([]byte, error) {
	name := filepath.Join(string(d), im.Digest.String()+".json")
	raw, err := load.File(name, maxReport)
	if errors.Is(err, os.ErrNotExist) {
		raw, err = load.File(filepath.Join(string(d), strings.Replace(im.Digest.String(), ":", "-", 1)+".json"), maxReport)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no report %s", name)
	}
	return raw, err
}
