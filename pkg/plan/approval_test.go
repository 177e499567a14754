package plan_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// planOf plans a set against one repository, prod.example/p/x, in which tags point
// to digests of letters, "latest=A"; the source holds everything.
func planOf(wanted *plan.Wanted, have string) *plan.Plan {
	inv := &inventory.Repository{}
	for _, word := range strings.Fields(have) {
		tag, letter, _ := strings.Cut(word, "=")
		d := digest(10 + int(letter[0]-'A'))
		inv.SetDigest(d, inventory.Present)
		if tag != "" {
			inv.SetTag(tag, d)
		}
	}
	inv.Close()
	p := &plan.Plan{}
	for _, t := range wanted.Targets {
		found := plan.Found{Digests: map[v1.Hash]plan.Finding{}}
		for _, e := range plan.Lacking(t, inv).Entries {
			found.Digests[e.Digest] = plan.Finding{State: inventory.Present, From: e.Sources[0].Repository}
		}
		items, n := plan.Compute(t, inv, found)
		p.Items, p.UpToDate = append(p.Items, items...), p.UpToDate+n
	}
	p.Sort()
	return p
}

func TestHold(t *testing.T) {
	t.Parallel()
	const head = "registries:\n- {name: staging.example/s, src: true}\n- {name: prod.example/p, mutable-tags: [latest]}\nimages:\n"
	const all = head + "- {name: x, dmap: {$A: ['1', '2'], $B: [latest], $C: []}}\n"
	for name, tc := range map[string]struct {
		then, now         string // manifests; now like then if empty
		before, meanwhile string // what the destination holds
		want              []string
		upToDate          int
	}{
		"nothing moved": {
			then: all, before: "latest=A", meanwhile: "latest=A",
			want: []string{"tag planned A 1,2", "move planned B latest was A", "copy planned C"},
		},
		"all is so": {then: all, before: "latest=A", meanwhile: "1=A 2=A latest=B =C", upToDate: 4},
		"a tag to be moved moved": {
			then: all, before: "latest=A", meanwhile: "latest=C",
			want: []string{"copy refused A 1,2: moved since the plan: the destination does not hold the digest any more",
				"move refused B latest was C: moved since the plan: the tag pointed to A and points to C"},
			upToDate: 1,
		},
		"a tag to be moved does not exist any more": {
			then: all, before: "latest=A", meanwhile: "=A",
			want: []string{"tag planned A 1,2", "copy refused B latest: moved since the plan: the tag pointed to A and does not exist any more", "copy planned C"},
		},
		"a tag that was free is taken, and may move": {
			then: all, before: "1=A 2=A", meanwhile: "1=A 2=A latest=C",
			want: []string{"move refused B latest was C: moved since the plan: the tag did not exist then, and now points to C"}, upToDate: 1,
		},
		"a tag that was free is taken, and may not move": {
			then: all, before: "", meanwhile: "2=C",
			want: []string{"copy planned A 1", "conflict refused A 2 was C: moved since the plan: the tag did not exist then, and now points to C", "copy planned B latest"}, upToDate: 1,
		},
		"no longer wanted": {
			then: all, now: head + "- {name: x, dmap: {$A: ['2'], $C: ['9']}}\n", before: "", meanwhile: "",
			want: []string{"copy refused A 1: the manifests do not want it", "copy planned A 2",
				"copy refused B latest: the manifests do not want it", "copy refused C: the manifests do not want it"},
		},
		"wanted for another digest": {
			then: all, now: head + "- {name: x, dmap: {$C: ['1'], $A: ['2']}}\n", before: "latest=B =C", meanwhile: "latest=B =C",
			want: []string{"copy refused A 1: the manifests now want C under that tag", "copy planned A 2"},
		},
		"an overlap now": {
			then: all, now: all + "- {name: x, dmap: {$C: ['1']}}\n", before: "latest=B =C", meanwhile: "latest=B =C",
			want: []string{"copy planned A 2", "invalid refused A 1: overlap"},
		},
		"more wanted": {
			then: all, now: all + "- {name: x, dmap: {$C: ['8']}}\n- {name: y, dmap: {$A: ['1']}}\n", before: "1=A 2=A =C", meanwhile: "1=A 2=A =C",
			want: []string{"copy planned B latest"},
		},
		"refused then": {
			then: all, before: "1=C 2=A latest=B", meanwhile: "2=A latest=B =C",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			then := set(t, tc.then)
			a, err := planOf(plan.Desired(then, nil), tc.before).Report(true, &plan.Wanted{}).Approve()
			if err != nil {
				t.Fatal(err)
			}
			now := then
			if tc.now != "" {
				now = set(t, tc.now)
			}
			w := plan.Desired(now, nil)
			w.Select(a.Selection(), now.Faults)
			p := planOf(w, tc.meanwhile)
			a.Hold(p, w)
			names := strings.NewReplacer(digest(10).String(), "A", digest(11).String(), "B", digest(12).String(), "C")
			var got []string
			for it := range plan.Groups(p.Items) {
				line := fmt.Sprintf("%s %s %s", it.Action, it.Status, it.Digest)
				if len(it.Tags) > 0 {
					line += " " + strings.Join(it.Tags, ",")
				}
				if it.Previous != (v1.Hash{}) {
					line += " was " + it.Previous.String()
				}
				if it.Action == plan.Invalid {
					it.Error, _, _ = strings.Cut(it.Error, ":")
				}
				if it.Error != "" {
					line += ": " + it.Error
				}
				got = append(got, names.Replace(line))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if p.UpToDate != tc.upToDate {
				t.Errorf("%d up to date, want %d", p.UpToDate, tc.upToDate)
			}
		})
	}
}

