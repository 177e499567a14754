package resolve

import (
	"fmt"
	"regexp"

	"github.com/Masterminds/semver/v3"
)

// semVer implements the policy semver: it selects the highest version in a range.
//
// The rules are those of Flux image policies. A version has three numbers, may
// start with "v" and may have leading zeros, as dates do. Pre-releases are candidates
// only if the range has one.
type semVer struct {
	text        string
	constraints *semver.Constraints
}

func newSemVer(text string) *semVer {
	constraints, err := semver.NewConstraint(text)
	if err != nil {
		panic(err) // package manifest has validated the range
	}
	return &semVer{text, constraints}
}

var (
	versionRE = regexp.MustCompile(`^v?([0-9]+)\.([0-9]+)\.([0-9]+)((?:[-+].*)?)$`)
	zerosRE   = regexp.MustCompile(`^0+([0-9])`)
)

func (*semVer) parse(value string) (any, string, error) {
	v, reason := version(value)
	return v, reason, nil
}

func (s *semVer) admits(rank any) string {
	v := rank.(*semver.Version)
	if s.constraints.Check(v) {
		return ""
	}
	release := semver.New(v.Major(), v.Minor(), v.Patch(), "", "")
	if v.Prerelease() != "" && s.constraints.Check(release) {
		return fmt.Sprintf("is a pre-release, which %s leaves out: a range such as ~%s-0 has it", s.text, release)
	}
	return "is not in " + s.text
}

// version parses a version, or returns the reason why value is not one.
func version(value string) (*semver.Version, string) {
	const not = "is not a semantic version of three numbers"
	m := versionRE.FindStringSubmatch(value)
	if m == nil {
		return nil, not
	}
	text := ""
	for i, number := range m[1:4] {
		if i > 0 {
			text += "."
		}
		text += zerosRE.ReplaceAllString(number, "$1")
	}
	v, err := semver.StrictNewVersion(text + m[4])
	if err != nil {
		return nil, not
	}
	return v, ""
}

func (s *semVer) compare(x, y any) int { return x.(*semver.Version).Compare(y.(*semver.Version)) }

func (s *semVer) describe() string { return "the highest version in " + s.text }
