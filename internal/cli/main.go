// Package cli holds the commands of cip: flags, environment, streams and exit
// codes. One file holds one command. What commands do is in the packages under
// pkg/; this package never decides what is promoted.
package cli

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Program is a program that Main runs.
type Program int

// The programs.
const (
	Cip     Program = iota + 1 // cip, with all commands
	Auditor                    // cip-auditor: cip audit alone
)

// gcPercent is how much the heap grows between garbage collections, in percent.
// It is below Go's 100: most of the heap is garbage of requests, and a small
// process is worth 3 % of processor time.
const gcPercent = 75

// Main runs a program with the arguments and streams of the process, and returns its exit code.
func Main(p Program, b Build) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// A reader of stderr that has ended, as in 2>&1 | head, must not cost the report: by
	// default a write to a closed pipe ends the process. Nothing reads the channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process immediately
	}()
	s := streams{out: os.Stdout, err: os.Stderr, getenv: os.Getenv, build: b.orBuildInfo()}
	return execute(ctx, p.command(s), os.Args[1:], s)
}

// command returns the program's root command.
func (p Program) command(s streams) *cobra.Command {
	if p == Auditor {
		return newAuditorCmd(s)
	}
	return newRootCmd(s)
}
