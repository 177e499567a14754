package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// lockHeader is the first line of a lock file.
const lockHeader = "# Written by cip resolve: what the sources were found to be. Do not edit.\n"

// locks reads the lock of p, which messages call display, into it. A lock that is not there is empty.
func locks(fsys fs.FS, p *Producers, display string) *source {
	s := &source{name: p.Lock, reader: reader{file: display}}
	data, err := readFile(fsys, p.Lock)
	if errors.Is(err, errNone) {
		return s
	}
	if err != nil {
		s.whole(Broken, "%v", err)
		return s
	}
	for _, root := range s.documents(data) {
		items, _ := s.items(root, "a lock")
		for _, n := range items {
			s.lock(n, p)
		}
	}
	return s
}

// lockKeys are the keys of a Lock.
var lockKeys = []string{"name", "intent", "digest", "tag", "tags", "tagList", "ref", "git", "alias", "rebase"}

// lock reads one entry of a lock into p.
func (s *source) lock(n *yaml.Node, p *Producers) {
	before := len(s.faults)
	if s.known(n, "an entry of a lock", lockKeys...); len(s.faults) > before {
		return
	}
	raw, err := yaml.Marshal(n) // a Node cannot be decoded strictly
	if err != nil {
		s.fault(Broken, n, "%v", err)
		return
	}
	l := Lock{Pos: s.pos(n)}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&l); err != nil && !errors.Is(err, io.EOF) {
		// The error quotes what it finds, which may be of any file.
		s.fault(Broken, n, "not an entry of a lock: want a mapping as cip resolve --write makes it")
		return
	}
	if _, err := image.ParseDigest(image.DigestString(l.Digest)); err != nil || l.Name == "" {
		s.fault(Broken, n, "not an entry of a lock: it wants a name and a digest")
		return
	}
	for _, t := range l.Tags {
		if err := image.CheckTag(t); err != nil {
			s.fault(Broken, n, "%v", err)
			return
		}
	}
	p.Locked = append(p.Locked, l)
}

// Find returns the lock entry of a producer: that of the same intent, or else the
// only one of its name that is of no other producer; nil if there is none.
func (p *Producers) Find(of *Producer) *Lock {
	intents := map[string]bool{}
	for _, e := range p.Entries {
		intents[e.Intent()] = true
	}
	var others []*Lock
	for i := range p.Locked {
		l := &p.Locked[i]
		switch {
		case l.Name != of.Name:
		case l.Intent == of.Intent():
			return l
		case !intents[l.Intent]:
			others = append(others, l)
		}
	}
	if len(others) == 1 {
		return others[0]
	}
	return nil
}

// EncodeLocks returns the text of a lock file. The same entries give the same bytes.
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
