//go:build !linux && !darwin && !windows

package transfer

import "math"

// space returns no limit: these systems have no call for it that we know.
func space(string) (free, total int64, err error) { return math.MaxInt64, math.MaxInt64, nil }
