//go:build unix

package load

import "syscall"

// OpenLimit returns the number of files that the process may have open, or 0 if it is
// unknown. It is the soft limit, which Go's runtime has already raised to the hard limit.
func OpenLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(l.Cur, 1<<20))
}
