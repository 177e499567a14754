package promote

import (
	"os"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"
)

// inMemory is the number of bytes of manifests in memory; further ones are in a file.
const inMemory = 16 << 20

// spill keeps bytes: up to inMemory in memory, further ones in a temporary file.
type spill struct {
	used int
	file *os.File
	end  int64
}

// span is the location of bytes in a spill.
type span struct {
	raw    []byte // in memory
	offset int64  // else in the file
	size   int
}

func (s *spill) put(raw []byte) (span, error) {
	if s.used+len(raw) <= inMemory {
		s.used += len(raw)
		return span{raw: raw, size: len(raw)}, nil
	}
	if s.file == nil {
		f, err := transfer.TempFile()
		if err != nil {
			return span{}, err
		}
		s.file = f
	}
	at := span{offset: s.end, size: len(raw)}
	n, err := s.file.WriteAt(raw, s.end)
	s.end += int64(n)
	return at, err
}

func (s *spill) get(at span) ([]byte, error) {
	if at.raw != nil {
		return at.raw, nil
	}
	raw := make([]byte, at.size)
	_, err := s.file.ReadAt(raw, at.offset)
	return raw, err
}

func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
