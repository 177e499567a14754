package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// results is everything that was measured.
type results struct {
	About   []string
	Samples []*sample
}

// load reads the figures of earlier runs; there are none without a file.
func load(file string) (*results, error) {
	r := &results{}
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("reading the figures in %s: %w", file, err)
	}
	r.Samples = slices.DeleteFunc(r.Samples, func(s *sample) bool { return s == nil || find(s.Scenario) == nil })
	return r, nil
}

// save writes the figures to a file, if there is one to write.
func (r *results) save(file string) error {
	if file == "" {
		return nil
	}
	return os.WriteFile(file, marshal(r), 0o644) //nolint:gosec // figures are for everyone
}

// same reports whether a figure is of a scenario over a link.
func (s *sample) same(scenario string, l link) bool { return s.Scenario == scenario && s.Link == l }

// add takes a figure in, in place of an earlier one of the same scenario, link and client.
func (r *results) add(one *sample) {
	r.Samples = slices.DeleteFunc(r.Samples, func(s *sample) bool { return s.same(one.Scenario, one.Link) && s.Client == one.Client })
	r.Samples = append(r.Samples, one)
	protocol := func(s *sample) string { return s.Link.protocol() }
	slices.SortStableFunc(r.Samples, func(a, b *sample) int {
		return cmp.Or(cmp.Compare(protocol(a), protocol(b)), cmp.Compare(a.Link.Latency, b.Link.Latency),
			cmp.Compare(slices.Index(scenarios, find(a.Scenario)), slices.Index(scenarios, find(b.Scenario))),
			cmp.Compare(slices.Index(everyone, a.Client), slices.Index(everyone, b.Client)))
	})
}

// String returns one measurement on one line.
func (s *sample) String() string {
	return fmt.Sprintf("%.2f s, %.2f s CPU, %.0f MB, %d requests", s.Wall, s.CPU, s.RSS, s.Requests)
}

// limit returns the seconds that the requests of the sample take at least: those of the
// busiest host at the most that were in flight there, and those of the longest chain.
func (s *sample) limit() float64 {
	sc := find(s.Scenario)
	if len(s.Seen.Hosts) == 0 {
		return 0 // an estimate
	}
	var trips float64
	busiest := 0
	for _, h := range s.Seen.Hosts {
		trips = max(trips, float64(h.requests())/float64(max(1, h.Peak)))
		busiest = max(busiest, h.requests())
	}
	limit := (trips + float64(sc.chain+s.Link.handshakes())) * s.Link.Latency.Seconds()
	if sc.qps > 0 {
		limit = max(limit, float64(busiest)/float64(sc.qps))
	}
	if sc.limit > 0 {
		limit = max(limit, float64(s.Requests-sc.burst)/float64(sc.limit))
	}
	return limit
}

func (r *results) find(scenario string, l link, client string) *sample {
	for _, s := range r.Samples {
		if s.same(scenario, l) && s.Client == client {
			return s
		}
	}
	return nil
}

// compare works the ratios out.
func (r *results) compare() {
	for _, s := range r.Samples {
		if c := r.find(s.Scenario, s.Link, ours); c != nil && c != s {
			s.TimesWall, s.TimesRequests = s.Wall/c.Wall, float64(s.Requests)/float64(c.Requests)
			c.TimesPeer = max(c.TimesPeer, c.Wall/s.Wall)
		}
		if b := r.find(find(s.Scenario).base, s.Link, s.Client); b != nil {
			s.TimesBase = s.Wall / b.Wall
		}
	}
}

// table is rows of cells, the first being the heading.
type table [][]string

func (r *results) figures() table {
	t := table{{"link", "scenario", "client", "wall s", "of all runs", "limit s", "CPU s", "RSS MB", "requests", "429", "faults", "× cip wall", "× cip requests", "registries' CPU s"}}
	for _, s := range r.Samples {
		t = append(t, []string{
			s.Link.String(), s.Scenario, s.Client, cell("%.2f", s.Wall), spread(s.Walls), cell("%.2f", s.limit()), cell("%.2f", s.CPU), cell("%.0f", s.RSS),
			cell("%.0f", float64(s.Requests)), cell("%.0f", float64(s.Limited)), cell("%.0f", float64(s.Faults)),
			cell("%.1f", s.TimesWall), cell("%.1f", s.TimesRequests), cell("%.2f", s.Seen.CPU),
		})
	}
	return t
}

