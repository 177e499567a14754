package add

import (
	"bytes"
	"io"
	"io/fs"
)

// edited is a file system in which some files have other contents.
type edited struct {
	fs.FS

	files map[string][]byte
}

// Open implements fs.FS.
func (e *edited) Open(name string) (fs.File, error) {
	f, err := e.FS.Open(name)
	data, ok := e.files[name]
	if err != nil || !ok {
		return f, err
	}
	return &editedFile{File: f, Reader: bytes.NewReader(data)}, nil
}

// Stat implements fs.StatFS.
func (e *edited) Stat(name string) (fs.FileInfo, error) { return fs.Stat(e.FS, name) }

// editedFile is a file with another content. Its size is that of the original.
type editedFile struct {
	fs.File
	io.Reader
}

// Read implements fs.File.
func (f *editedFile) Read(p []byte) (int, error) { return f.Reader.Read(p) }
