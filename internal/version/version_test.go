package version

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuildInfo(t *testing.T) {
	t.Parallel()
	vcs := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"},
	}
	tests := map[string]struct {
		linked Build
		info   debug.BuildInfo
		want   Build
	}{
		"go install":        {info: debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, want: Build{Version: "1.2.3"}},
		"go build":          {info: debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs}, want: Build{"dev", "0123abc-dirty", "2026-01-02T03:04:05Z"}},
		"no information":    {want: Build{Version: "dev"}},
		"the linker's wins": {linked: Build{"2.0.0", "fff", "then"}, info: debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: vcs}, want: Build{"2.0.0", "fff", "then"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, test.linked.or(&test.info)); diff != "" {
				t.Errorf("build (-want +got):\n%s", diff)
			}
		})
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	for commit, want := range map[string]string{
		"":        "1.2.3 2026-01-02T03:04:05Z",
		"0123abc": "1.2.3 0123abc 2026-01-02T03:04:05Z",
		"0123456789abcdef0123456789abcdef01234567":       "1.2.3 0123456789ab 2026-01-02T03:04:05Z",
		"0123456789abcdef0123456789abcdef01234567-dirty": "1.2.3 0123456789ab-dirty 2026-01-02T03:04:05Z",
	} {
		got := Build{Version: "1.2.3", Commit: commit, Date: "2026-01-02T03:04:05Z"}.String()
		if want += " " + runtime.Version() + " " + Platform(); got != want {
			t.Errorf("commit %q: got %q, want %q", commit, got, want)
		}
	}
}
