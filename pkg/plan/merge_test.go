package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shardReport returns the report of a shard that copies one tag.
func shardReport(index, count int) *Report {
	return &Report{
		Version: ReportVersion, Manifests: Origin{Path: "m", Digest: "sha256:1", Since: "main", Base: "c0", Shard: fmt.Sprintf("%d/%d", index, count)},
		Summary: Summary{UpToDate: index, Copy: 1},
		Items:   []ReportItem{{Action: "copy", Status: "done", Destination: fmt.Sprintf("eu.example.com/prod/%c", 'a'+(index+1)%count), Tags: []string{"1.0"}}},
		Faults:  []ReportFault{}, Warnings: []string{"common", fmt.Sprintf("of %d", index)}, Requests: map[string]int{"eu.example.com": 10 + index}, Bytes: 100, Seconds: float64(index),
		Estimate: map[string]Estimate{"eu.example.com": {Requests: 3, Bytes: 5, AtLeast: index == 1}},
	}
}

// merged merges the reports as files 0.json, 1.json and so on.
func merged(reports ...*Report) (*Report, error) {
	parts := make([]Part, len(reports))
	for i, r := range reports {
		parts[i] = Part{fmt.Sprintf("%d.json", i), r}
	}
	return Merge(parts)
}

func TestMerge(t *testing.T) {
	t.Parallel()
	a, b, c := shardReport(0, 3), shardReport(1, 3), shardReport(2, 3)
	shared, own := ReportFault{"f", 2, 1, "overlap"}, ReportFault{"f", 1, 1, "bad tag"}
	a.Faults, c.Faults = []ReportFault{own, shared}, []ReportFault{shared}
	got, err := merged(c, a, b)
	if err != nil {
		t.Fatal(err)
	}
	item := func(repo string) ReportItem {
		return ReportItem{Action: "copy", Status: "done", Destination: "eu.example.com/prod/" + repo, Tags: []string{"1.0"}}
	}
	want := &Report{
		Version: ReportVersion, Manifests: Origin{Path: "m", Digest: "sha256:1", Since: "main", Base: "c0"},
		Summary: Summary{UpToDate: 3, Copy: 3}, Items: []ReportItem{item("a"), item("b"), item("c")},
		Faults: []ReportFault{own, shared}, Warnings: []string{"common", "of 0", "of 1", "of 2"},
		Requests: map[string]int{"eu.example.com": 33}, Bytes: 300, Seconds: 2,
		Estimate: map[string]Estimate{"eu.example.com": {Requests: 9, Bytes: 15, AtLeast: true}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("merged report (-want +got):\n%s", diff)
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		count  int
		change func(r []*Report) []*Report
		want   string
	}{
		"none":                {0, nil, "no reports"},
		"a missing shard":     {3, func(r []*Report) []*Report { return r[1:] }, "no report of shard 0/3 in 0.json, 1.json"},
		"many missing shards": {1, func(r []*Report) []*Report { r[0].Manifests.Shard = "3/2000000000"; return r }, "no report of shard 0/2000000000, 1/2000000000, 2/2000000000, 4/2000000000, 5/2000000000, 1999999994 more in 0.json"},
		"a repeated shard":    {2, func(r []*Report) []*Report { return append(r, r[1]) }, "shard 1/2 is in both 1.json and 2.json"},
		"different manifests": {2, func(r []*Report) []*Report { r[1].Manifests.Digest = "sha256:2"; return r }, "0.json and 1.json are of different manifests"},
		"different counts":    {2, func(r []*Report) []*Report { r[1].Manifests.Shard = "1/3"; return r }, "0.json and 1.json are of different numbers of shards"},
		"different revisions": {2, func(r []*Report) []*Report { r[1].Manifests.Since = "v1"; return r }, "0.json and 1.json are of different --since"},
		"a moved revision":    {2, func(r []*Report) []*Report { r[1].Manifests.Base = "c1"; return r }, "0.json and 1.json are of different --since"},
		"dry and real":        {2, func(r []*Report) []*Report { r[1].DryRun = true; return r }, "0.json and 1.json are of a dry run and a real run"},
		"missing allowed":     {2, func(r []*Report) []*Report { r[1].AllowMissing = true; return r }, "0.json and 1.json are with and without --allow-missing"},
		"one repository":      {2, func(r []*Report) []*Report { r[1].Items = r[0].Items; return r }, "eu.example.com/prod/b is in both 0.json and 1.json"},
		"no shard":            {2, func(r []*Report) []*Report { r[1].Manifests.Shard = ""; return r }, "1.json: it is not the report of a shard"},
		"a bad shard":         {2, func(r []*Report) []*Report { r[1].Manifests.Shard = "2/2"; return r }, `1.json: bad shard "2/2"`},
		"another document":    {1, func(r []*Report) []*Report { r[0].Version = 0; return r }, "0.json: it is not a report of cip run"},
		"another version":     {1, func(r []*Report) []*Report { r[0].Version = 9; return r }, "0.json: it has the unknown version 9"},
		"no promotions":       {1, func(r []*Report) []*Report { r[0].Items = nil; return r }, "0.json: it is not a report of cip run"},
		"no digest":           {1, func(r []*Report) []*Report { r[0].Manifests.Digest = ""; return r }, "0.json: it does not name the digest"},
		"an unknown action":   {1, func(r []*Report) []*Report { r[0].Items[0].Action = "delete"; return r }, `0.json: promotions[0]: unknown action "delete"`},
		"an unknown status":   {1, func(r []*Report) []*Report { r[0].Items[0].Status = "ok"; return r }, `0.json: promotions[0]: unknown status "ok"`},
		"a removed failure":   {1, func(r []*Report) []*Report { r[0].Summary.Failed = 1; return r }, "0.json: its summary does not count its promotions"},
		"negative requests":   {1, func(r []*Report) []*Report { r[0].Requests["x"] = -1; return r }, "0.json: a number of requests, bytes or seconds is negative"},
		"a negative estimate": {1, func(r []*Report) []*Report { r[0].Estimate["x"] = Estimate{Bytes: -1}; return r }, "0.json: a number of requests, bytes or seconds is negative"},
	} {
		var reports []*Report
		for i := range tc.count {
			reports = append(reports, shardReport(i, tc.count))
		}
		if tc.change != nil {
			reports = tc.change(reports)
		}
		_, err := merged(reports...)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got error %v, want %q", name, err, tc.want)
		}
	}
}
