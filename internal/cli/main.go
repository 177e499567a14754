// Package cli holds the commands of cip: flags, environment, streams and exit
// codes. One file holds one command. What commands do is in the packages under
// pkg/; this package never decides what is promoted.
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/internal/kpromo"
	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
)

// Program is a program that Main runs.
type Program int

// The programs.
const (
	Cip     Program = iota + 1 // cip, with all commands
	Auditor                    // cip-auditor: cip audit alone
)

// gcPercent is the growth of the heap between garbage collections, in percent. It is
// below Go's default of 100: most of the heap is garbage of requests, so a smaller
// process costs little more CPU time.
const gcPercent = 50

// Main runs a program with the arguments and streams of the process, and returns its exit code.
func Main(p Program, b version.Build) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// Go ends a process that writes to a closed stderr, as in 2>&1 | head. Registering for
	// SIGPIPE prevents this, so that the report is still written. Nothing reads the channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process immediately
	}()
	s := streams{out: stdout{os.Stdout}, err: os.Stderr, getenv: os.Getenv, build: b.OrBuildInfo()}
	return execute(ctx, p.command(s), kpromo.CommandLine(os.Args), s)
}

// Command returns the root command, for programs that describe commands without
// running them. It has no streams and an empty environment.
func (p Program) Command() *cobra.Command {
	return p.command(streams{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }})
}

// command returns the program's root command.
func (p Program) command(s streams) *cobra.Command {
	if p == Auditor {
		return newAuditorCmd(s)
	}
	return newRootCmd(s)
}
