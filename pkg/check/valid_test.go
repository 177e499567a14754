package check_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// faultsOf returns the faults of manifests, and those between them.
func faultsOf(s *manifest.Set) []manifest.Fault {
	return slices.Concat(s.Faults, plan.Desired(s, nil).Faults)
}

// What the base has is a note, wherever it is in its file now; what is new is a finding.
func TestValidSince(t *testing.T) {
	t.Parallel()
	const (
		good    = "- name: apple\n  dmap: {\"(a)\": [\"1.0\"]}\n"
		short   = "- name: pear\n  dmap: {sha256:short: [\"1.0\"]}\n"
		tag     = "- name: plum\n  dmap: {\"(a)\": [\"a b\"]}\n"
		overlap = "- name: fig\n  dmap:\n    \"(a)\": [\"1.0\"]\n    \"(b)\": [\"1.0\"]\n"
	)
	both := func(one, two string) map[string]string { return thin(map[string]string{"one": one, "two": two}) }
	twice := strings.Replace(plain(good)["m.yaml"], "name: r.example/prod", "{name: r.example/prod, src: true}", 1)
	repeated := strings.Replace(overlap, "(a)", "(c)", 1)
	tests := map[string]struct {
		base, head map[string]string
		want       string // "file:line new" or "old" for each fault
	}{
		"nothing":              {plain(good), plain(good), ""},
		"new":                  {plain(good), plain(good + short), "m.yaml:9 new"},
		"old":                  {plain(short), plain(short), "m.yaml:7 old"},
		"fixed":                {plain(short), plain(good), ""},
		"moved down":           {plain(short + tag), plain("# note\n" + good + short + tag), "m.yaml:10 old,m.yaml:12 old"},
		"in another order":     {plain(short + tag), plain(tag + short), "m.yaml:7 old,m.yaml:9 old"},
		"in another column":    {plain(short), plain("- name: pear\n  dmap:\n    sha256:short: [\"1.0\"]\n"), "m.yaml:8 old"},
		"in a changed entry":   {plain(tag), plain("- name: plum\n  dmap: {\"(b)\": [x], \"(a)\": [ok, \"a b\"]}\n"), "m.yaml:7 old"},
		"also in another one":  {plain(tag), plain(strings.Replace(tag, "plum", "kiwi", 1) + tag), "m.yaml:7 new,m.yaml:9 old"},
		"in another one":       {plain(tag), plain(strings.Replace(tag, "plum", "kiwi", 1)), "m.yaml:7 new"},
		"of another digest":    {plain(tag), plain(strings.Replace(tag, "(a)", "(b)", 1)), "m.yaml:7 new"},
		"twice in one entry":   {plain(short), plain(short + short), "m.yaml:7 old,m.yaml:9 new"},
		"in another team's":    {both(short, ""), both("", short), "images/two/images.yaml:2 new"},
		"in both teams'":       {both(short, ""), both(short, short), "images/one/images.yaml:2 old,images/two/images.yaml:2 new"},
		"overlap":              {plain(overlap), plain(good + overlap), "m.yaml:10 old"},
		"overlap, new":         {plain(good), plain(good + overlap), "m.yaml:10 new"},
		"overlap, one more":    {plain(overlap), plain(overlap + "    \"(c)\": [\"1.0\"]\n"), "m.yaml:10 new"},
		"overlap, one other":   {plain(overlap), plain(repeated), "m.yaml:8 new"},
		"overlap, elsewhere":   {plain(overlap), plain(strings.Replace(overlap, "fig", "kiwi", 1)), "m.yaml:8 new"},
		"overlap, other files": {both("- name: fig\n  dmap: {\"(a)\": [\"1.0\"]}\n", ""), both("- name: fig\n  dmap: {\"(a)\": [\"1.0\"]}\n", "- name: fig\n  dmap: {\"(b)\": [\"1.0\"]}\n"), "images/one/images.yaml:2 new"},
		"overlap, one more destination": {plain(overlap), map[string]string{"m.yaml": strings.Replace(plain(overlap)["m.yaml"], "- name: r.example/eu\n", "- name: r.example/asia\n- name: r.example/eu\n", 1)},
			"m.yaml:9 old"},
		"duplicate key, moved":    {plain("- name: fig\n  name: fig\n  dmap: {}\n"), plain(good + "- name: fig\n  name: fig\n  dmap: {}\n"), "m.yaml:9 old,m.yaml:10 old"},
		"second source, moved":    {map[string]string{"m.yaml": twice}, map[string]string{"m.yaml": "#\n" + twice}, "m.yaml:4 old"},
		"a warning becomes worse": {plain("- name: fig\n  dmap:\n"), plain("- name: fig\n  dmap: x\n"), "m.yaml:7 new"},
		"a warning, new":          {plain(good), plain("- name: fig\n  dmap:\n"), "m.yaml:7 note"},
		"a warning, old":          {plain("- name: fig\n  dmap:\n"), plain(good + "- name: fig\n  dmap:\n"), "m.yaml:9 old"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			head := set(t, tc.head)
			in := input(head)
			in.Faults = faultsOf(head)
			var got []string
			for _, f := range check.Run(t.Context(), []check.Rule{check.Valid{Base: faultsOf(set(t, tc.base))}}, in) {
				state := map[check.Level]string{check.Note: "note", check.Error: "new"}[f.Level]
				if f.Old {
					state = "old"
				}
				got = append(got, strings.Fields(lines([]check.Finding{f}))[0]+" "+state)
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, ",")); diff != "" {
				t.Errorf("findings (-want +got):\n%s%v", diff, in.Faults)
			}
		})
	}
}

// A finding of a rule about images is a note only if the base wanted exactly the same.
func TestRunSince(t *testing.T) {
	t.Parallel()
	const apple = "- name: apple\n  dmap: {\"(a)\": [\"1.0\"]}\n"
	text := plain(apple)["m.yaml"]
	tests := map[string]struct {
		base string
		old  bool
	}{
		"the same":           {text, true},
		"another account":    {strings.Replace(text, "- name: r.example/prod\n", "- name: r.example/prod\n  service-account: a@b\n", 1), true},
		"another source":     {strings.Replace(text, "r.example/staging", "r.example/other", 1), false},
		"another tag":        {strings.Replace(text, "1.0", "2.0", 1), false},
		"without the tag":    {strings.Replace(text, "\"1.0\"", "", 1), false},
		"another digest":     {strings.Replace(text, "(a)", "(b)", 1), false},
		"no such repository": {strings.Replace(text, "name: apple", "name: pear", 1), false},
		"the tag may move":   {strings.Replace(text, "- name: r.example/prod\n", "- name: r.example/prod\n  mutable-tags: ['*']\n", 1), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(set(t, plain(apple)), item(plan.Conflict, "prod/apple", digestA, "1.0"))
			in.Base = plan.Desired(set(t, map[string]string{"m.yaml": tc.base}), nil)
			found := check.Run(t.Context(), []check.Rule{check.Tags{}}, in)
			if len(found) != 1 || found[0].Old != tc.old || check.Bad(found) == tc.old {
				t.Errorf("got %+v, want one finding, a note: %v", found, tc.old)
			}
		})
	}
}
