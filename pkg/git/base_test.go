package git_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

func TestStart(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.FixedZone("", 2*3600)) // 10:00 UTC
	tests := map[string]string{                                            // the time in UTC; "": neither a date nor a duration; else a part of the error
		"2026-03-01":                "2026-03-01T00:00:00Z",
		"2026-03-01T06:30":          "2026-03-01T06:30:00Z",
		"2026-03-01 06:30:10":       "2026-03-01T06:30:10Z",
		"2026-03-01T06:30:10Z":      "2026-03-01T06:30:10Z",
		"2026-03-01T06:30:10+02:00": "2026-03-01T04:30:10Z",
		"2026-03-01 06:30 -0100":    "2026-03-01T07:30:00Z",
		"14d":                       "2026-03-17T10:00:00Z",
		"14 days":                   "2026-03-17T10:00:00Z",
		"14 days ago":               "2026-03-17T10:00:00Z",
		"1 day":                     "2026-03-30T10:00:00Z",
		"2w":                        "2026-03-17T10:00:00Z",
		"36h":                       "2026-03-29T22:00:00Z",
		"1h30m":                     "2026-03-31T08:30:00Z",
		"90 minutes":                "2026-03-31T08:30:00Z",
		"30s":                       "2026-03-31T09:59:30Z",
		"2mo":                       "2026-01-31T10:00:00Z",
		"1y":                        "2025-03-31T10:00:00Z",
		"0d":                        "must be positive",
		"2026-02-30":                "",
		"20260301":                  "", // may be the id of a commit
		"1234567d":                  "", // may be one, too
		"-3d":                       "",
		"-1h":                       "",
		"d":                         "",
		"14":                        "",
		"14 parsecs":                "",
		"HEAD~1":                    "",
		"":                          "",
	}
	for text, want := range tests {
		got := ""
		start, ok, err := git.Start(text, now)
		switch {
		case err != nil:
			got = err.Error()
		case ok:
			got = start.UTC().Format(time.RFC3339)
		}
		if got != want && (err == nil || want == "" || !strings.Contains(got, want)) {
			t.Errorf("Start(%q): got %q, want %q", text, got, want)
		}
	}
}

