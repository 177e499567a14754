package image

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

var (
	versionRE = regexp.MustCompile(`^v?([0-9]+)\.([0-9]+)\.([0-9]+)((?:[-+].*)?)$`)
	zerosRE   = regexp.MustCompile(`^0+([0-9])`)
)

// Version parses a tag that is a semantic version of three numbers.
//
// As in Flux image policies, a version may start with "v", and its numbers may have
// leading zeros, as dates do.
func Version(tag string) (*semver.Version, bool) {
	m := versionRE.FindStringSubmatch(tag)
	if m == nil {
		return nil, false
	}
	text := ""
	for i, number := range m[1:4] {
		if i > 0 {
			text += "."
		}
		text += zerosRE.ReplaceAllString(number, "$1")
	}
	v, err := semver.StrictNewVersion(text + m[4])
	return v, err == nil
}

// CompareTags orders tags: other tags, then versions by precedence. Tags of one rank
// are ordered as text.
func CompareTags(a, b string) int {
	v, isVersion := Version(a)
	w, other := Version(b)
	switch {
	case isVersion && !other:
		return 1
	case !isVersion && other:
		return -1
	case isVersion:
		return cmp.Or(v.Compare(w), strings.Compare(a, b))
	}
	return strings.Compare(a, b)
}
