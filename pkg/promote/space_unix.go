//go:build linux || darwin

package promote

import "golang.org/x/sys/unix"

// space returns how many bytes of a directory's file system this user may still fill, and how many it has.
func space(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := int64(s.Bsize) //nolint:unconvert // it has another type on macOS
	return int64(s.Bavail) * block, int64(s.Blocks) * block, nil
}
