package resolve

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
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
		panic(err) // package selector has validated the range
	}
	return &semVer{text, constraints}
}

func (*semVer) parse(value string) (any, string, error) {
	v, ok := image.Version(value)
	if !ok {
		return nil, "is not a semantic version of three numbers", nil
	}
	return v, "", nil
}

func (s *semVer) admits(rank any) string {
	v := rank.(*semver.Version)
	if s.constraints.Check(v) {
		return ""
	}
	if s.leavesOut(v) {
		return fmt.Sprintf("is a pre-release, which %s leaves out: the range %s includes it", s.text, s.including(v))
	}
	return "is not in " + s.text
}

// leavesOut reports whether v is not in the range only because it is a pre-release.
func (s *semVer) leavesOut(v *semver.Version) bool {
	return v.Prerelease() != "" && s.constraints.Check(semver.New(v.Major(), v.Minor(), v.Patch(), "", ""))
}

// versionInRange matches a version in a range, such as 1.x, v1.2.3 or *.
var versionInRange = regexp.MustCompile(`v?(?:[0-9]+|[xX*])(?:\.(?:[0-9]+|[xX*])){0,2}(?:-[0-9A-Za-z.-]+)?`)

// including returns a range like that of s that also includes the pre-release v.
func (s *semVer) including(v *semver.Version) string {
	text := versionInRange.ReplaceAllStringFunc(s.text, func(part string) string {
		if strings.Contains(part, "-") {
			return part
		}
		return part + "-0"
	})
	if c, err := semver.NewConstraint(text); err == nil && c.Check(v) {
		return text
	}
	return fmt.Sprintf("~%d.%d.%d-0", v.Major(), v.Minor(), v.Patch())
}

// note names the highest pre-release above best that is left out.
func (s *semVer) note(rejected []ranked, best *ranked) string {
	above := slices.DeleteFunc(slices.Clone(rejected), func(r ranked) bool {
		return !s.leavesOut(r.rank.(*semver.Version)) || best != nil && s.compare(r.rank, best.rank) <= 0
	})
	if len(above) == 0 {
		return ""
	}
	top := slices.MaxFunc(above, func(a, b ranked) int {
		return cmp.Or(s.compare(a.rank, b.rank), strings.Compare(a.tag, b.tag))
	})
	return fmt.Sprintf("the range %s leaves out %s, the highest of which is %s: the range %s includes it",
		s.text, plural(len(above), "higher pre-release"), top.tag, s.including(top.rank.(*semver.Version)))
}

func (s *semVer) compare(x, y any) int { return x.(*semver.Version).Compare(y.(*semver.Version)) }

func (s *semVer) describe() string { return "the highest version in " + s.text }
