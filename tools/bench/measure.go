package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// longest is how long a client may take.
const longest = 10 * time.Minute

// sample is one measurement.
type sample struct {
	Scenario string
	Client   string
	Link     link
	usage
	Walls    []float64 // of all runs
	Requests int
	Limited  int // requests answered 429
	Faults   int
	Seen     tally

	TimesWall     float64 // cip's, of a peer's
	TimesRequests float64
	TimesBase     float64 // the wall time of the same without limit or faults
	TimesPeer     float64 // cip's wall time, of the best peer's
}

// measure runs one client in one scenario, with registries of its own.
func measure(ctx context.Context, o *options, t tools, s *scenario, l link, client string) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	dir, err := os.MkdirTemp("", "cip-bench-run-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	regs, err := start(ctx, o, s, l, dir)
	if err != nil {
		return nil, fmt.Errorf("starting the registries: %w", err)
	}
	defer regs.stop()
	j, err := s.job(t, client, l, dir, &regs.ready)
	if err != nil {
		return nil, err
	}
	u, err := j.measure(ctx, dir)
	if err != nil {
		return nil, err
	}
	out := &sample{Scenario: s.name, Client: client, Link: l, usage: *u}
	if j.expect != nil {
		out.Requests = u.expected
		return out, nil
	}
	if err := regs.ask(&out.Seen); err != nil {
		return nil, fmt.Errorf("asking the registries: %w", err)
	}
	if p := out.Seen.Problems; len(p) > 0 {
		return nil, fmt.Errorf("%d tags are not as they should be: %s", len(p), p[0])
	}
	for _, h := range out.Seen.Hosts {
		out.Requests += h.requests()
		out.Limited += h.Limited
		out.Faults += h.Faults
	}
	return out, nil
}

// serving is the process that serves a scenario's registries.
type serving struct {
	ready
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *json.Decoder
}

// start starts the registries and waits until they are filled.
func start(ctx context.Context, o *options, s *scenario, l link, dir string) (*serving, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &serving{cmd: exec.CommandContext(ctx, self, "-serve", s.name, "-dir", dir, "-latency", l.Latency.String(),
		"-tls="+strconv.FormatBool(l.HTTP2), "-seed", fmt.Sprint(o.seed), "-kubernetes", o.kubernetes)}
	p.cmd.Env = append(os.Environ(), "GOGC=1000") // its processor time is the client's too
	p.cmd.Stderr = os.Stderr
	p.stdin, err = p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.out.Decode(&p.ready); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// ask asks what has been seen.
func (p *serving) ask(t *tally) error {
	if _, err := io.WriteString(p.stdin, "\n"); err != nil {
		return err
	}
	return p.out.Decode(t)
}

// stop ends the process.
func (p *serving) stop() {
	p.stdin.Close()
	_ = p.cmd.Wait() // what it had to say it has said
}
