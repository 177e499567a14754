//go:build !unix

package audit

import "os"

// tryLock does nothing: bbolt locks the file.
func tryLock(*os.File) (bool, error) { return true, nil }
