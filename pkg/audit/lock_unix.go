//go:build unix

package audit

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks a file for this process.
//
// free is false if another process has locked it.
func tryLock(f *os.File) (free bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
