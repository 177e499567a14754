//go:build linux || darwin

package transfer

import "golang.org/x/sys/unix"

// space returns the bytes of a directory's file system: those that this user may
// still fill, and all.
func space(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := int64(s.Bsize) //nolint:unconvert // it has another type on macOS
	return int64(s.Bavail) * block, int64(s.Blocks) * block, nil
}
