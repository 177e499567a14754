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

// add takes a figure in, in place of an earlier one of the same scenario and client.
func (r *results) add(one *sample) {
	r.Samples = slices.DeleteFunc(r.Samples, func(s *sample) bool { return s.Scenario == one.Scenario && s.Client == one.Client })
	r.Samples = append(r.Samples, one)
	slices.SortStableFunc(r.Samples, func(a, b *sample) int {
		return cmp.Or(cmp.Compare(slices.Index(scenarios, find(a.Scenario)), slices.Index(scenarios, find(b.Scenario))),
			cmp.Compare(slices.Index(everyone, a.Client), slices.Index(everyone, b.Client)))
	})
}

// String returns one measurement on one line.
func (s *sample) String() string {
	return fmt.Sprintf("%.2f s, %.2f s CPU, %.0f MB, %d requests, %s sent, %s received", s.Wall, s.CPU, s.RSS, s.Requests, bytesOf(s.Sent), bytesOf(s.Received))
}

func (r *results) find(scenario, client string) *sample {
	for _, s := range r.Samples {
		if s.Scenario == scenario && s.Client == client {
			return s
		}
	}
	return nil
}

// compare works the ratios out.
func (r *results) compare() {
	for _, s := range r.Samples {
		if c := r.find(s.Scenario, ours); c != nil && c != s {
			s.TimesWall, s.TimesRequests = s.Wall/c.Wall, float64(s.Requests)/float64(c.Requests)
		}
		if b := r.find(find(s.Scenario).base, s.Client); b != nil {
			s.TimesBase = s.Wall / b.Wall
		}
	}
}

// table is rows of cells, the first being the heading.
type table [][]string

func (r *results) figures() table {
	t := table{{"scenario", "client", "wall s", "of all runs", "CPU s", "RSS MB", "requests", "sent", "received", "429", "faults", "× cip wall", "× cip requests", "registries' CPU s"}}
	for _, s := range r.Samples {
		t = append(t, []string{
			s.Scenario, s.Client, cell("%.2f", s.Wall), spread(s.Walls), cell("%.2f", s.CPU), cell("%.0f", s.RSS), cell("%.0f", float64(s.Requests)),
			bytesOf(s.Sent), bytesOf(s.Received), cell("%.0f", float64(s.Limited)), cell("%.0f", float64(s.Faults)),
			cell("%.1f", s.TimesWall), cell("%.1f", s.TimesRequests), cell("%.2f", s.Seen.CPU),
		})
	}
	return t
}

// aims holds cip's figures against what is aimed at.
func (r *results) aims() table {
	t := table{{"scenario", "figure", "aim", "measured", ""}}
	for _, s := range r.Samples {
		if s.Client != ours {
			continue
		}
		a := find(s.Scenario).aim
		for _, f := range []struct {
			what      string
			aim, have float64
			format    string
		}{
			{"wall, s", a.Wall, s.Wall, "%.2f"},
			{"CPU, s", a.CPU, s.CPU, "%.2f"},
			{"RSS, MB", a.RSS, s.RSS, "%.0f"},
			{"requests", float64(a.Requests), float64(s.Requests), "%.0f"},
			{"answered 429, %", a.Limited * 100, float64(s.Limited) / float64(s.Requests) * 100, "%.2f"},
			{"× wall of " + find(s.Scenario).base, a.Times, s.TimesBase, "%.2f"},
		} {
			verdict := "met"
			if f.have > f.aim {
				verdict = "missed"
			}
			if f.aim > 0 && f.have > 0 {
				t = append(t, []string{s.Scenario, f.what, cell(f.format, f.aim), cell(f.format, f.have), verdict})
			}
		}
	}
	return t
}

// kinds says what each host was asked.
func (r *results) kinds() table {
	t := table{{"scenario", "client", "host", "sent", "received", "at once", "requests"}}
	for _, s := range r.Samples {
		for i, h := range s.Seen.Hosts {
			var parts []string
			for _, k := range slices.Sorted(maps.Keys(h.Kinds)) {
				parts = append(parts, fmt.Sprintf("%s %d", k, h.Kinds[k]))
			}
			t = append(t, []string{s.Scenario, s.Client, find(s.Scenario).role(i), bytesOf(h.Sent), bytesOf(h.Received), fmt.Sprint(h.Peak), strings.Join(parts, ", ")})
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

// print prints the tables, for a terminal or in Markdown.
func (r *results) print(w io.Writer, markdown bool) {
	first, between, last := "", "\t", ""
	if markdown {
		first, between, last = "| ", "\t| ", "\t|"
	}
	fmt.Fprintln(w, strings.Join(r.About, "; "))
	for _, t := range []table{r.figures(), r.aims(), r.kinds()} {
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
