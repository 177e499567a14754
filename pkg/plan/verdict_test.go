package plan

import "testing"

func TestVerdict(t *testing.T) {
	t.Parallel()
	item := func(action Action, status Status, retryable bool) ReportItem {
		return ReportItem{Action: action.String(), Status: status.String(), Retryable: retryable}
	}
	done, planned, missing := item(Copy, Done, false), item(Copy, Planned, false), item(Missing, Refused, false)
	failed, hopeless, skipped := item(Copy, Failed, true), item(Unreadable, Failed, false), item(Copy, Skipped, false)
	for name, tc := range map[string]struct {
		report Report
		want   Verdict
	}{
		"nothing":                       {Report{}, Succeeded},
		"all done":                      {Report{Items: []ReportItem{done}}, Succeeded},
		"changes":                       {Report{DryRun: true, Items: []ReportItem{planned}}, Changes},
		"changes, and a refusal":        {Report{DryRun: true, Items: []ReportItem{planned, missing}}, Unsuccessful},
		"a failure in a dry run":        {Report{DryRun: true, Items: []ReportItem{planned, failed}}, Unsuccessful},
		"a failure that may be cured":   {Report{Items: []ReportItem{done, failed}}, Retry},
		"one that may not be":           {Report{Items: []ReportItem{failed, hopeless}}, Unsuccessful},
		"a refusal":                     {Report{Items: []ReportItem{missing, failed}}, Unsuccessful},
		"a bad entry":                   {Report{Items: []ReportItem{failed}, Faults: []ReportFault{{}}}, Unsuccessful},
		"evidence that was not read":    {Report{Items: []ReportItem{done, {Action: Copy.String(), Status: Refused.String(), Retryable: true}}}, Retry},
		"evidence that was not enough":  {Report{Items: []ReportItem{failed, {Action: Copy.String(), Status: Refused.String()}}}, Unsuccessful},
		"an allowed refusal":            {Report{Items: []ReportItem{missing, failed}, AllowMissing: true}, Retry},
		"only allowed refusals":         {Report{Items: []ReportItem{missing, done}, AllowMissing: true}, Succeeded},
		"skipped because of a failure":  {Report{Items: []ReportItem{failed, skipped}}, Retry},
		"skipped":                       {Report{Items: []ReportItem{skipped}}, Unsuccessful},
		"interrupted":                   {Report{Items: []ReportItem{failed, hopeless, skipped}, Interrupted: true}, Interrupted},
		"a referrer that may be cured":  {Report{Items: []ReportItem{{Kind: Referrer.String(), Action: Copy.String(), Status: Failed.String(), Retryable: true}}}, Retry},
		"planned evidence":              {Report{DryRun: true, Items: []ReportItem{{Kind: Evidence.String(), Action: Attest.String(), Status: Planned.String()}}}, Changes},
		"evidence that failed":          {Report{Items: []ReportItem{{Kind: Evidence.String(), Action: Attest.String(), Status: Failed.String()}}}, Unsuccessful},
		"a referrer that may not be":    {Report{Items: []ReportItem{{Kind: Referrer.String(), Action: Copy.String(), Status: Failed.String()}}}, Unsuccessful},
		"existing tags are left as are": {Report{Items: []ReportItem{item(Existing, Done, false)}}, Succeeded},
	} {
		if got := tc.report.Verdict(); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}
