package promote_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// mixState is what the hosts held before a promotion.
type mixState struct {
	changes []int                          // by host: how many there were
	tags    []map[string]map[string]string // by host, repository and tag: digests
}

// look reads the stores.
func (m *mix) look() mixState {
	var st mixState
	for _, s := range m.hosts {
		st.changes = append(st.changes, len(s.Changes()))
		tags := map[string]map[string]string{}
		for _, repo := range s.Repositories() {
			tags[repo] = s.Tags(m.t, repo)
		}
		st.tags = append(st.tags, tags)
	}
	for _, tg := range m.targets {
		for i := range tg.wants {
			w := &tg.wants[i]
			w.before = m.lacks(tg.mixRepo, w.Object)
		}
	}
	return st
}

// compare holds the promises against what the stores hold now.
func (m *mix) compare(before mixState) {
	for i, s := range m.hosts {
		m.compareChanges(i, s.Changes()[before.changes[i]:], before.changes[i])
		m.compareTags(i, before.tags[i])
	}
	for i := range m.plan.Items {
		if it := &m.plan.Items[i]; it.Status == plan.Done {
			m.compareDone(it)
		}
	}
	if m.success {
		for _, tg := range m.targets {
			m.compareTarget(tg)
		}
	}
	m.compareRequests()
}

// compareChanges judges what a host was made to store: each change must be part of what
// the manifests want, and no tag may move that may not.
func (m *mix) compareChanges(host int, changes []rt.Change, first int) {
	for i, c := range changes {
		if c.Direct {
			continue
		}
		tg := m.targetOf(host, c.Repo)
		switch {
		case c.Kind == rt.Delete:
			m.t.Errorf("got deleted %+v, want nothing deleted", c)
		case tg == nil:
			m.t.Errorf("got a write outside of the destinations, want none: %+v", c)
		case c.Kind == rt.ManifestPut && !strings.Contains(c.Ref, ":"):
			m.compareTagWrite(tg, c, m.excused[excuse{host, first + i}])
		case !tg.allows(m.referrers, c.Digest) && !m.fallbackIndex(tg, c.Digest):
			m.t.Errorf("nothing wants this: %+v", c)
		}
	}
}

func (m *mix) compareTagWrite(tg *mixTarget, c rt.Change, excused bool) {
	if m.fallbackTag(tg, c.Ref) {
		return
	}
	w, ok := tg.want(c.Digest)
	if !ok || !slices.Contains(w.tags, c.Ref) {
		m.t.Errorf("a tag that nothing wants there: %+v", c)
	}
	for _, text := range subtract(m.lacks(tg.mixRepo, w.Object), w.before) {
		m.t.Errorf("got a tag of incomplete content, want all of it: %+v: %s", c, text)
	}
	moved := c.Old != "" && c.Old != c.Digest
	if moved && !excused && !(tg.mutable && c.Ref == "latest") {
		m.t.Errorf("got a moved tag that may not move, want it where it was: %+v", c)
	}
}

// compareTags compares all tags of a host with before, without regard to the list of changes.
func (m *mix) compareTags(host int, before map[string]map[string]string) {
	s := m.hosts[host]
	for _, repo := range s.Repositories() {
		tg := m.targetOf(host, repo)
		now := s.Tags(m.t, repo)
		for tag, digest := range before[repo] {
			mayMove := tg != nil && (tg.mutable && tag == "latest" || m.fallbackTag(tg, tag))
			if now[tag] != digest && !mayMove {
				m.t.Errorf("%s:%s: got %q, want %s as before", repo, tag, now[tag], digest)
			}
		}
		for tag := range now {
			if _, ok := before[repo][tag]; !ok && tg == nil {
				m.t.Errorf("got %s:%s outside of the destinations, want no such tag", repo, tag)
			}
		}
	}
}

// compareDone judges an item that is said to be done.
func (m *mix) compareDone(it *plan.Item) {
	where := fmt.Sprintf("done, but not so: %s %s@%s %v", it.Action, it.Destination, it.Digest, it.Tag)
	tg := m.targetOf(m.hostOf(it.Destination.RegistryStr()), it.Destination.RepositoryStr())
	if tg == nil {
		m.t.Errorf("%s: got no destination, want one", where)
		return
	}
	tags := m.hosts[tg.host].Tags(m.t, tg.name)
	if at := tags[it.Tag]; it.Tag != "" && at != it.Digest.String() {
		m.t.Errorf("%s: got the tag at %q, want %s", where, at, it.Digest)
	}
	w, ok := tg.want(it.Digest.String())
	switch {
	case !ok:
		m.t.Errorf("%s: it is not wanted", where)
	case w.broken && !it.Present:
		m.t.Errorf("%s: got a manifest with a repeated key, want it refused", where)
	}
	lacks := m.lacks(tg.mixRepo, w.Object)
	if it.Present { // then only its tags were put, and its content was not looked at
		lacks = subtract(lacks, w.before)
	}
	for _, text := range lacks {
		m.t.Errorf("%s: %s", where, text)
	}
}

