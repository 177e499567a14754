// Command bench measures cip, and what else does its work where that can be had,
// on promotions and snapshots of registries with latency.
//
//	make bench BENCH=noop,one BENCHFLAGS='-tls -latency 100ms -clients cip,crane -count 3'
//
// Each measurement starts the scenario's registries as a process of its own (this
// program again, with -serve), so that their processor time and memory are not the
// client's. They are those of the tests, internal/registrytest: each request and each
// round trip of a handshake waits for the latency, is counted by kind and host, and may
// be refused by a limiter or hit by a fault. Then the client runs, as a child of a process
// of its own (-exec), and the contents of the registries are checked: a figure is of a run
// that did the work, or there is none.
//
// Nothing leaves loopback. Only the peers' modules are fetched, when first built.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
)

// options are the flags.
type options struct {
	run        string
	clients    string
	count      int
	latency    string
	protocols  []bool // whether HTTP/2 over TLS
	seed       uint64
	kubernetes string
	cip        string
	peers      bool
	markdown   bool
	json       string
	aims       bool
	serve      string
	exec       bool
	dir        string
}

func (o *options) flags() *flag.FlagSet {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.run, "run", "", "scenarios, separated by commas (default: all)")
	f.StringVar(&o.clients, "clients", "", "of "+strings.Join(everyone, ", ")+": the clients, separated by commas (default: cip, crane, regsync tuned)")
	f.IntVar(&o.count, "count", 1, "runs of each client; the one with the median wall time is shown")
	f.StringVar(&o.latency, "latency", near.String()+","+far.String(), "round trip times, separated by commas")
	o.protocols = []bool{false, true}
	f.BoolFunc("tls", "only HTTP/2 over TLS; -tls=false: only HTTP/1.1 without TLS (default: both)", func(text string) error {
		http2, err := strconv.ParseBool(text)
		o.protocols = []bool{http2}
		return err
	})
	f.Uint64Var(&o.seed, "seed", 1, "what the faults are drawn from")
	f.StringVar(&o.kubernetes, "kubernetes", "../shared/data/k8s-manifests", "thin manifests to dry-run; a tree of their shape is made if they are not there")
	f.StringVar(&o.cip, "cip", "", "binary to measure (default: built from ./cmd/cip)")
	f.BoolVar(&o.peers, "peers", true, "measure other tools, too")
	f.BoolVar(&o.markdown, "markdown", false, "print the tables in Markdown")
	f.StringVar(&o.json, "json", "", "keep every figure in this `file`, too; those it holds of earlier runs are shown with the new ones")
	f.BoolVar(&o.aims, "aims", false, "fail if an aim of cip does not hold, or has no figure")
	f.StringVar(&o.serve, "serve", "", "serve the registries of a scenario (for the program itself)")
	f.BoolVar(&o.exec, "exec", false, "run the client's commands that stdin names (for the program itself)")
	f.StringVar(&o.dir, "dir", "", "where to write, with -serve and -exec")
	return f
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // this is a main
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o := &options{}
	f := o.flags()
	f.SetOutput(stderr)
	if err := f.Parse(args); err != nil {
		return err
	}
	ways, err := links(o.latency, o.protocols)
	switch {
	case err != nil:
		return err
	case o.serve != "":
		return serve(o, ways[0], stdin, stdout)
	case o.exec:
		return execute(ctx, o.dir, stdin, stdout)
	}
	chosen, err := choose(o.run)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cip-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t, err := build(ctx, o, dir, stderr)
	if err != nil {
		return err
	}
	r, err := load(o.json)
	if err != nil {
		return err
	}
	r.About = about(ctx, o, t)
	failed, err := all(ctx, o, t, ways, chosen, r, stderr)
	if err != nil {
		return err
	}
	r.compare()
	aims, missed := r.aims(o.peers)
	printTables(stdout, o.markdown, r.About, r.figures(), aims, r.kinds())
	if len(failed) > 0 {
		return fmt.Errorf("no figures of what went wrong:\n%s", strings.Join(failed, "\n"))
	}
	if o.aims && missed > 0 {
		return fmt.Errorf("%d of %d aims do not hold or have no figure", missed, len(aims)-1)
	}
	return nil
}

// all measures the clients of all scenarios and prints each measurement when it ends. It returns what
// failed, and goes on with the rest.
func all(ctx context.Context, o *options, t tools, ways []link, chosen []*scenario, r *results, stderr io.Writer) (failed []string, err error) {
	for _, l := range ways {
		for _, s := range chosen {
			for _, name := range s.clients(o, t) {
				what := fmt.Sprintf("%s, %v, %s", s.name, l, name)
				one, err := median(ctx, o, t, s, l, name)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if err != nil {
					fmt.Fprintf(stderr, "%s: %v\n", what, err)
					failed = append(failed, fmt.Sprintf("%s: %v", what, err))
					continue
				}
				fmt.Fprintf(stderr, "%s: %s\n", what, one)
				r.add(one)
				if err := r.save(o.json); err != nil {
					return nil, err
				}
			}
		}
	}
	return failed, nil
}

// patience is how long a client may take to be run again, in seconds.
const patience = 20

// median runs one client count times, or once if it is slow, and returns the run
// with the median wall time.
func median(ctx context.Context, o *options, t tools, s *scenario, l link, name string) (*sample, error) {
	var all []*sample
	for range o.count {
		one, err := measure(ctx, o, t, s, l, name)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
		if one.Wall > patience {
			break
		}
	}
	slices.SortFunc(all, func(a, b *sample) int { return cmp.Compare(a.Wall, b.Wall) })
	middle := all[(len(all)-1)/2]
	for _, one := range all {
		middle.Walls = append(middle.Walls, one.Wall)
	}
	return middle, nil
}
