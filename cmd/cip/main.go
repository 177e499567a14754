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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	code := execute(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr, getenv: os.Getenv})
	stop()
	os.Exit(code)
}
