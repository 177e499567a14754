package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// spoolMemory is the size of the largest blob that is held in memory, in bytes.
const spoolMemory = 256 << 10

// spool holds one blob between its source and its destinations. It has one writer.
// Each reader has its own speed and may begin again.
type spool struct {
	mu   sync.Mutex
	more sync.Cond
	buf  []byte
	file *os.File // nil: the blob is in buf
	n    int64    // bytes written
	turn int      // number of times that the writer has begun again
	done bool
	err  error
}

// newSpool returns an empty spool in memory, for a blob of size bytes.
func newSpool(size int64) *spool {
	s := &spool{buf: make([]byte, 0, size)}
	s.more.L = &s.mu
	return s
}

// newFileSpool returns an empty spool in a file.
func newFileSpool() (*spool, error) {
	f, err := TempFile()
	if err != nil {
		return nil, fmt.Errorf("making room for a blob on disk (TMPDIR says where): %w", err)
	}
	s := &spool{file: f}
	s.more.L = &s.mu
	return s, nil
}

// Write appends to the spool.
//
// Only the writer may call it.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	at := s.n
	if s.file == nil {
		s.buf = append(s.buf, p...)
	}
	s.mu.Unlock()
	if s.file != nil {
		if _, err := s.file.WriteAt(p, at); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n += int64(len(p))
	s.more.Broadcast()
	return len(p), nil
}

// Reset drops all bytes, because they were wrong. A reader that has read some of them
// fails. A reader that has read none continues with the new bytes.
func (s *spool) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		s.buf = make([]byte, 0, cap(s.buf)) // a new one: a reader may be copying from the old one
	}
	s.n = 0
	s.turn++
	s.more.Broadcast()
}

// turns returns the number of times that the writer has begun again.
func (s *spool) turns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turn
}

// length returns the number of bytes that have been written.
func (s *spool) length() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// finish ends the writing; err says why the blob is incomplete.
func (s *spool) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.err = true, err
	s.more.Broadcast()
}

// wait returns when there are bytes to read: some, or with whole all of them. It
// returns the error of the writer or of ctx.
func (s *spool) wait(ctx context.Context, whole bool) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.more.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.done && ctx.Err() == nil && (whole || s.n == 0) {
		s.more.Wait()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.err
}

// failed returns the error of the writer, or nil.
func (s *spool) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// body opens a reader at the beginning.
func (s *spool) body() (io.ReadCloser, error) { return &spoolReader{spool: s}, nil }

var (
	errClosed = errors.New("reading a closed body")                     // of a reader that was closed while it waited
	errReset  = errors.New("reading a blob that came with other bytes") // of a reader whose bytes were dropped
)

type spoolReader struct {
	spool  *spool
	at     int64
	turn   int // of the spool, once something has been read
	closed bool
}

// Read waits until there are bytes.
func (r *spoolReader) Read(p []byte) (int, error) {
	s := r.spool
	s.mu.Lock()
	for r.follows() && r.at == s.n && !s.done && !r.closed {
		s.more.Wait()
	}
	stale := !r.follows()
	n, done, closed, err, buf := s.n, s.done, r.closed, s.err, s.buf
	s.mu.Unlock()
	switch {
	case closed:
		return 0, errClosed
	case err != nil:
		return 0, err
	case stale:
		return 0, errReset
	case r.at < n && s.file == nil:
		c := copy(p, buf[r.at:n])
		r.at += int64(c)
		return c, nil
	case r.at < n:
		c, err := s.file.ReadAt(p[:min(int64(len(p)), n-r.at)], r.at)
		r.at += int64(c)
		return c, err
	case done:
		return 0, io.EOF
	}
	return 0, nil
}

// follows reports whether the bytes that were read are still in the spool. The caller
// holds the lock.
func (r *spoolReader) follows() bool {
	if r.at == 0 {
		r.turn = r.spool.turn
	}
	return r.turn == r.spool.turn
}

// Close ends the reader, also while Read waits.
func (r *spoolReader) Close() error {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	r.closed = true
	r.spool.more.Broadcast()
	return nil
}

// TempFile returns an open file that has no name. It is removed when it is closed, or
// when the process is killed.
func TempFile() (*os.File, error) {
	f, err := os.CreateTemp("", "cip-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
