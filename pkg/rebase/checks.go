package rebase

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// apiVersion is a version of the buildpacks platform API.
type apiVersion struct{ major, minor int }

// targetsSince is the first platform API that uses targets instead of stacks.
var targetsSince = apiVersion{0, 12}

// parseAPI parses a version. A missing version is the oldest one, 0.0.
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

// check reports why app cannot run on base.
//
// The rules depend on the platform API that built the app. Problems that --force
// may override are returned in overridable, all others as err.
func check(app, base *inputImage) (overridable []string, err error) {
	api, err := parseAPI(app.platformAPI)
	if err != nil {
		return nil, err
	}
	if api.before(targetsSince) {
		return nil, errors.Join(checkStack(app, base), checkMixins(app, base), checkPlatform(app, base))
	}
	if app.labels[rebasableLabel] == "false" {
		overridable = append(overridable, "app image is not marked as rebasable: label "+rebasableLabel+" is false")
	}
	if was, is := app.target(), base.target(); !was.allows(is) {
		overridable = append(overridable, fmt.Sprintf("unable to satisfy target os/arch constraints: the new base image is %s, the app %s", is, was))
	}
	return overridable, nil
}

func checkStack(app, base *inputImage) error {
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

func checkMixins(app, base *inputImage) error {
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

// mixins returns the mixins in an image's label, sorted.
//
// It removes the stage prefixes "run:" and "build:".
func mixins(side string, p *inputImage) ([]string, error) {
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

// checkPlatform refuses a base for another operating system or architecture.
//
// Lifecycles before platform API 0.12 do not check this, but the rebased app could
// not run. An empty value matches any other.
func checkPlatform(app, base *inputImage) error {
	if a, b := app.platform, base.platform; a.OS != "" && b.OS != "" && a.OS != b.OS ||
		a.Architecture != "" && b.Architecture != "" && a.Architecture != b.Architecture {
		return fmt.Errorf("the new base image is for %s, the app for %s", b, a)
	}
	return nil
}

// target is the platform and the Linux distribution that an image is built for.
type target struct {
	platform
	distro, release string
}

func (p *inputImage) target() target {
	return target{p.platform, p.labels[distroName], p.labels[distroVersion]}
}

// allows reports whether an app with target t can run on a base with target is.
func (t target) allows(is target) bool {
	return t.OS == is.OS && t.Architecture == is.Architecture &&
		(t.Variant == "" || is.Variant == "" || t.Variant == is.Variant) &&
		(t.distro == "" || t.distro == is.distro) && (t.release == "" || t.release == is.release)
}

// String returns the platform, followed by "on DISTRO RELEASE" if they are known.
func (t target) String() string {
	if t.distro == "" {
		return t.platform.String()
	}
	return strings.TrimSpace(t.platform.String() + " on " + t.distro + " " + t.release)
}
