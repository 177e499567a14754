package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Part is the report of one shard, and the name of its file.
type Part struct {
	File string
	*Report
}

// Merge joins the reports of all shards of a run into the report of one run.
//
// Requests, bytes and estimates add up, and the duration is the longest. It is an error
// if a shard is missing or repeated, or if the reports are of different runs.
func Merge(parts []Part) (*Report, error) {
	if len(parts) == 0 {
		return nil, errors.New("no reports")
	}
	for _, p := range parts {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", p.File, err)
		}
		if err := p.compare(parts[0]); err != nil {
			return nil, err
		}
	}
	parts, err := inOrder(parts)
	if err != nil {
		return nil, err
	}
	if err := disjoint(parts); err != nil {
		return nil, err
	}
	first := parts[0]
	m := &Report{Version: ReportVersion, DryRun: first.DryRun, Manifests: first.Manifests, AllowMissing: first.AllowMissing, Items: []ReportItem{}, Warnings: []string{}, Requests: map[string]int{}}
	m.Manifests.Shard = ""
	for _, p := range parts {
		m.add(p.Report)
	}
	slices.SortStableFunc(m.Items, func(a, b ReportItem) int { return compareNames(a.Destination, b.Destination) })
	m.Faults = mergeFaults(parts)
	slices.Sort(m.Warnings)
	m.Warnings = slices.Compact(m.Warnings)
	return m, nil
}

// check returns an error unless the report is one of a shard, and complete.
func (p Part) check() error {
	switch {
	case p.Version == 0 || p.Items == nil:
		return errors.New("it is not a report of cip run")
	case p.Version != ReportVersion:
		return fmt.Errorf("it has the unknown version %d: want %d", p.Version, ReportVersion)
	case p.Manifests.Shard == "":
		return errors.New("it is not the report of a shard: it is of a run without --shard")
	case p.Manifests.Digest == "":
		return errors.New("it does not name the digest of its manifests")
	}
	if _, err := p.shard(); err != nil {
		return err
	}
	counted := Summary{UpToDate: p.Summary.UpToDate}
	for i := range p.Items {
		items, err := p.Items[i].items()
		if err != nil {
			return fmt.Errorf("promotions[%d]: %w", i, err)
		}
		for n := range items {
			counted.count(&items[n])
		}
	}
	if counted != p.Summary || counted.UpToDate < 0 {
		return errors.New("its summary does not count its promotions: it was changed")
	}
	return p.costs()
}

// costs returns an error if a cost is negative.
func (p Part) costs() error {
	bad := p.Bytes < 0 || !(p.Seconds >= 0)
	for _, n := range p.Requests {
		bad = bad || n < 0
	}
	for _, e := range p.Estimate {
		bad = bad || e.Requests < 0 || e.Bytes < 0 || e.Seconds < 0
	}
	if bad {
		return errors.New("a number of requests, bytes or seconds is negative")
	}
	return nil
}

// shard returns the shard of the report.
func (p Part) shard() (Shard, error) {
	s, err := ParseShard(p.Manifests.Shard)
	if err != nil {
		return s, fmt.Errorf("bad shard %.40q", p.Manifests.Shard)
	}
	return s, nil
}

// compare returns an error if two reports are not of the same run.
func (p Part) compare(first Part) error {
	own, _ := p.shard() // check has parsed them
	want, _ := first.shard()
	for _, v := range []struct{ what, got, want string }{
		{"of different manifests", p.Manifests.Digest, first.Manifests.Digest},
		{"of different numbers of shards", strconv.Itoa(own.Count), strconv.Itoa(want.Count)},
		{"of a dry run and a real run", strconv.FormatBool(p.DryRun), strconv.FormatBool(first.DryRun)},
		{"of different --since", p.Manifests.Since + " " + p.Manifests.Base, first.Manifests.Since + " " + first.Manifests.Base},
		{"with and without --allow-missing", strconv.FormatBool(p.AllowMissing), strconv.FormatBool(first.AllowMissing)},
	} {
		if v.got != v.want {
			return fmt.Errorf("%s and %s are %s", first.File, p.File, v.what)
		}
	}
	return nil
}

