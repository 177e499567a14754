package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// job is what a client runs for a scenario.
type job struct {
	Commands [][]string
	AtOnce   int
	Env      []string
	right    func(code int, stdout []byte) error                            // of its one command; nil: exit code 0
	expect   func(stdout []byte) (requests int, seconds float64, err error) // reads an estimate, in place of doing the work; nil: the work is done
}

// usage is what the commands of a job took.
type usage struct {
	Wall float64 // seconds
	CPU  float64 // seconds of all processes, user and system
	RSS  float64 // MB, of the largest process
	Code int     // of the first that failed
	Said string  // by that, on stderr, in the end

	expected int // requests, of an estimate
}

// measure runs a job, in a process that does nothing else: on Linux the peak memory
// of a process counts that of its parent when it was started.
func (j *job) measure(ctx context.Context, dir string) (*usage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, self, "-exec", "-dir", dir)
	c.Stdin, c.Stderr = bytes.NewReader(marshal(j)), os.Stderr
	raw, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("running the client: %w", err)
	}
	u := &usage{}
	if err := json.Unmarshal(raw, u); err != nil {
		return nil, fmt.Errorf("running the client: %w", err)
	}
	if raw, err = os.ReadFile(filepath.Join(dir, "stdout")); err != nil {
		return nil, err
	}
	switch {
	case j.right != nil:
		err = j.right(u.Code, raw)
	case u.Code != 0:
		err = fmt.Errorf("exit code %d", u.Code)
	case j.expect != nil:
		u.expected, u.Wall, err = j.expect(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, u.Said)
	}
	return u, nil
}

// execute runs the job on stdin and says on stdout what that took.
func execute(ctx context.Context, dir string, stdin io.Reader, stdout io.Writer) error {
	var j job
	if err := json.NewDecoder(stdin).Decode(&j); err != nil {
		return err
	}
	var u usage
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(j.AtOnce)
	began := time.Now()
	for _, command := range j.Commands {
		g.Go(func() error {
			var stderr bytes.Buffer
			out, err := os.Create(filepath.Join(dir, "stdout"))
			if err != nil {
				return err
			}
			defer out.Close()
			c := exec.CommandContext(ctx, command[0], command[1:]...)       //nolint:gosec // the tools that were built
			c.Env = append(os.Environ(), "HOME="+dir, "DOCKER_CONFIG="+dir) // no configuration, no credentials
			c.Env = append(c.Env, j.Env...)
			c.Stdout, c.Stderr = out, &stderr
			if err := c.Run(); c.ProcessState == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			u.CPU += (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
			u.RSS = max(u.RSS, peak(c.ProcessState))
			if code := c.ProcessState.ExitCode(); u.Code == 0 && code != 0 {
				lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
				u.Code, u.Said = code, strings.Join(lines[max(0, len(lines)-3):], "\n")
			}
			return nil
		})
	}
	err := g.Wait()
	u.Wall = time.Since(began).Seconds()
	if err != nil {
		return err
	}
	_, err = stdout.Write(marshal(u))
	return err
}
