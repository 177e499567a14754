package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The clients, as the tables name them.
const (
	ours    = "cip"
	crane   = "crane"
	regsync = "regsync"
	tuned   = "regsync tuned"
	skopeo  = "skopeo"

	// cip in other forms. The figures of an estimate are those that cip expects, so its
	// ratios say how far they are off.
	estimate = "estimate of cip"
	shards4  = "cip 4 shards"
	shards16 = "cip 16 shards"
	shards64 = "cip 64 shards"
)

// everyone is who may be measured, in the order of the tables.
var everyone = []string{ours, estimate, shards4, shards16, shards64, crane, regsync, tuned, skopeo}

// shardCounts are the processes of the clients that divide the work.
var shardCounts = map[string]int{shards4: 4, shards16: 16, shards64: 64}

// isCip reports whether a client is cip, in any form.
func isCip(client string) bool {
	return client == ours || client == estimate || shardCounts[client] > 0
}

// clients returns who is measured in a scenario. Those that take minutes have to be asked for.
func (s *scenario) clients(o *options, t tools) []string {
	asked := []string{ours, crane, tuned}
	if s.divided { // peers have no shards
		asked = []string{ours, estimate, shards4, shards16, shards64}
	}
	if o.clients != "" {
		asked = strings.Split(o.clients, ",")
	}
	return slices.DeleteFunc(slices.Clone(everyone), func(client string) bool {
		return !slices.Contains(asked, client) || t.of(client) == "" ||
			!isCip(client) && !s.peers || s.snapshot && client != ours && client != crane ||
			client == estimate && (s.promoted || s.limit > 0) || shardCounts[client] > 0 && !s.divided
	})
}

// job returns what a client is to run. Its configuration goes to dir.
func (s *scenario) job(t tools, client string, l link, dir string, r *ready) (*job, error) {
	j := &job{AtOnce: 1}
	if l.HTTP2 {
		j.Env = []string{"SSL_CERT_FILE=" + r.CA}
	}
	var config any
	file, path := filepath.Join(dir, "config.yaml"), t.of(client)
	switch client {
	case ours, estimate, shards4, shards16, shards64:
		config = promotion{registries(append([]string{r.Hosts[0] + staging}, r.destinations()...)), images(r)}
		s.cip(j, path, file, dir, r)
		if l := l.Latency.String(); client == estimate {
			j.Commands[0] = append(without(j.Commands[0], "--confirm"), "--estimate", "--round-trip", l)
			j.right, j.expect = nil, expected
		}
		if n := shardCounts[client]; n > 0 {
			j.divide(n, path, dir, r)
		}
	case crane: // a process for each repository, or tag of a snapshot, sixteen at once
		j.AtOnce = 16
		if s.snapshot {
			j.Commands = craneSnapshot(path, r)
			break
		}
		for _, to := range r.destinations() {
			for _, repo := range repositories(r) {
				j.Commands = append(j.Commands, []string{path, "copy", "--all-tags", r.Hosts[0] + staging + "/" + repo, to + "/" + repo})
			}
		}
	case regsync, tuned:
		config = regsyncConfig(r, l, client == tuned)
		j.Commands = [][]string{{path, "once", "--verbosity", "warn", "--config", file}}
	case skopeo: // a process for each destination, one after the other
		config = skopeoConfig(r, l)
		verify := strconv.FormatBool(l.HTTP2)
		for _, to := range r.destinations() {
			j.Commands = append(j.Commands, []string{
				path, "--insecure-policy", "sync", "--all", "--preserve-digests", "--src-tls-verify=" + verify, "--dest-tls-verify=" + verify,
				"--src", "yaml", "--dest", "docker", file, to,
			})
		}
	}
	return j, writeYAML(file, config)
}

// craneSnapshot returns the commands that print what the snapshot of a registry holds.
func craneSnapshot(path string, r *ready) [][]string {
	commands := [][]string{{path, "catalog", r.Hosts[0]}}
	to := r.destinations()[0]
	for _, repo := range repositories(r) {
		commands = append(commands, []string{path, "ls", to + "/" + repo})
	}
	for _, e := range r.Edges {
		commands = append(commands, []string{path, "digest", to + "/" + e.Repo + ":" + e.Tag})
	}
	return commands
}