// maxMissing is the number of missing shards that an error names.
const maxMissing = 5

// inOrder returns the reports by shard. It is an error if one is missing or repeated.
func inOrder(parts []Part) ([]Part, error) {
	at := map[int]Part{}
	first, _ := parts[0].shard()
	count := first.Count
	for _, p := range parts {
		own, _ := p.shard()
		if other, ok := at[own.Index]; ok {
			return nil, fmt.Errorf("shard %s is in both %s and %s", p.Manifests.Shard, other.File, p.File)
		}
		at[own.Index] = p
	}
	var missing []string
	for i := 0; i < count && len(missing) < maxMissing && len(at) < count; i++ {
		if _, ok := at[i]; !ok {
			missing = append(missing, fmt.Sprintf("%d/%d", i, count))
		}
	}
	if more := count - len(at) - len(missing); more > 0 {
		missing = append(missing, fmt.Sprintf("%d more", more))
	}
	if missing != nil {
		files := make([]string, len(parts))
		for i, p := range parts {
			files[i] = p.File
		}
		return nil, fmt.Errorf("no report of shard %s in %s", strings.Join(missing, ", "), strings.Join(files, ", "))
	}
	sorted := make([]Part, 0, count)
	for _, index := range slices.Sorted(maps.Keys(at)) {
		sorted = append(sorted, at[index])
	}
	return sorted, nil
}

// disjoint returns an error if two shards have the same destination repository. Invalid
// entries may have the name of any.
func disjoint(parts []Part) error {
	owner := map[string]string{}
	for _, p := range parts {
		for i := range p.Items {
			it := &p.Items[i]
			if it.Action == Invalid.String() {
				continue
			}
			if other, ok := owner[it.Destination]; ok && other != p.File {
				return fmt.Errorf("%s is in both %s and %s: they are not shards of one run", it.Destination, other, p.File)
			}
			owner[it.Destination] = p.File
		}
	}
	return nil
}

// add adds the items and costs of a shard.
func (r *Report) add(p *Report) {
	r.Summary.UpToDate += p.Summary.UpToDate
	for i := range p.Items {
		items, _ := p.Items[i].items() // check has parsed them
		for n := range items {
			r.Summary.count(&items[n])
		}
	}
	r.Items, r.Warnings = append(r.Items, p.Items...), append(r.Warnings, p.Warnings...)
	for host, n := range p.Requests {
		r.Requests[host] += n
	}
	for host, e := range p.Estimate {
		if r.Estimate == nil {
			r.Estimate = map[string]Estimate{}
		}
		sum := r.Estimate[host]
		r.Estimate[host] = Estimate{Requests: sum.Requests + e.Requests, Bytes: sum.Bytes + e.Bytes, AtLeast: sum.AtLeast || e.AtLeast, Seconds: max(sum.Seconds, e.Seconds)}
	}
	r.Bytes += p.Bytes
	r.Seconds = max(r.Seconds, p.Seconds)
	r.Interrupted = r.Interrupted || p.Interrupted
}

// mergeFaults returns the faults of all shards, sorted. A fault that concerns several
// shards is reported by each of them, and is one.
func mergeFaults(parts []Part) []ReportFault {
	most := map[ReportFault]int{} // the number of times that one shard reports it
	for _, p := range parts {
		times := map[ReportFault]int{}
		for _, f := range p.Faults {
			times[f]++
			most[f] = max(most[f], times[f])
		}
	}
	all := []ReportFault{}
	for f, n := range most {
		all = append(all, slices.Repeat([]ReportFault{f}, n)...)
	}
	slices.SortFunc(all, func(a, b ReportFault) int {
		return cmp.Or(a.pos().Compare(b.pos()), strings.Compare(a.Message, b.Message))
	})
	return all
}

// compareNames orders names of repositories as image.CompareRepositories does. A name may
// be malformed.
func compareNames(a, b string) int {
	hostA, pathA, _ := strings.Cut(a, "/")
	hostB, pathB, _ := strings.Cut(b, "/")
	return cmp.Or(strings.Compare(hostA, hostB), strings.Compare(pathA, pathB))
}
