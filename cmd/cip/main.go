// Command cip promotes container images between registries as reviewed manifests say.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Set by the build.
var (
	version = "dev"
	commit  = ""
	date    = ""
)

// gcPercent lets the heap grow by less than Go's 100 % between collections: most of
// it is garbage of requests, and small memory is worth 3 % of processor time.
const gcPercent = 75

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// A reader of stderr that has gone, as in 2>&1 | head, must not cost the report: without
	// this a write to a closed pipe ends the process. Nobody reads the channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	code := execute(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr, getenv: os.Getenv})
	stop()
	os.Exit(code)
}
