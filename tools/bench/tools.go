package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// tools are the paths of the binaries that are measured, by name.
type tools map[string]string

// of returns the binary of a client.
func (t tools) of(client string) string {
	if isCip(client) {
		return t[ours]
	}
	name, _, _ := strings.Cut(client, " ")
	return t[name]
}

// build builds cip and, as far as they can be had, the peers.
func build(ctx context.Context, o *options, dir string, stderr io.Writer) (tools, error) {
	t := tools{ours: o.cip}
	if o.cip == "" {
		t[ours] = filepath.Join(dir, ours)
		if err := goBuild(ctx, stderr, ".", t[ours], "./cmd/cip"); err != nil {
			return nil, err
		}
	}
	if !o.peers {
		return t, nil
	}
	into, err := filepath.Abs(".tools")
	if err != nil {
		return nil, err
	}
	for name, pkg := range map[string]string{
		crane: "github.com/google/go-containerregistry/cmd/crane", regsync: "github.com/regclient/regclient/cmd/regsync",
	} {
		if err := goBuild(ctx, stderr, peers, filepath.Join(into, name), pkg); err != nil {
			fmt.Fprintf(stderr, "%s is not measured: %v\n", name, err)
			continue
		}
		t[name] = filepath.Join(into, name)
	}
	if t[skopeo], err = exec.LookPath(skopeo); err != nil {
		fmt.Fprintf(stderr, "skopeo is not measured: %v\n", err)
	}
	return t, nil
}

// peers is the module of the peers' commands.
var peers = filepath.Join("tools", "peers")

// goBuild builds a command as releases are built.
func goBuild(ctx context.Context, stderr io.Writer, dir, to, pkg string) error {
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", to, pkg) //nolint:gosec // packages of ours
	c.Dir, c.Stdout, c.Stderr = dir, stderr, stderr
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := c.Run(); err != nil {
		return fmt.Errorf("building %s: %w", pkg, err)
	}
	return nil
}

// about says what was measured, on what.
func about(ctx context.Context, o *options, t tools) []string {
	all := []string{
		fmt.Sprintf("%s, %s/%s, %d cores, %s", time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		fmt.Sprintf("median of %d", o.count),
	}
	commit := []string{"git", "describe", "--always", "--dirty"}
	if o.cip != "" {
		commit = []string{o.cip, "version"}
	}
	for _, command := range [][]string{
		commit,
		{"go", "-C", peers, "list", "-m", "github.com/google/go-containerregistry", "github.com/regclient/regclient"},
		{t[skopeo], "--version"},
	} {
		if raw, err := exec.CommandContext(ctx, command[0], command[1:]...).Output(); err == nil { //nolint:gosec // what was found or is a constant
			all = append(all, strings.Split(strings.TrimSpace(string(raw)), "\n")...)
		}
	}
	return all
}
