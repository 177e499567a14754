package selector

import (
	"bytes"
	"cmp"
	"io/fs"
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// lockHeader is the first line of a lock file.
const lockHeader = "# Written by cip resolve: what the sources were found to be. Do not edit.\n"

// lockKeys are the keys of a Lock.
var lockKeys = []string{"name", "intent", "digest", "tag", "tags", "tagList", "ref", "git", "alias", "newest", "rebase"}

// ReadLock reads the lock file of p into p.Locked.
//
// Messages call it display. A lock file that does not exist is empty.
func (p *File) ReadLock(fsys fs.FS, display string) *yamlread.File {
	f := yamlread.OpenOptional(fsys, p.Lock, display)
	for _, root := range f.Docs {
		items, _ := f.Items(root, "a lock")
		for _, n := range items {
			if l, ok := readLock(f, n); ok {
				p.Locked = append(p.Locked, l)
			}
		}
	}
	return f
}

// readLock reads one entry of a lock file. It returns false after a fault.
func readLock(f *yamlread.File, n *yaml.Node) (Lock, bool) {
	before := len(f.Faults)
	if f.Known(n, "an entry of a lock", lockKeys...); len(f.Faults) > before {
		return Lock{}, false
	}
	raw, err := yaml.Marshal(n) // Node.Decode cannot refuse unknown keys
	if err != nil {
		f.Fault(yamlread.Broken, n, "%v", err)
		return Lock{}, false
	}
	l := Lock{Pos: f.Pos(n)}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&l); err != nil {
		// err is not printed: it quotes text of the file, which may be any file.
		f.Fault(yamlread.Broken, n, "not an entry of a lock: want a mapping as cip resolve --write makes it")
		return Lock{}, false
	}
	if _, err := image.ParseDigest(image.DigestString(l.Digest)); err != nil || l.Name == "" {
		f.Fault(yamlread.Broken, n, "not an entry of a lock: it wants a name and a digest")
		return Lock{}, false
	}
	for _, t := range l.Tags {
		if err := image.CheckTag(t); err != nil {
			f.Fault(yamlread.Broken, n, "%v", err)
			return Lock{}, false
		}
	}
	return l, true
}

// Find returns the lock entry of a selector, or nil.
//
// It is the entry with the same intent. If the selector has changed, there is no such
// entry; Find then returns the entry with the same name, unless several entries of
// that name belong to no selector.
func (p *File) Find(of *Selector) *Lock {
	var others []*Lock
	intent := of.Intent()
	for i := range p.Locked {
		switch l := &p.Locked[i]; {
		case l.Name != of.Name:
		case l.Intent == intent:
			return l
		case !p.isOwned(l):
			others = append(others, l)
		}
	}
	if len(others) == 1 {
		return others[0]
	}
	return nil
}

// Unowned returns the lock entries that have the name and the intent of no selector.
func (p *File) Unowned() []*Lock {
	var all []*Lock
	for i := range p.Locked {
		if l := &p.Locked[i]; !p.isOwned(l) {
			all = append(all, l)
		}
	}
	return all
}

// isOwned reports whether a selector has the name and the intent of a lock entry. It
// compares names first: an intent takes more time than a thousand names.
func (p *File) isOwned(l *Lock) bool {
	owns := func(s *Selector) bool { return s.Name == l.Name && s.Intent() == l.Intent }
	return slices.ContainsFunc(p.Entries, owns) || slices.ContainsFunc(p.Suspended, owns)
}

// EncodeLocks returns the content of a lock file.
//
// Entries are sorted, so that the same entries give the same bytes.
func EncodeLocks(locks []Lock) ([]byte, error) {
	if len(locks) == 0 {
		return []byte(lockHeader + "[]\n"), nil
	}
	locks = slices.Clone(locks)
	slices.SortFunc(locks, func(a, b Lock) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Intent, b.Intent))
	})
	var text bytes.Buffer
	text.WriteString(lockHeader)
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(locks); err != nil {
		return nil, err
	}
	return text.Bytes(), enc.Close()
}
