// Command cip promotes container images between registries as reviewed manifests say.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Set by the build.
var (
	version = "dev"
	commit  = ""
	date    = ""
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	code := execute(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr, getenv: os.Getenv})
	stop()
	os.Exit(code)
}
