package transfer

import "golang.org/x/sys/windows"

// space returns the bytes of a directory's file system: those that this user may
// still fill, and all.
func space(dir string) (free, total int64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	var usable, all uint64
	err = windows.GetDiskFreeSpaceEx(name, &usable, &all, nil)
	return int64(usable), int64(all), err
}