// repositories returns the names of the repositories that are wanted.
func repositories(r *ready) []string {
	var all []string
	for _, e := range r.Edges {
		all = append(all, e.Repo)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// promotion is a plain manifest.
type promotion struct {
	Registries []promotionRegistry `yaml:"registries"`
	Images     []promoted          `yaml:"images,omitempty"`
}

type promotionRegistry struct {
	Name   string `yaml:"name"`
	Source bool   `yaml:"src,omitempty"`
}

type promoted struct {
	Name    string              `yaml:"name" json:"name"`
	Digests map[string][]string `yaml:"dmap" json:"dmap"`
}

// registries names a source and its destinations.
func registries(names []string) []promotionRegistry {
	var all []promotionRegistry
	for i, n := range names {
		all = append(all, promotionRegistry{n, i == 0})
	}
	return all
}

// images returns what is wanted, as manifests and snapshots do.
func images(r *ready) []promoted {
	all := []promoted{}
	for _, repo := range repositories(r) {
		img := promoted{repo, map[string][]string{}}
		for _, e := range r.Edges {
			if e.Repo == repo {
				img.Digests[e.Digest] = append(img.Digests[e.Digest], e.Tag)
			}
		}
		all = append(all, img)
	}
	return all
}

// cip fills in the job of cip.
func (s *scenario) cip(j *job, path, file, dir string, r *ready) {
	args := []string{path, "run", "--confirm", "--manifest", file}
	j.right = func(code int, stdout []byte) error { return rightReport(code, stdout, r) }
	switch {
	case s.snapshot:
		args = []string{path, "snapshot", r.destinations()[0]}
		j.right = func(code int, stdout []byte) error { return rightSnapshot(code, stdout, r) }
	case s.content == nil:
		args = []string{path, "run", "--thin-manifest-dir", filepath.Join(dir, "thin")}
	}
	if s.qps > 0 {
		args = append(args, "--qps", strconv.Itoa(s.qps))
	}
	if r.CA != "" { // without the flag, cip tries plain HTTP first on loopback, as it does nowhere else
		args = append(args, "--insecure-skip-tls-verify", strings.Join(r.Hosts, ","))
	}
	j.Commands = [][]string{append(args, "--quiet", "--output", "json")}
}

func without(args []string, one string) []string {
	return slices.DeleteFunc(args, func(arg string) bool { return arg == one })
}

// divide makes a job of one process into one of n shards, whose reports are merged.
func (j *job) divide(n int, path, dir string, r *ready) {
	whole := j.Commands[0]
	merge := []string{"report", "merge", "--output", "json"}
	j.Commands, j.AtOnce = nil, n
	for i := range n {
		report := filepath.Join(dir, fmt.Sprintf("report-%d.json", i))
		merge = append(merge, report)
		j.Commands = append(j.Commands, append(slices.Clone(whole), "--report", report, "--shard", fmt.Sprintf("%d/%d", i, n)))
	}
	j.right = func(code int, _ []byte) error {
		merged, err := exec.Command(path, merge...).Output()
		if err != nil {
			return fmt.Errorf("merging the reports of shards: %w", err)
		}
		return rightReport(code, merged, r)
	}
}

// expected returns the requests and the seconds that a dry run expects of the busiest host.
func expected(stdout []byte) (requests int, seconds float64, err error) {
	var report struct {
		Estimate map[string]struct {
			Requests int
			Seconds  float64
		}
	}
	if err := json.Unmarshal(stdout, &report); err != nil {
		return 0, 0, fmt.Errorf("parsing the estimate: %w", err)
	}
	for _, h := range report.Estimate {
		requests += h.Requests
		seconds = max(seconds, h.Seconds)
	}
	return requests, seconds, nil
}

// rightReport holds a report against what was there before. What is promoted is
// looked for in the registries.
func rightReport(code int, stdout []byte, r *ready) error {
	var report struct{ Summary map[string]int }
	if err := json.Unmarshal(stdout, &report); err != nil {
		return fmt.Errorf("parsing the report (exit code %d): %w", code, err)
	}
	n := report.Summary
	switch {
	case code != 0 && (!r.Faulty || code != 1),
		n["upToDate"] != r.UpToDate, n["conflict"]+n["missing"]+n["unknown"]+n["failed"] > 0,
		r.UpToDate > 0 && n["copy"]+n["tag"]+n["move"] > 0:
		return fmt.Errorf("exit code %d, %v, want %d up to date", code, n, r.UpToDate)
	}
	return nil
}

func rightSnapshot(code int, stdout []byte, r *ready) error {
	var got []promoted
	if err := json.Unmarshal(stdout, &got); err != nil {
		return fmt.Errorf("parsing the snapshot (exit code %d): %w", code, err)
	}
	if code != 0 || string(marshal(got)) != string(marshal(images(r))) {
		return fmt.Errorf("exit code %d, a snapshot of %d repositories is not what they hold", code, len(got))
	}
	return nil
}

// regsyncConfig has an entry for each tag. By default one entry at a time is worked
// on, with three requests in flight to a host.
func regsyncConfig(r *ready, l link, tuned bool) any {
	type cred struct {
		Registry   string `yaml:"registry"`
		TLS        string `yaml:"tls"`
		Concurrent int    `yaml:"reqConcurrent,omitempty"`
	}
	type entry struct {
		Source string `yaml:"source"`
		Target string `yaml:"target"`
		Type   string `yaml:"type"`
	}
	var c struct {
		Version  int            `yaml:"version"`
		Creds    []cred         `yaml:"creds"`
		Defaults map[string]int `yaml:"defaults,omitempty"`
		Sync     []entry        `yaml:"sync"`
	}
	c.Version = 1
	concurrent := 0
	if tuned {
		concurrent, c.Defaults = 64, map[string]int{"parallel": 32}
	}
	tls := "disabled"
	if l.HTTP2 {
		tls = "enabled"
	}
	for _, h := range r.Hosts {
		c.Creds = append(c.Creds, cred{h, tls, concurrent})
	}
	for _, to := range r.destinations() {
		for _, e := range r.Edges {
			name := "/" + e.Repo + ":" + e.Tag
			c.Sync = append(c.Sync, entry{r.Hosts[0] + staging + name, to + name, "image"})
		}
	}
	return c
}

// skopeoConfig names the tags of the source.
func skopeoConfig(r *ready, l link) any {
	type registry struct {
		TLS    bool                `yaml:"tls-verify"`
		Images map[string][]string `yaml:"images"`
	}
	tags := map[string][]string{}
	for _, e := range r.Edges {
		name := strings.TrimPrefix(staging, "/") + "/" + e.Repo
		tags[name] = append(tags[name], e.Tag)
	}
	return map[string]registry{r.Hosts[0]: {l.HTTP2, tags}}
}

func writeYAML(file string, v any) error {
	raw, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // for the one run
		return err
	}
	return os.WriteFile(file, raw, 0o644) //nolint:gosec // everyone may read it
}
