package registrytest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// store is the registry itself and a memory of what succeeded in it,
// which the views need for answers that the registry cannot give.
type store struct {
	backend http.Handler
	uploads uploads
	history history
	damage  damage

	// olareg loses referrers of one subject that are put at the same time, so its
	// manifests are put one by one; other registries are not held back.
	oneByOne bool
	putting  sync.Mutex

	mu    sync.Mutex
	repos map[string]*repository
	puts  int64
}

type repository struct {
	manifests map[string]stored // by digest
	tags      map[string]string // tag to digest
	tagged    bool              // had a tag at some time
}

type stored struct {
	mediaType string
	raw       []byte
	order     int64 // of the PUT, across the registry
}

func newStore(backend http.Handler) *store {
	return &store{backend: backend, repos: map[string]*repository{}}
}

// ServeHTTP passes r to the registry and notes what it changed before the answer leaves.
func (st *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, repo, ref := classify(r)
	if !slices.Contains([]Kind{ManifestPut, Delete, Mount, UploadPost, UploadPut, UploadDelete}, kind) {
		st.damaged(repo, ref).ServeHTTP(w, r)
		return
	}
	var body []byte
	if kind == ManifestPut {
		body, r = reread(r)
		if st.oneByOne {
			st.putting.Lock()
			defer st.putting.Unlock()
		}
	}
	tw := &tap{ResponseWriter: w}
	tw.header = func(status int) {
		if kind == UploadPut || kind == UploadDelete {
			st.uploads.answered(kind, r.URL.Path, status)
		}
		change := Change{Kind: kind, Repo: repo, Ref: ref, Direct: isDirect(r)}
		switch {
		case status/100 != 2:
		case kind == ManifestPut:
			st.put(change, w.Header(), stored{mediaType: r.Header.Get("Content-Type"), raw: body})
		case kind == Delete:
			st.history.add(change)
			if strings.Contains(r.URL.Path, "/manifests/") {
				st.remove(repo, ref)
			}
		case status == http.StatusCreated:
			st.placed(change, r)
		}
	}
	tw.serve(st.backend, r)
}

// placed notes a blob that was mounted or uploaded, and ends the damage that this repairs.
func (st *store) placed(c Change, r *http.Request) {
	name := "digest"
	if c.Kind == Mount {
		name = "mount"
	}
	c.Ref = r.URL.Query().Get(name)
	c.Digest = c.Ref
	st.history.add(c)
	st.damage.repair(c.Repo, c.Digest)
}

func (st *store) put(c Change, answer http.Header, m stored) {
	repo, ref := c.Repo, c.Ref
	digest := answer.Get("Docker-Content-Digest")
	if digest == "" {
		digest = fmt.Sprintf("sha256:%x", sha256.Sum256(m.raw))
	}
	tags := confirmedTags(answer)
	if !isDigest(ref) && !slices.Contains(tags, ref) {
		tags = append(tags, ref)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.puts++
	m.order = st.puts
	rp := st.repos[repo]
	if rp == nil {
		rp = &repository{manifests: map[string]stored{}, tags: map[string]string{}}
		st.repos[repo] = rp
	}
	if old, ok := rp.manifests[digest]; ok {
		m.order = old.order
	}
	rp.manifests[digest] = m
	c.Digest = digest
	if isDigest(ref) {
		st.history.add(c)
	}
	for _, tag := range tags {
		c.Ref, c.Old = tag, rp.tags[tag]
		st.history.add(c)
		rp.tags[tag] = digest
		rp.tagged = true
	}
}

func (st *store) remove(repo, ref string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	rp := st.repos[repo]
	if rp == nil {
		return
	}
	if !isDigest(ref) {
		delete(rp.tags, ref)
		return
	}
	delete(rp.manifests, ref)
	maps.DeleteFunc(rp.tags, func(_, digest string) bool { return digest == ref })
}

func (st *store) repositories() []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Sorted(maps.Keys(st.repos))
}

func (st *store) everTagged(repo string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	rp := st.repos[repo]
	return rp != nil && rp.tagged
}

// confirmedTags returns the tags that a manifest PUT was confirmed for.
func confirmedTags(answer http.Header) []string {
	var tags []string
	for _, v := range answer.Values("OCI-Tag") {
		for tag := range strings.SplitSeq(v, ",") {
			tags = append(tags, strings.TrimSpace(tag))
		}
	}
	return tags
}

func isDigest(ref string) bool { return strings.Contains(ref, ":") }

// uploads are the sessions that clients know of and have not closed, by path.
type uploads struct {
	mu       sync.Mutex
	sessions map[string]struct{}
}

func (u *uploads) open(path string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sessions == nil {
		u.sessions = map[string]struct{}{}
	}
	u.sessions[path] = struct{}{}
}

// answered closes a session that ended, or that the registry says it does not know.
// olareg says so with 400 where the specification has 404.
func (u *uploads) answered(kind Kind, path string, status int) {
	gone := status == http.StatusNotFound || (kind == UploadDelete && status == http.StatusBadRequest)
	if ended := kind != UploadPatch && status/100 == 2; !ended && !gone {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.sessions, path)
}

func (u *uploads) list() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.sessions))
}
