package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt maps its file into memory and trusts the content. A page that is cut off
// ends the process by a signal, and a damaged page by a panic in a goroutine that
// cannot be recovered from. So every page is checked before bbolt opens the file.
// The layout is that of bbolt's file format 2, in the byte order of the machine.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	noFreelist   = ^uint64(0)
	bucketLeaf   = 0x01 // flag of an element of a leaf whose value is a bucket

	pageHeader   = 16 // bytes
	pageElement  = 16
	bucketHeader = 16
	metaSize     = 64
	maxPageSize  = 16 << 20
)

// errNotBolt is the error about a file without a bbolt header.
var errNotBolt = errors.New("it does not start with the header of a store")

// boltMeta is the header of a file.
//
// A file has two headers. The valid one with the newer transaction counts.
type boltMeta struct {
	pageSize, root, freelist, pages, transaction uint64
}

// parseMeta parses the header at the beginning of a page.
func parseMeta(page []byte) (m boltMeta, ok bool) {
	if len(page) < pageHeader+metaSize {
		return m, false
	}
	b, order := page[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaSize-8])
	if order.Uint32(b) != boltMagic || order.Uint32(b[4:]) != boltVersion || order.Uint64(b[metaSize-8:]) != sum.Sum64() {
		return m, false
	}
	m = boltMeta{
		pageSize: uint64(order.Uint32(b[8:])), root: order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]), pages: order.Uint64(b[40:]), transaction: order.Uint64(b[48:]),
	}
	return m, m.pageSize >= 512 && m.pageSize <= maxPageSize
}

// boltPages reads the pages of a file.
type boltPages struct {
	boltMeta

	file io.ReaderAt
	seen map[uint64]struct{}
}

// readPages reads a file's header. size is in bytes.
func readPages(file io.ReaderAt, size int64) (*boltPages, error) {
	var best *boltMeta
	read := func(at int64) {
		page := make([]byte, pageHeader+metaSize)
		if _, err := file.ReadAt(page, at); err != nil {
			return
		}
		if m, ok := parseMeta(page); ok && (at == 0 || at == int64(m.pageSize)) && (best == nil || m.transaction > best.transaction) {
			best = &m
		}
	}
	read(0)
	for at := int64(512); at <= maxPageSize; at *= 2 {
		read(at)
	}
	switch {
	case best == nil:
		return nil, errNotBolt
	case best.pages > uint64(size)/best.pageSize:
		return nil, fmt.Errorf("it is cut off: it has %d bytes, and needs %d pages of %d bytes", size, best.pages, best.pageSize)
	}
	return &boltPages{boltMeta: *best, file: file, seen: map[uint64]struct{}{}}, nil
}

// page reads one page and its overflow pages.
func (p *boltPages) page(id uint64) (raw []byte, flags uint16, count int, err error) {
	if _, again := p.seen[id]; again || id < 2 || id >= p.pages {
		return nil, 0, 0, fmt.Errorf("page %d is used twice or is out of range", id)
	}
	p.seen[id] = struct{}{}
	head := make([]byte, pageHeader)
	if _, err := p.file.ReadAt(head, int64(id*p.pageSize)); err != nil {
		return nil, 0, 0, fmt.Errorf("reading page %d: %w", id, err)
	}
	order := binary.NativeEndian
	flags, count = order.Uint16(head[8:]), int(order.Uint16(head[10:]))
	more := uint64(order.Uint32(head[12:]))
	if order.Uint64(head) != id || id+more >= p.pages {
		return nil, 0, 0, fmt.Errorf("page %d has a bad header or is longer than the file", id)
	}
	for i := id + 1; i <= id+more; i++ {
		if _, again := p.seen[i]; again {
			return nil, 0, 0, fmt.Errorf("page %d is used twice", i)
		}
		p.seen[i] = struct{}{}
	}
	raw = make([]byte, (1+more)*p.pageSize)
	if _, err := p.file.ReadAt(raw, int64(id*p.pageSize)); err != nil {
		return nil, 0, 0, fmt.Errorf("reading page %d: %w", id, err)
	}
	return raw, flags, count, nil
}

