package rebase

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// apiVersion is the version of the platform API that built an app.
type apiVersion struct{ major, minor int }

// targetsSince is the first version in which targets stand for stacks.
var targetsSince = apiVersion{0, 12}

func parseAPI(s string) (apiVersion, error) {
	if s == "" {
		return apiVersion{}, nil
	}
	major, minor, dotted := strings.Cut(s, ".")
	if !dotted {
		minor = "0"
	}
	var v [2]uint64
	for i, part := range []string{major, minor} {
		var err error
		if v[i], err = strconv.ParseUint(part, 10, 31); err != nil {
			return apiVersion{}, fmt.Errorf("reading the app's CNB_PLATFORM_API: bad version %.40q", s)
		}
	}
	return apiVersion{int(v[0]), int(v[1])}, nil
}

func (v apiVersion) before(w apiVersion) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// check holds an app against a base by the rules of the platform that built the
// app. Reasons that a user may overrule come back as doubts.
func check(app, base *picture) (doubts []string, err error) {
	api, err := parseAPI(app.platformAPI)
	if err != nil {
		return nil, err
	}
	if api.before(targetsSince) {
		return nil, errors.Join(checkStack(app, base), checkMixins(app, base), checkMachine(app, base))
	}
	if app.labels[rebasableLabel] == "false" {
		doubts = append(doubts, "app image is not marked as rebasable: label "+rebasableLabel+" is false")
	}
	if was, is := app.target(), base.target(); !was.allows(is) {
		doubts = append(doubts, fmt.Sprintf("unable to satisfy target os/arch constraints: the new base image is %s, the app %s", is, was))
	}
	return doubts, nil
}

func checkStack(app, base *picture) error {
	was, is := app.labels[stackLabel], base.labels[stackLabel]
	switch {
	case was == "":
		return errors.New("stack not defined on app image: no label " + stackLabel)
	case is == "":
		return errors.New("stack not defined on new base image: no label " + stackLabel)
	case was != is:
		return fmt.Errorf("incompatible stack: %q of the new base image is not compatible with %q of the app", is, was)
	}
	return nil
}

func checkMixins(app, base *picture) error {
	want, err := mixins("app", app)
	if err != nil {
		return err
	}
	have, err := mixins("new base image", base)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(want, func(m string) bool { return slices.Contains(have, m) })
	if len(missing) > 0 {
		return fmt.Errorf("missing required mixin(s): %s", strings.Join(missing, ", "))
	}
	return nil
}

// mixins returns what an image says it holds, sorted, without the stages they are for.
func mixins(side string, p *picture) ([]string, error) {
	label := p.labels[mixinsLabel]
	if label == "" {
		return nil, nil
	}
	var all []string
	if err := json.Unmarshal([]byte(label), &all); err != nil {
		return nil, fmt.Errorf("reading label %s of the %s: %w", mixinsLabel, side, err)
	}
	for i, m := range all {
		all[i] = strings.TrimPrefix(strings.TrimPrefix(m, "run:"), "build:")
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// checkMachine refuses what cannot run, for platforms that did not look.
func checkMachine(app, base *picture) error {
	if a, b := app.platform, base.platform; a.OS != "" && b.OS != "" && a.OS != b.OS ||
		a.Architecture != "" && b.Architecture != "" && a.Architecture != b.Architecture {
		return fmt.Errorf("the new base image is for %s, the app for %s", b, a)
	}
	return nil
}

// target is what an image needs of its base.
type target struct {
	platform
	distro, release string
}

func (p *picture) target() target {
	return target{p.platform, p.labels[distroName], p.labels[distroVersion]}
}

// allows reports whether a base with target is will do in place of one with t.
func (t target) allows(is target) bool {
	return t.OS == is.OS && t.Architecture == is.Architecture &&
		(t.Variant == "" || is.Variant == "" || t.Variant == is.Variant) &&
		(t.distro == "" || t.distro == is.distro) && (t.release == "" || t.release == is.release)
}

// String returns the target as people write it.
func (t target) String() string {
	if t.distro == "" {
		return t.platform.String()
	}
	return strings.TrimSpace(t.platform.String() + " on " + t.distro + " " + t.release)
}
