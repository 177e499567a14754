package resolve

import (
	"fmt"
	"regexp"

	"github.com/Masterminds/semver/v3"
)

// semVer takes the highest version in a range. As in Flux' image policies a tag
// wants three numbers, may begin with v, and may have leading zeros (dates);
// pre-releases count only if the range names one.
type semVer struct {
	text  string
	among *semver.Constraints
}

func newSemVer(text string) *semVer {
	among, err := semver.NewConstraint(text)
	if err != nil {
		panic(err) // the file's reader has checked it
	}
	return &semVer{text, among}
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
	if s.among.Check(v) {
		return ""
	}
	release := semver.New(v.Major(), v.Minor(), v.Patch(), "", "")
	if v.Prerelease() != "" && s.among.Check(release) {
		return fmt.Sprintf("is a pre-release, which %s leaves out: a range such as ~%s-0 has it", s.text, release)
	}
	return "is not in " + s.text
}

// version reads a version, or says why a value is none.
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