// element is one entry of a page.
//
// It has a key and, on a leaf, a value, or else the number of a child page.
type element struct {
	key, value []byte
	bucket     bool
	child      uint64
}

// elements parses the entries of a page.
func elements(raw []byte, flags uint16, count int) ([]element, error) {
	if flags != branchPage && flags != leafPage || flags == branchPage && count == 0 || pageHeader+count*pageElement > len(raw) {
		return nil, errors.New("it is not a branch or a leaf, or has more entries than fit")
	}
	order := binary.NativeEndian
	all := make([]element, count)
	for i := range all {
		at := pageHeader + i*pageElement
		head := raw[at : at+pageElement]
		var begin, keySize, valueSize uint64
		if flags == branchPage {
			begin, keySize = uint64(order.Uint32(head)), uint64(order.Uint32(head[4:]))
			all[i].child = order.Uint64(head[8:])
		} else {
			all[i].bucket = order.Uint32(head)&bucketLeaf != 0
			begin, keySize, valueSize = uint64(order.Uint32(head[4:])), uint64(order.Uint32(head[8:])), uint64(order.Uint32(head[12:]))
		}
		begin += uint64(at)
		if begin+keySize+valueSize > uint64(len(raw)) {
			return nil, fmt.Errorf("entry %d ends after the page", i)
		}
		all[i].key, all[i].value = raw[begin:begin+keySize], raw[begin+keySize:begin+keySize+valueSize]
		if i > 0 && bytes.Compare(all[i-1].key, all[i].key) >= 0 {
			return nil, fmt.Errorf("entry %d is out of order", i)
		}
	}
	return all, nil
}

// walk calls f with each leaf entry of a tree. id is its root.
//
// Its keys must be in a range, which includes from and excludes to. If to is nil, the
// range has no end.
func (p *boltPages) walk(id uint64, from, to []byte, f func(element) error) error {
	raw, flags, count, err := p.page(id)
	if err != nil {
		return err
	}
	all, err := elements(raw, flags, count)
	if n := len(all); n > 0 && (bytes.Compare(all[0].key, from) < 0 || to != nil && bytes.Compare(all[n-1].key, to) >= 0) {
		err = errors.New("its keys are out of range")
	}
	for i := 0; i < len(all) && err == nil; i++ {
		if flags == leafPage {
			err = f(all[i])
			continue
		}
		next := to
		if i+1 < len(all) {
			next = all[i+1].key
		}
		if err := p.walk(all[i].child, all[i].key, next, f); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// bucket calls f with each entry of a bucket.
//
// A bucket is a tree of pages. A small bucket is one page in the value of its entry.
func (p *boltPages) bucket(e element, f func(element) error) error {
	if !e.bucket || len(e.value) < bucketHeader {
		return errors.New("it is not a bucket")
	}
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		return p.walk(root, nil, nil, f)
	}
	raw := e.value[bucketHeader:]
	if len(raw) < pageHeader {
		return errors.New("it has no page")
	}
	flags, count := binary.NativeEndian.Uint16(raw[8:]), int(binary.NativeEndian.Uint16(raw[10:]))
	if flags != leafPage {
		return errors.New("it is not a leaf")
	}
	all, err := elements(raw, flags, count)
	for _, one := range all {
		if err = f(one); err != nil {
			break
		}
	}
	return err
}

// free checks the list of free pages.
//
// Only a store that has never been written to has this list.
func (p *boltPages) free() error {
	if p.freelist == noFreelist {
		return nil
	}
	raw, flags, count, err := p.page(p.freelist)
	if err != nil {
		return err
	}
	if flags != freelistPage || pageHeader+8*count > len(raw) || count == 0xFFFF {
		return fmt.Errorf("page %d is not a list of free pages", p.freelist)
	}
	for i := range count {
		if id := binary.NativeEndian.Uint64(raw[pageHeader+8*i:]); id < 2 || id >= p.pages {
			return fmt.Errorf("page %d lists page %d as free, but it does not exist", p.freelist, id)
		}
	}
	return nil
}