// Of the manifests' faults those count that the plan meets.
func TestSelectApproved(t *testing.T) {
	t.Parallel()
	const bad = "- {name: y, dmap: {'sha256:bad': ['1']}}\n"
	s := set(t, bad+"- {name: x, dmap: {$A: ['1']}}\n")
	a, err := planOf(plan.Desired(s, nil), "").Report(true, &plan.Wanted{}).Approve()
	if err != nil {
		t.Fatal(err)
	}
	w := plan.Desired(s, nil)
	for _, f := range w.Select(a.Selection(), s.Faults) {
		if f.Severity != manifest.Warning {
			t.Errorf("got %s, want only warnings", f)
		}
	}
	if got := w.Edges(); got != 1 {
		t.Errorf("got %d edges, want 1", got)
	}
}

// The flags of a run say which evidence it writes, not the plan that it applies.
func TestApproveLeavesEvidenceOut(t *testing.T) {
	t.Parallel()
	at := plan.ReportItem{Status: "planned", Destination: "prod.example/x", Digest: digest(1).String()}
	copied, record := at, at
	copied.Action, record.Action, record.Kind, record.What = "copy", "attest", "evidence", "record"
	a, err := (&plan.Report{Version: 1, DryRun: true, Items: []plan.ReportItem{copied, record}}).Approve()
	if err != nil {
		t.Fatalf("got %v, want no error", err)
	}
	want, err := (&plan.Report{Version: 1, DryRun: true, Items: []plan.ReportItem{copied}}).Approve()
	if err != nil {
		t.Fatalf("got %v, want no error", err)
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %+v, want %+v, as without the evidence", a, want)
	}
}

func TestApproveRefuses(t *testing.T) {
	t.Parallel()
	good := plan.ReportItem{Action: "copy", Status: "planned", Destination: "prod.example/x", Digest: digest(1).String(), Tags: []string{"1"}}
	with := func(change func(*plan.ReportItem)) []plan.ReportItem {
		it := good
		change(&it)
		return []plan.ReportItem{it}
	}
	for name, tc := range map[string]struct {
		report plan.Report
		want   string
	}{
		"no version":       {plan.Report{DryRun: true, Items: []plan.ReportItem{}}, "it has no version"},
		"another version":  {plan.Report{Version: 2, DryRun: true}, "unknown version 2"},
		"a real run":       {plan.Report{Version: 1, Items: []plan.ReportItem{}}, "real run"},
		"no items":         {plan.Report{Version: 1, DryRun: true}, "it has no promotions"},
		"action":           {plan.Report{Items: with(func(r *plan.ReportItem) { r.Action = "erase" })}, `promotions[0]: unknown action "erase"`},
		"no action":        {plan.Report{Items: with(func(r *plan.ReportItem) { r.Action = "" })}, "unknown action"},
		"status":           {plan.Report{Items: with(func(r *plan.ReportItem) { r.Status = "" })}, "unknown status"},
		"kind":             {plan.Report{Items: with(func(r *plan.ReportItem) { r.Kind = "odd" })}, "unknown kind"},
		"planned conflict": {plan.Report{Items: with(func(r *plan.ReportItem) { r.Action = "conflict" })}, "conflict cannot be planned"},
		"digest":           {plan.Report{Items: with(func(r *plan.ReportItem) { r.Digest = "" })}, "bad digest"},
		"previous":         {plan.Report{Items: with(func(r *plan.ReportItem) { r.PreviousDigest = "x" })}, "bad digest"},
		"tag":              {plan.Report{Items: with(func(r *plan.ReportItem) { r.Tags = []string{"a b"} })}, "bad tag"},
		"destination":      {plan.Report{Items: with(func(r *plan.ReportItem) { r.Destination = "x" })}, "promotions[0]"},
		"a move from what": {plan.Report{Items: with(func(r *plan.ReportItem) { r.Action = "move" })}, "without tags or previousDigest"},
		"evidence":         {plan.Report{Items: with(func(r *plan.ReportItem) { r.Kind, r.Action, r.What = "evidence", "attest", "odd" })}, `unknown evidence "odd"`},
		"a copy of a kind": {plan.Report{Items: with(func(r *plan.ReportItem) { r.Kind, r.What = "evidence", "record" })}, "do not belong together"},
		"attest alone":     {plan.Report{Items: with(func(r *plan.ReportItem) { r.Action = "attest" })}, "do not belong together"},
		"of no subject":    {plan.Report{Items: with(func(r *plan.ReportItem) { r.Kind = "referrer" })}, "referrer without subject"},
		"twice":            {plan.Report{Items: append(with(func(r *plan.ReportItem) { r.Digest = digest(2).String() }), good)}, "promotions[1]: prod.example/x:1 is planned twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(tc.report.Items) > 0 {
				tc.report.Version, tc.report.DryRun = 1, true
			}
			_, err := tc.report.Approve()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
