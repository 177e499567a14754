//go:build unix

package cli

import "syscall"

// openFiles returns how many files the process may have open, or 0 if that is not
// known. Go has raised the limit as far as it may by now.
func openFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(l.Cur, 1<<20))
}
