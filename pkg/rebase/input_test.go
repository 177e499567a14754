package rebase

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// inputOf returns an image with one layer for each letter of layers. The letter is
// its diff ID.
func inputOf(t *testing.T, layers, history string) *inputImage {
	t.Helper()
	ids, _ := json.Marshal(strings.Split(layers, ""))
	p := &inputImage{layers: make([]part, len(layers))}
	if err := p.parseConfig(fmt.Appendf(nil, `{"rootfs":{"diff_ids":%s},"history":%s}`, ids, history)); err != nil {
		t.Fatal(err)
	}
	return p
}

// steps prints a history: one letter for each entry, in brackets if it has no layer.
func steps(all []*object) string {
	var b strings.Builder
	for _, s := range all {
		var by string
		var empty bool
		_, _ = s.read("created_by", &by), s.read("empty_layer", &empty)
		if by == "" {
			by = "."
		}
		if empty {
			by = "(" + by + ")"
		}
		b.WriteString(by)
	}
	return b.String()
}

// history parses the notation of steps and returns the history as JSON.
func history(text string) string {
	var all []string
	empty := false
	for _, c := range text {
		switch c {
		case '(':
			empty = true
		case ')':
			empty = false
		default:
			all = append(all, fmt.Sprintf(`{"created":"2020-01-01T00:00:00Z","created_by":"%c","empty_layer":%t}`, c, empty))
		}
	}
	return "[" + strings.Join(all, ",") + "]"
}

// The history of a rebased app is that of the base and then that of the app's own
// layers.
func TestHistory(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		app, base string // histories
		layers    string // of the app; one of them is its own
		want      string
	}{
		"one entry for each layer": {history("abz"), history("cd"), "abz", "cdz"},
		"entries without layers":   {history("(x)ab(y)z(w)"), history("(u)cd(v)"), "abz", "(u)cd(v)z(w)"},
		"none":                     {"null", "null", "abz", "..."},
		"too few":                  {history("az"), history("c(d)"), "abz", "..."},
		"too many":                 {history("abcdz"), history("cd"), "abz", "cd."},
		"not a list":               {`7`, history("cd"), "abz", "cd."},
		"not objects":              {`[1,null]`, history("cd"), "abz", "cd."},
		"empty_layer is a string":  {`[{},{},{"empty_layer":"no"}]`, history("cd"), "abz", "cd."},
		"nothing of its own":       {history("ab(y)"), history("cd"), "ab", "cd"},
		"last entries of the base are not the app's": {history("ab(v)(w)z"), history("cd(v)(w)"), "abz", "cd(v)(w)z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := steps(append(inputOf(t, "cd", tc.base).history(0), inputOf(t, tc.layers, tc.app).history(2)...))
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	for _, s := range inputOf(t, "ab", history("ab")).history(0) {
		raw, err := strictjson.Marshal(s)
		if err != nil || !strings.Contains(string(raw), `"created":"`+created+`"`) {
			t.Errorf("got %s, %v, want created %s", raw, err, created)
		}
	}
}

// A configuration that two readers may read differently is an error.
func TestConfigurationOfTwoReadings(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`{"rootfs":{},"rootfs":{}}`, `{"rootfs":{"diff_ids":[],"Diff_IDs":[]}}`, `{"config":{"Env":[],"env":[]}}`} {
		if err := (&inputImage{}).parseConfig([]byte(raw)); err == nil {
			t.Errorf("got no error for %s, want one", raw)
		}
	}
	raw := `{"rootfs":{"diff_ids":[]},"config":{"Labels":{"a":"1","A":"2"},"Volumes":{"/x":{},"/X":{}}}}`
	if err := (&inputImage{}).parseConfig([]byte(raw)); err != nil {
		t.Errorf("got %v for %s, want none", err, raw)
	}
}

// The top layer of the base is its last occurrence below the app's own layers.
func TestBaseLayerCount(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		layers, own, top string
		want             int
	}{
		"once":                        {"abcz", "cz", "b", 2},
		"twice in the base":           {"aeberz", "rz", "e", 4},
		"among the app's own as well": {"aebez", "b", "e", 2},
		"own layers are not listed":   {"abaz", "", "a", 3},
		"listed as the app's own":     {"abz", "az", "b", 2},
		"all layers are listed":       {"az", "a", "z", 2},
		"no such layer":               {"abz", "z", "x", 0},
		"no top layer in the label":   {"abz", "z", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &metadata{topLayer: tc.top, layers: map[string]struct{}{}}
			for _, l := range tc.own {
				m.layers[string(l)] = struct{}{}
			}
			got, err := baseLayerCount(inputOf(t, tc.layers, "null"), m)
			if got != tc.want || (err != nil) != (tc.want == 0) {
				t.Errorf("got %d, %v, want %d", got, err, tc.want)
			}
		})
	}
}

// The platform in the configuration is replaced by that of the base. All other
// members keep their order and text.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	read := func(text string) *inputImage {
		p := &inputImage{layers: make([]part, 1)}
		if err := p.parseConfig([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	app := read(`{"os":"linux","architecture":"arm64","variant":"v8","os.version":"1","author":"x","config":{"Labels":{"z":"1"},"Cmd":null,"Env":["PATH=/a"]},"size":1e3,"rootfs":{"diff_ids":["a"],"type":"layers"}}`)
	base := read(`{"os":"linux","architecture":"arm64","os.features":["f"],"config":{"Env":["PATH=/b"]},"rootfs":{"diff_ids":["b"],"type":"layers"}}`)
	got, err := app.configOn(base, 1, "L")
	want := `{"os":"linux","architecture":"arm64","variant":"v8","author":"x","config":{"Labels":{"z":"1","` + lifecycleLabel + `":"L"},"Cmd":null,"Env":["PATH=/a"]},"size":1e3,"rootfs":{"diff_ids":["b"],"type":"layers"},"os.features":["f"],"created":"` + created + `","history":[{"created":"` + created + `"}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Among images for one OS and architecture, the OS version counts before the variant.
func TestForPlatform(t *testing.T) {
	t.Parallel()
	one := func(arch, variant, version string) child {
		return child{platform: platform{OS: "windows", Architecture: arch, Variant: variant, OSVersion: version}}
	}
	all := []child{
		{platform: platform{OS: "windows", Architecture: "amd64"}, attestation: true},
		one("amd64", "", "10.0.17763.1"), one("amd64", "", "10.0.20348.1"), one("amd64", "", "10.0.20348.2"),
		one("arm", "v6", ""), one("arm", "", ""), one("arm", "v7", ""), one("arm64", "v8", ""), one("arm64", "v9", ""),
	}
	for name, tc := range map[string]struct {
		want platform
		got  int
	}{
		"the version":           {one("amd64", "", "10.0.20348.2").platform, 3},
		"the build":             {one("amd64", "", "10.0.20348.9").platform, 2},
		"another build":         {one("amd64", "", "10.0.1.1").platform, 1},
		"no version":            {one("amd64", "", "").platform, 1},
		"the variant":           {one("arm", "v7", "").platform, 6},
		"one without a variant": {one("arm", "v5", "").platform, 5},
		"without a variant":     {one("arm", "", "").platform, 5},
		"any variant":           {one("arm64", "", "").platform, 7},
		"none":                  {one("s390x", "", "").platform, -1},
	} {
		got := -1
		if c := forPlatform(all, tc.want); c != nil {
			got = slices.IndexFunc(all, func(o child) bool { return o.platform == c.platform && !o.attestation })
		}
		if got != tc.got {
			t.Errorf("%s: got %d, want %d", name, got, tc.got)
		}
	}
}