// compareTarget judges a destination repository after a promotion that ended with success.
func (m *mix) compareTarget(tg *mixTarget) {
	tags := m.hosts[tg.host].Tags(m.t, tg.name)
	for _, w := range tg.wants {
		where := fmt.Sprintf("success, but not so: %s@%s", tg.name, w.Digest)
		for _, tag := range w.tags {
			if tags[tag] != w.Digest {
				m.t.Errorf("%s: tag %s: got %q, want %s", where, tag, tags[tag], w.Digest)
			}
		}
		lacks := m.lacks(tg.mixRepo, w.Object)
		if !m.deep || m.tagged(tg, w.Digest) { // then the content was not looked at
			lacks = subtract(lacks, w.before)
		}
		if m.referrers && !m.unlisted[tg.from] && !m.unlisted[tg.mixRepo] {
			for _, r := range w.referrers {
				lacks = append(lacks, m.lacks(tg.mixRepo, r)...)
			}
		}
		for _, text := range lacks {
			m.t.Errorf("%s: %s", where, text)
		}
	}
}

// tagged reports whether a digest that was there was given tags.
func (m *mix) tagged(tg *mixTarget, digest string) bool {
	return slices.ContainsFunc(m.plan.Items, func(it plan.Item) bool {
		return it.Present && it.Digest.String() == digest && it.Destination.RepositoryStr() == tg.name && m.hostOf(it.Destination.RegistryStr()) == tg.host
	})
}

// compareRequests judges requests that changed nothing and must not be sent all the same.
func (m *mix) compareRequests() {
	for _, s := range append(m.hosts, m.decoys...) {
		for _, r := range s.Requests() {
			if r.Panic != "" || r.Kind == rt.Delete {
				m.t.Errorf("got %s, want no panic and no delete", r)
			}
		}
	}
	for _, d := range m.decoys {
		for _, c := range d.Changes() {
			m.t.Errorf("got %+v where no manifest leads, want nothing stored", c)
		}
		for _, r := range d.Requests() {
			if r.Kind == rt.UploadDelete || r.Kind == rt.ManifestPut || r.Auth != "" {
				m.t.Errorf("got %s where no manifest leads, want no write and no credentials", r)
			}
		}
	}
}

// lacks returns what a repository lacks of an object, or has with other bytes. It goes by
// the object that was built, not by what the stored manifest says of itself.
func (m *mix) lacks(r mixRepo, o rt.Object) []string {
	s := m.hosts[r.host]
	var lacks []string
	raw, mediaType, ok := s.Manifest(m.t, r.name, o.Digest)
	switch {
	case !ok:
		lacks = append(lacks, "no manifest "+o.Digest)
	case !bytes.Equal(raw, o.Raw):
		lacks = append(lacks, "other bytes in manifest "+o.Digest)
	case mediaType != o.MediaType:
		lacks = append(lacks, fmt.Sprintf("manifest %s is served as %s", o.Digest, mediaType))
	}
	for _, child := range o.Children {
		lacks = append(lacks, m.lacks(r, child)...)
	}
	for _, b := range o.Blobs {
		if raw, ok := s.Blob(m.t, r.name, b.Digest); !ok || !bytes.Equal(raw, b.Raw) {
			lacks = append(lacks, fmt.Sprintf("blob %s: held %v, bytes %d, want %d", b.Digest, ok, len(raw), len(b.Raw)))
		}
	}
	return lacks
}

func subtract(list, from []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(from, s) })
}

func (m *mix) hostOf(name string) int {
	return slices.IndexFunc(m.hosts, func(s *rt.Server) bool { return s.Host == name })
}

func (m *mix) targetOf(host int, repo string) *mixTarget {
	i := slices.IndexFunc(m.targets, func(tg *mixTarget) bool { return tg.mixRepo == mixRepo{host, repo} })
	if i < 0 {
		return nil
	}
	return m.targets[i]
}

// want returns what is wanted under a digest: an image, or what belongs to one.
func (tg *mixTarget) want(digest string) (mixWant, bool) {
	for _, w := range tg.wants {
		if w.Digest == digest {
			return w, true
		}
		for _, r := range w.referrers {
			if r.Digest == digest {
				return mixWant{Object: r}, true
			}
		}
	}
	return mixWant{}, false
}

// allows reports whether a manifest or blob is part of what is wanted.
func (tg *mixTarget) allows(referrers bool, digest string) bool {
	for _, w := range tg.wants {
		all := []rt.Object{w.Object}
		if referrers {
			all = append(all, w.referrers...)
		}
		for _, o := range all {
			if slices.Contains(o.ManifestDigests(), digest) || slices.Contains(o.BlobDigests(), digest) {
				return true
			}
		}
	}
	return false
}

// fallbackTag reports whether tag lists the referrers of something wanted, for registries
// without the API.
func (m *mix) fallbackTag(tg *mixTarget, tag string) bool {
	return m.referrers && slices.ContainsFunc(tg.wants, func(w mixWant) bool {
		return len(w.referrers) > 0 && registry.FallbackTag(image.Hash(w.Digest)) == tag
	})
}

// fallbackIndex reports whether a digest is that of a list of referrers.
func (m *mix) fallbackIndex(tg *mixTarget, digest string) bool {
	tags := m.hosts[tg.host].Tags(m.t, tg.name)
	return slices.ContainsFunc(slices.Collect(maps.Keys(tags)), func(tag string) bool {
		return tags[tag] == digest && m.fallbackTag(tg, tag)
	})
}