// aims compares cip's figures with the aims, and counts those that do not hold or have no
// figure. Without peers, no aim compares with them.
func (r *results) aims(peers bool) (t table, missed int) {
	t = table{{"link", "scenario", "figure", "aim", "measured", ""}}
	for _, s := range r.Samples {
		if s.Client != ours {
			continue
		}
		sc := find(s.Scenario)
		a := sc.aim
		wall := map[time.Duration]float64{near: a.Near, far: a.Far}[s.Link.Latency]
		if !peers {
			a.Peer = 0
		}
		for _, f := range []struct {
			what      string
			aim, have float64
			format    string
		}{
			{"wall, s", wall, s.Wall, "%.2f"},
			{"× wall of the best peer", a.Peer, s.TimesPeer, "%.2f"},
			{"× wall of " + sc.base, a.Base, s.TimesBase, "%.2f"},
			{fmt.Sprintf("× wall at %d requests/s", sc.limit), a.Rate, s.Wall * float64(sc.limit) / float64(s.Requests), "%.2f"},
			{"answered 429, %", a.Limited * 100, float64(s.Limited) / float64(s.Requests) * 100, "%.2f"},
			{"CPU, s", a.CPU, s.CPU, "%.2f"},
			{"RSS, MB", a.RSS, s.RSS, "%.0f"},
			{"requests", float64(a.Requests), float64(s.Requests), "%.0f"},
		} {
			verdict := "met"
			switch {
			case f.aim == 0:
				continue
			case f.have > f.aim:
				verdict = "missed"
			case f.have == 0 && strings.HasPrefix(f.what, "× wall of"):
				verdict = "not measured"
			}
			if verdict != "met" {
				missed++
			}
			t = append(t, []string{s.Link.String(), s.Scenario, f.what, fmt.Sprintf(f.format, f.aim), fmt.Sprintf(f.format, f.have), verdict})
		}
	}
	return t, missed
}

// kinds says what each host was asked.
func (r *results) kinds() table {
	t := table{{"link", "scenario", "client", "host", "sent", "received", "at once", "requests"}}
	for _, s := range r.Samples {
		for i, h := range s.Seen.Hosts {
			var parts []string
			for _, k := range slices.Sorted(maps.Keys(h.Kinds)) {
				parts = append(parts, fmt.Sprintf("%s %d", k, h.Kinds[k]))
			}
			t = append(t, []string{s.Link.String(), s.Scenario, s.Client, find(s.Scenario).role(i), bytesOf(h.Sent), bytesOf(h.Received), fmt.Sprint(h.Peak), strings.Join(parts, ", ")})
		}
	}
	return t
}

// cell is a figure, or nothing for 0.
func cell(format string, f float64) string {
	if f == 0 {
		return ""
	}
	return fmt.Sprintf(format, f)
}

// spread is the range of several figures.
func spread(all []float64) string {
	if len(all) < 2 {
		return ""
	}
	return fmt.Sprintf("%.2f to %.2f", slices.Min(all), slices.Max(all))
}

func bytesOf(n int64) string {
	if n < 1e6 {
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// printTables prints tables, for a terminal or in Markdown.
func printTables(w io.Writer, markdown bool, about []string, tables ...table) {
	first, between, last := "", "\t", ""
	if markdown {
		first, between, last = "| ", "\t| ", "\t|"
	}
	fmt.Fprintln(w, strings.Join(about, "; "))
	for _, t := range tables {
		fmt.Fprintln(w)
		out := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
		for i, row := range t {
			fmt.Fprintln(out, first+strings.Join(row, between)+last)
			if markdown && i == 0 {
				fmt.Fprintln(out, first+strings.Repeat("---"+between, len(row)-1)+"---"+last)
			}
		}
		_ = out.Flush() // to stdout, or nobody reads it
	}
}
