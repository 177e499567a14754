//go:build !linux && !darwin && !windows

package promote

import "math"

// space says that there is room enough: no other system is known here.
func space(string) (free, total int64, err error) { return math.MaxInt64, math.MaxInt64, nil }
