package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// errForeign is the error about a file of another program.
var errForeign = errors.New("it is not a store of cip audit: --state needs another file")

// errBusy is the error about a store in use.
var errBusy = errors.New("another process uses it")

const (
	lockLimit = time.Second           // how long to wait for another process to end
	lockPause = 50 * time.Millisecond // between two tries
)

// checkState returns an error for files that cannot be stores.
//
// It reads the whole file. A file that does not exist or is empty can be a store.
func checkState(name string) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f); err != nil { // a file that is being written looks damaged
		return err
	}
	if info, err = f.Stat(); err != nil || info.Size() == 0 {
		return err
	}
	pages, err := readPages(f, info.Size())
	if errors.Is(err, errNotBolt) {
		return errForeign
	}
	if err == nil {
		err = checkPages(pages)
	}
	if err == nil || errors.Is(err, errForeign) {
		return err
	}
	return fmt.Errorf("it is damaged; move it away to start with a new one: %w", err)
}

// checkPages checks every entry of a store.
func checkPages(p *boltPages) error {
	if err := p.free(); err != nil {
		return err
	}
	buckets := map[string]element{}
	err := p.walk(p.root, nil, nil, func(e element) error {
		buckets[string(e.key)] = e
		return nil
	})
	if _, ours := buckets[bucketPending]; err == nil && !ours && len(buckets) > 0 {
		return errForeign
	}
	for _, name := range slices.Sorted(maps.Keys(buckets)) {
		check := checkEntry(name)
		if err == nil && check == nil {
			err = errors.New("it has a bucket that this version of cip does not know")
		}
		if err != nil {
			return err
		}
		if err = p.bucket(buckets[name], check); err != nil {
			err = fmt.Errorf("bucket %s: %w", name, err)
		}
	}
	return err
}

// checkEntry returns the check of the entries of a bucket.
//
// It is nil if a store has no such bucket.
func checkEntry(bucket string) func(element) error {
	var keySize, prefix int
	switch bucket {
	case bucketKeys:
		return func(e element) error {
			if e.bucket || len(e.value) <= 8 || checkEntry(string(e.value[8:])) == nil {
				return errors.New("a key names an unknown bucket")
			}
			return nil
		}
	case bucketDrift:
	case bucketPending, bucketAlerts:
		keySize = 8
	case bucketParts:
		keySize = 16
	case string(verified), string(rejected), string(ignored), string(repeated):
		keySize, prefix = 8, keyLength
	default:
		return nil
	}
	return func(e element) error {
		if e.bucket || keySize > 0 && len(e.key) != keySize || len(e.value) < prefix || !json.Valid(e.value[prefix:]) {
			return errors.New("an entry is malformed")
		}
		return nil
	}
}

// lock locks a file for this process until it is closed.
func lock(f *os.File) error {
	for began := time.Now(); ; time.Sleep(lockPause) {
		free, err := tryLock(f)
		switch {
		case err != nil:
			return fmt.Errorf("locking it: %w", err)
		case free:
			return nil
		case time.Since(began) > lockLimit:
			return errBusy
		}
	}
}
