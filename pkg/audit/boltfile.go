package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt maps its file into memory and believes what is in it: a page that is cut off
// ends the process by a signal, a damaged one by a panic in a goroutine of its own.
// So every page is looked at before bbolt opens the file. The layout is that of
// bbolt's version 2, in the machine's byte order.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	noFreelist   = ^uint64(0)
	bucketLeaf   = 0x01 // flag of an element of a leaf: its value is a bucket

	pageHeader   = 16 // bytes
	pageElement  = 16
	bucketHeader = 16
	metaSize     = 64
	maxPageSize  = 16 << 20
)

// errNotBolt says that a file has no head of bbolt.
var errNotBolt = errors.New("it does not begin as a store does")

// boltMeta is the head of a file, of which there are two: the newer good one counts.
type boltMeta struct {
	pageSize, root, freelist, pages, transaction uint64
}

// parseMeta reads a head, which stands at the beginning of a page.
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

// readPages reads the head of a file of that many bytes.
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
		return nil, fmt.Errorf("it is cut off: it has %d bytes of %d pages of %d", size, best.pages, best.pageSize)
	}
	return &boltPages{boltMeta: *best, file: file, seen: map[uint64]struct{}{}}, nil
}

// page reads one page with those that it flows over into.
func (p *boltPages) page(id uint64) (raw []byte, flags uint16, count int, err error) {
	if _, again := p.seen[id]; again || id < 2 || id >= p.pages {
		return nil, 0, 0, fmt.Errorf("page %d is named twice, or where it cannot be", id)
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
		return nil, 0, 0, fmt.Errorf("page %d is not one, or longer than the file", id)
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

// element is one entry of a page: a key with a value, or with the page that it leads to.
type element struct {
	key, value []byte
	bucket     bool
	child      uint64
}

// elements reads the entries of a page of a tree.
func elements(raw []byte, flags uint16, count int) ([]element, error) {
	if flags != branchPage && flags != leafPage || flags == branchPage && count == 0 || pageHeader+count*pageElement > len(raw) {
		return nil, errors.New("it is not a page of a tree, or has more entries than fit")
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
			return nil, fmt.Errorf("entry %d reaches beyond the page", i)
		}
		all[i].key, all[i].value = raw[begin:begin+keySize], raw[begin+keySize:begin+keySize+valueSize]
		if i > 0 && bytes.Compare(all[i-1].key, all[i].key) >= 0 {
			return nil, fmt.Errorf("entry %d is out of order", i)
		}
	}
	return all, nil
}

// walk calls f with each entry of the leaves of the tree that begins at a page.
func (p *boltPages) walk(id uint64, f func(element) error) error {
	return p.walkBetween(id, nil, nil, f)
}

// walkBetween is walk for a page whose keys are from least on and below beyond, which may be open.
func (p *boltPages) walkBetween(id uint64, least, beyond []byte, f func(element) error) error {
	raw, flags, count, err := p.page(id)
	if err != nil {
		return err
	}
	all, err := elements(raw, flags, count)
	if n := len(all); n > 0 && (bytes.Compare(all[0].key, least) < 0 || beyond != nil && bytes.Compare(all[n-1].key, beyond) >= 0) {
		err = errors.New("its keys belong elsewhere")
	}
	for i := 0; i < len(all) && err == nil; i++ {
		if flags == leafPage {
			err = f(all[i])
			continue
		}
		next := beyond
		if i+1 < len(all) {
			next = all[i+1].key
		}
		if err := p.walkBetween(all[i].child, all[i].key, next, f); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// bucket calls f with each entry of a bucket, which is a tree of its own, or a small one within its entry.
func (p *boltPages) bucket(e element, f func(element) error) error {
	if !e.bucket || len(e.value) < bucketHeader {
		return errors.New("it is not a bucket")
	}
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		return p.walk(root, f)
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

// free looks at the list of free pages, which only a store has that was never written to.
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
			return fmt.Errorf("page %d lists page %d as free, which does not exist", p.freelist, id)
		}
	}
	return nil
}