// newSample has main = m1, m2, m3, M, m4, at 10, 20, 30, 50 and 60 seconds, and f1 at
// 40, which M merged.
func TestBase(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	s.Ref("refs/heads/7d", s.ids["m2"])
	s.Ref("refs/tags/2026-01-01", s.ids["m3"])
	s.Ref("refs/heads/auto", s.ids["m3"])
	s.Ref("refs/heads/"+s.ids["m4"][:4], s.ids["m1"])
	s.Ref("refs/remotes/origin/main", s.ids["m3"])
	s.Ref("refs/heads/feature", s.ids["f1"])
	event := func(text string) string {
		name := filepath.Join(t.TempDir(), "event.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	shallow := s.Shallow("main", []string{s.ids["m4"], s.ids["M"]}, s.ids["M"])
	tests := map[string]struct {
		text string
		env  map[string]string
		dir  string // "": the whole repository
		want string // the name of the commit; "-": no commit; else a part of the error
		say  string // a part of how it was found
	}{
		"a revision":                       {text: "HEAD~1", want: "M"},
		"a branch, not an abbreviation":    {text: s.ids["m4"][:4], want: "m1"},
		"the parent of that branch":        {text: s.ids["m4"][:4] + "~1", want: "no such revision"},
		"an abbreviation":                  {text: s.ids["m4"][:7], want: "m4"},
		"an unknown revision":              {text: "nowhere", want: "no such revision"},
		"a bad date":                       {text: "2026-13-01", want: "a date is written like 2026-11-01"},
		"a date":                           {text: "2026-01-01T00:00:45", want: "m3", say: "the newest one before 2026-01-01T00:00:45Z"},
		"at the second of a commit":        {text: "2026-01-01T00:00:50Z", want: "m3"},
		"a duration":                       {text: "45s", want: "M"}, // now is 100
		"a zone":                           {text: "2026-01-01T01:00:25+01:00", want: "m2"},
		"an empty window":                  {text: "30 seconds", want: "m4", say: "nothing to do: no commit since 2026-01-01T00:01:10Z"},
		"the future":                       {text: "2027-01-01", want: "m4", say: "nothing to do"},
		"before all commits":               {text: "1y", want: "-", say: "everything is new"},
		"a branch that is a duration":      {text: "7d", want: "m2", say: "refs/heads/7d"},
		"that duration":                    {text: "7 days", want: "-"},
		"a tag that is a date":             {text: "2026-01-01", want: "m3", say: "refs/tags/2026-01-01"},
		"the window of a shallow clone":    {text: "45s", dir: shallow.Dir, want: "M"},
		"no window of a shallow clone":     {text: "1h", dir: shallow.Dir, want: "history ends at " + s.ids["M"]},
		"Prow before the merge":            {text: "auto", env: map[string]string{"JOB_TYPE": "presubmit", "PULL_BASE_SHA": s.ids["m2"]}, want: "m2", say: "PULL_BASE_SHA"},
		"Prow, a batch":                    {text: "auto", env: map[string]string{"JOB_TYPE": "batch", "PULL_BASE_SHA": s.ids["m2"]}, want: "m2", say: "batch"},
		"Prow after the merge":             {text: "auto", env: map[string]string{"JOB_TYPE": "postsubmit", "PULL_BASE_SHA": s.ids["m2"]}, want: "M", say: "HEAD^"},
		"Prow on a schedule":               {text: "auto", env: map[string]string{"JOB_TYPE": "periodic", "PULL_BASE_SHA": s.ids["m2"]}, want: `JOB_TYPE is "periodic"`},
		"Prow without a base":              {text: "auto", env: map[string]string{"JOB_TYPE": "presubmit"}, want: "PULL_BASE_SHA is not set"},
		"GitHub, a pull request":           {text: "auto", env: map[string]string{"GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main"}, want: "m3", say: "merge base with origin/main"},
		"GitHub, an unknown branch":        {text: "auto", env: map[string]string{"GITHUB_BASE_REF": "none"}, want: "no such revision"},
		"GitHub, a shallow clone":          {text: "auto", dir: shallow.Dir, env: map[string]string{"GITHUB_BASE_REF": "main"}, want: "shallow clone"},
		"GitHub, a push":                   {text: "auto", env: map[string]string{"GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": event(`{"before": "` + s.ids["m2"] + `"}`)}, want: "m2", say: "GITHUB_EVENT_PATH"},
		"GitHub, a new branch":             {text: "auto", env: map[string]string{"GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": event(`{"before": "` + strings.Repeat("0", 40) + `"}`)}, want: "the push created the branch"},
		"GitHub, not an id":                {text: "auto", env: map[string]string{"GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": event(`{"before": "main"}`)}, want: "not the id of a commit"},
		"GitHub, not an event":             {text: "auto", env: map[string]string{"GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": event("x")}, want: "GITHUB_EVENT_PATH"},
		"GitHub, no event":                 {text: "auto", env: map[string]string{"GITHUB_EVENT_NAME": "push"}, want: "GITHUB_EVENT_PATH is not set"},
		"GitHub, a schedule":               {text: "auto", env: map[string]string{"GITHUB_EVENT_NAME": "schedule"}, want: `GITHUB_EVENT_NAME is "schedule"`},
		"auto is not a branch":             {text: "auto", want: "the environment names no base"},
		"auto by its full name is, though": {text: "refs/heads/auto", want: "m3"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tc.dir
			if dir == "" {
				dir = s.Dir
			}
			now := time.Date(2026, 1, 1, 0, 1, 40, 0, time.UTC)
			base, err := open(t, dir).Base(t.Context(), tc.text, now, func(name string) string { return tc.env[name] })
			got := s.names[base.Commit]
			switch {
			case err != nil:
				got = err.Error()
			case base.Commit == "":
				got = "-"
			}
			if got != tc.want && (err == nil || !strings.Contains(got, tc.want)) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if !strings.Contains(base.Found, tc.say) || tc.say == "" && strings.Contains(base.Found, "wins") {
				t.Errorf("got %q, want %q in it", base.Found, tc.say)
			}
		})
	}
}

// The base of a pull request is where it left the branch, whatever was merged since.
func TestMergeBase(t *testing.T) {
	t.Parallel()
	type commit struct {
		second  int
		parents string
	}
	line := map[string]commit{"r": {1, ""}, "a": {2, "r"}, "b": {3, "a"}}
	tests := map[string]struct {
		commits       map[string]commit
		head, want    string
		cut, upstream string
	}{
		"the same":                    {commits: line, head: "b", upstream: "b", want: "b"},
		"ahead":                       {commits: line, head: "b", upstream: "a", want: "a"},
		"behind":                      {commits: line, head: "r", upstream: "b", want: "r"},
		"a fork":                      {commits: map[string]commit{"r": {1, ""}, "a": {2, "r"}, "m": {9, "a"}, "f": {5, "a"}}, head: "f", upstream: "m", want: "a"},
		"a fork that merged the base": {commits: map[string]commit{"r": {1, ""}, "m": {3, "r"}, "n": {6, "m"}, "f": {2, "r"}, "g": {4, "f m"}}, head: "g", upstream: "n", want: "m"},
		"the merge of a pull request": {commits: map[string]commit{"r": {1, ""}, "m": {3, "r"}, "f": {2, "r"}, "M": {4, "m f"}}, head: "M", upstream: "m", want: "m"},
		"a clock that is behind":      {commits: map[string]commit{"r": {9, ""}, "a": {8, "r"}, "m": {2, "a"}, "f": {1, "a"}}, head: "f", upstream: "m", want: "a"},
		"nothing in common":           {commits: map[string]commit{"r": {1, ""}, "s": {2, ""}}, head: "r", upstream: "s", want: "no common ancestor"},
		"cut off before it":           {commits: map[string]commit{"r": {1, ""}, "m": {2, "r"}, "f": {3, "r"}}, head: "f", upstream: "m", cut: "f m", want: "the clone is shallow"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, ids := gittest.New(t), map[string]string{}
			var add func(string) string
			add = func(name string) string {
				if ids[name] == "" {
					var parents []string
					for _, p := range strings.Fields(tc.commits[name].parents) {
						parents = append(parents, add(p))
					}
					ids[name] = r.Commit(tc.commits[name].second, map[string]string{"file": name}, parents...)
				}
				return ids[name]
			}
			for name := range tc.commits {
				add(name)
			}
			r.Branch("topic", ids[tc.head])
			if tc.cut != "" {
				var ends []string
				for _, name := range strings.Fields(tc.cut) {
					ends = append(ends, ids[name])
				}
				r = r.Shallow("topic", ends, ends...)
			}
			r.Ref("refs/remotes/origin/main", ids[tc.upstream])
			env := map[string]string{"GITHUB_BASE_REF": "main"}
			base, err := open(t, r.Dir).Base(t.Context(), "auto", time.Now(), func(name string) string { return env[name] })
			if err != nil && !strings.Contains(err.Error(), tc.want) || err == nil && base.Commit != ids[tc.want] {
				t.Errorf("got %v, error %v, want %s (%s)", base, err, tc.want, ids[tc.want])
			}
		})
	}
}
