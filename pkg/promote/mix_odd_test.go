package promote_test

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// oddity is a behavior at work in a mix.
type oddity struct {
	name       string
	injections []*rt.Injection
}

// behavior is one way for registries to behave oddly.
type behavior struct {
	name string
	// A mix has one behavior of a group at most: together they would hide from every client
	// what they do. Empty: the behavior goes with all others.
	group string
	begin func(m *mix, o *oddity)
}

// The groups of behaviors that hide the same thing.
const (
	hidesTags  = "hides tags"  // HEAD and list must not both deny a tag
	hidesBlobs = "hides blobs" // size, presence and mounts must not all be made up, and a manifest that is there not be without its blobs
)

// disturb chooses behaviors.
func (m *mix) disturb() {
	all := behaviors()
	for range 1 + m.rnd.IntN(5) {
		b := all[m.rnd.IntN(len(all))]
		if m.groups[b.group] || slices.ContainsFunc(m.oddities, func(o oddity) bool { return o.name == b.name }) {
			continue
		}
		m.groups[b.group] = b.group != ""
		o := oddity{name: b.name}
		b.begin(m, &o)
		m.oddities = append(m.oddities, o)
	}
}

// at adds a fault to a host.
func (m *mix) at(o *oddity, host int, f rt.Fault, when ...rt.Match) {
	m.note("host %d (%s): %s", host, m.hosts[host].Host, o.name)
	o.injections = append(o.injections, m.hosts[host].Fault(f, when...))
}

// in adds a fault to a repository.
func (m *mix) in(o *oddity, r mixRepo, f rt.Fault, when ...rt.Match) {
	m.note("in %s:", r.name)
	m.at(o, r.host, f, append([]rt.Match{rt.Repo(r.name)}, when...)...)
}

// Random choices.

func (m *mix) host() int               { return m.rnd.IntN(len(m.hosts)) }
func (m *mix) destination() *mixTarget { return m.targets[m.rnd.IntN(len(m.targets))] }
func (m *mix) source() mixRepo         { return m.sources[m.rnd.IntN(len(m.sources))] }

func (m *mix) repo() mixRepo {
	if m.one(2) {
		return m.source()
	}
	return m.destination().mixRepo
}

// some is a share of requests.
func (m *mix) some() rt.Match { return rt.Chance(0.1+0.4*m.rnd.Float64(), m.rnd.Uint64()) }

// few matches the first request or two.
func (m *mix) few() rt.Match { return rt.First(1 + m.rnd.IntN(2)) }

// mostRefusals is how many requests a host refuses with 429: after many the pace is
// one request in seconds, and a mix would wait for nothing else.
const mostRefusals = 5

// soon is a header that asks for a short pause.
func soon() http.Header { return rt.Header("Retry-After", "0.02") }

// decoy is a host that no manifest names.
func (m *mix) decoy() *rt.Server {
	d := rt.New(m.t)
	m.decoys = append(m.decoys, d)
	return d
}

func behaviors() []behavior {
	return slices.Concat(oddReads(), oddReferrers(), oddBlobs(), oddWrites(), oddConnections(), rivals())
}

const wrongDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

func oddReads() []behavior {
	tags := []rt.Match{rt.ByTag(), rt.Is(rt.ManifestHead)}
	return []behavior{
		{"HEAD of a tag is 404, GET 200", hidesTags, func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.Refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown"), tags...)
		}},
		{"tag lists leave out tags", hidesTags, func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.HideTags("v0", "latest", "rel"), rt.Is(rt.Tags))
		}},
		{"HEAD without a digest", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.WrongDigest(""), rt.Is(rt.ManifestHead)) }},
		{"HEAD without a content type", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.ContentType(""), rt.Is(rt.ManifestHead)) }},
		{"HEAD with another content type", "", func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.ContentType("application/json"), rt.Is(rt.ManifestHead))
		}},
		{"manifests served as text", "", func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.ContentType("text/plain; charset=utf-8"), rt.Is(rt.ManifestGet, rt.ManifestHead))
		}},
		{"a login page", "", func(m *mix, o *oddity) {
			r := m.repo()
			m.unlisted[r] = true
			m.in(o, r, rt.LoginPage(), m.some())
		}},
		{"403 to some reads", "", func(m *mix, o *oddity) {
			r := m.repo()
			m.unlisted[r] = true
			m.in(o, r, rt.Refuse(http.StatusForbidden, "DENIED", "denied"), rt.Is(rt.Tags, rt.ManifestHead, rt.ManifestGet, rt.BlobHead, rt.Referrers), m.some())
		}},
		{"403 to the first reads", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.Refuse(http.StatusForbidden, "DENIED", "denied"), rt.Is(rt.Tags, rt.ManifestHead), rt.First(3+m.rnd.IntN(5)))
		}},
		{"404 to some HEADs by digest", "", func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.Refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown"), rt.Is(rt.ManifestHead), rt.Not(rt.ByTag()), m.some())
		}},
		{"lists that break off", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.Truncate(12), rt.Is(rt.Tags), m.some()) }},
		{"manifests that break off", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.Truncate(80), rt.Is(rt.ManifestGet), m.some()) }},
		{"manifests with other bytes", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.Corrupt(60), rt.Is(rt.ManifestGet), m.some()) }},
		{"what was written is seen late", "", func(m *mix, o *oddity) { m.in(o, m.destination().mixRepo, rt.DelayVisibility(1+m.rnd.IntN(2))) }},
	}
}

func oddReferrers() []behavior {
	return []behavior{
		{"no referrers API for one repository", "", func(m *mix, o *oddity) {
			r := m.referring()
			m.unlisted[r] = true
			m.in(o, r, rt.Status(http.StatusNotFound, nil, "404 page not found\n"), rt.Is(rt.Referrers))
		}},
		{"referrers elsewhere, where a page says 429", "", func(m *mix, o *oddity) {
			r := m.referring()
			m.unlisted[r] = true
			d := m.decoy()
			d.Fault(rt.Status(http.StatusTooManyRequests, rt.Header("Content-Type", "text/html"), "<html>slow down</html>"))
			m.in(o, r, rt.Redirect(d.URL), rt.Is(rt.Referrers))
		}},
	}
}

// referring returns a source whose referrers are promoted.
func (m *mix) referring() mixRepo {
	m.referrers = true
	return m.source()
}

func oddBlobs() []behavior {
	return []behavior{
		{"HEAD finds blobs that are not there", hidesBlobs, func(m *mix, o *oddity) {
			tg := m.destination()
			m.at(o, tg.host, rt.ClaimBlobs(tg.objects()...), rt.Is(rt.BlobHead), rt.Repo(tg.name))
		}},
		{"an empty blob, until it is uploaded", hidesBlobs, func(m *mix, o *oddity) { m.damage(o, nil, false) }},
		{"a short blob, until it is uploaded", hidesBlobs, func(m *mix, o *oddity) { m.damage(o, []byte("short"), false) }},
		{"an empty blob, for good", hidesBlobs, func(m *mix, o *oddity) { m.damage(o, nil, true) }},
		{"a blob is lost", hidesBlobs, func(m *mix, o *oddity) {
			m.deep = true
			tg := m.destination()
			w := tg.wants[m.rnd.IntN(len(tg.wants))]
			m.hosts[tg.host].Push(m.t, tg.name, w.Object, w.tags...)
			blobs := w.BlobDigests()
			digest := blobs[m.rnd.IntN(len(blobs))]
			m.hosts[tg.host].DeleteBlob(m.t, tg.name, digest)
			m.in(o, tg.mixRepo, rt.Before(func(*http.Request) {}), rt.Is(rt.BlobHead))
			m.note("blob %s is lost", digest)
		}},
		{"another digest after an upload", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.WrongDigest(wrongDigest), rt.Is(rt.UploadPut), m.some())
		}},
		{"mounts that mount nothing", hidesBlobs, func(m *mix, o *oddity) { m.at(o, m.destination().host, rt.FalseMounts(), rt.Is(rt.Mount), m.some()) }},
		{"mounts open uploads", "", func(m *mix, o *oddity) {
			m.at(o, m.destination().host, rt.RefuseMounts(http.StatusAccepted), rt.Is(rt.Mount))
		}},
		{"mounts refused", "", func(m *mix, o *oddity) {
			m.at(o, m.destination().host, rt.RefuseMounts(http.StatusForbidden), rt.Is(rt.Mount), m.some())
		}},
		{"uploads at another host", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.MoveUploads(m.decoy().URL), rt.Is(rt.UploadPost, rt.Mount), m.some())
		}},
		{"uploads at a manifest", "", func(m *mix, o *oddity) {
			tg := m.destination()
			m.in(o, tg.mixRepo, rt.UploadsOnManifest([]string{"v0", "v1", "latest"}[m.rnd.IntN(3)]), rt.Is(rt.UploadPost, rt.Mount), m.some())
		}},
		{"uploads forgotten", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.ForgetUpload(), rt.Is(rt.UploadPut), rt.FirstEach(1)) }},
		{"blobs with other bytes", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.Corrupt(20), rt.Is(rt.BlobGet), m.some()) }},
		{"blobs that break off", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.Truncate(30), rt.Is(rt.BlobGet), m.some()) }},
	}
}

// damage puts a blob with other bytes into a destination repository. Damage that lasts
// can be seen only where uploads are, so there are no mounts then.
func (m *mix) damage(o *oddity, raw []byte, lasting bool) {
	tg := m.destination()
	s := m.hosts[tg.host]
	w := tg.wants[m.rnd.IntN(len(tg.wants))]
	object := w.Object
	if len(object.Children) > 0 {
		object = object.Children[0]
	}
	if len(object.Blobs) == 0 {
		object = object.Children[0]
	}
	b := object.Blobs[m.rnd.IntN(len(object.Blobs))]
	s.Push(m.t, tg.name, rt.Image(1<<23, 0), "other") // else the repository seems to hold nothing, and is not asked for blobs
	s.PushBlob(m.t, tg.name, b)
	s.DamageBlob(tg.name, b.Digest, raw, lasting)
	m.in(o, tg.mixRepo, rt.Before(func(*http.Request) {}), rt.Is(rt.BlobHead), rt.Ref(b.Digest))
	if lasting || m.one(2) {
		m.in(o, tg.mixRepo, rt.RefuseMounts(http.StatusMethodNotAllowed), rt.Is(rt.Mount))
	}
}

func oddWrites() []behavior {
	puts, refusals := rt.Is(rt.ManifestPut), rt.First(mostRefusals)
	return []behavior{
		{"429 to a tag's PUT, without effect", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.Status(http.StatusTooManyRequests, soon(), ""), puts, rt.FirstEach(1), refusals)
		}},
		{"503 to a tag's PUT, without effect", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.Status(http.StatusServiceUnavailable, soon(), ""), puts, rt.FirstEach(1))
		}},
		{"5xx to a manifest's PUT, with effect", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.ErrorAfter(500+2*m.rnd.IntN(3)), puts, m.few())
		}},
		{"5xx to all PUTs, with effect", "", func(m *mix, o *oddity) { m.in(o, m.destination().mixRepo, rt.ErrorAfter(500), puts) }},
		{"no digest after a PUT", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.WrongDigest(""), puts) }},
		{"another digest after a PUT", "", func(m *mix, o *oddity) { m.in(o, m.destination().mixRepo, rt.WrongDigest(wrongDigest), puts, m.some()) }},
		{"manifests put by digest are not stored", "", func(m *mix, o *oddity) { m.in(o, m.destination().mixRepo, rt.LoseManifests(), puts, m.some()) }},
		{"blobs unknown after all", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.Refuse(http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "blob unknown"), puts, rt.FirstEach(1))
		}},
		{"tags are immutable", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.Refuse(http.StatusBadRequest, "TAG_INVALID", "immutable"), puts, rt.ByTag())
		}},
	}
}

func oddConnections() []behavior {
	later, refusals := rt.Not(rt.Is(rt.Ping)), rt.First(mostRefusals)
	return []behavior{
		{"429 now and then", "", func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.Status(http.StatusTooManyRequests, soon(), ""), later, rt.Chance(0.1, m.rnd.Uint64()), refusals)
		}},
		{"5xx now and then", "", func(m *mix, o *oddity) {
			seed := m.rnd.Uint64()
			m.at(o, m.host(), rt.ServerErrors(seed+1), later, rt.Chance(0.15, seed))
		}},
		{"connections reset", "", func(m *mix, o *oddity) { m.at(o, m.host(), rt.ResetBefore(), later, rt.Chance(0.1, m.rnd.Uint64())) }},
		{"connections reset, with effect", "", func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.ResetAfter(), later, rt.Chance(0.1, m.rnd.Uint64()))
		}},
		{"bodies that drip", "", func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.Trickle(100, time.Millisecond), rt.Is(rt.ManifestGet, rt.Tags, rt.BlobGet), m.some())
		}},
		{"an interrupt", "", func(m *mix, o *oddity) {
			m.at(o, m.host(), rt.Before(func(*http.Request) { m.interrupt() }), rt.Nth(1+m.rnd.IntN(60)))
		}},
		{"some uploads refused", "", func(m *mix, o *oddity) {
			m.in(o, m.destination().mixRepo, rt.Refuse(http.StatusForbidden, "DENIED", "denied"), rt.Is(rt.UploadPost, rt.UploadPut), m.some())
		}},
	}
}

// rivals are other promoters: each sets a tag that was free when the promotion began.
func rivals() []behavior {
	rival := func(name string, when func(tag, sibling string) []rt.Match, then rt.Fault) behavior {
		return behavior{name, "", func(m *mix, o *oddity) {
			tg, w, tag := m.free()
			if tag == "" || m.groups[hidesTags] {
				return // a tag that HEAD denies appears unseen
			}
			m.groups[hidesTags] = true
			sibling := w.tags[m.rnd.IntN(len(w.tags))]
			other := rt.Image(1<<22+m.rnd.IntN(1<<10), 1)
			m.hosts[tg.host].Push(m.t, tg.name, other)
			m.in(o, tg.mixRepo, m.rival(tg, tag, other), append(when(tag, sibling), rt.First(1))...)
			if then != nil {
				m.in(o, tg.mixRepo, then, append(when(tag, sibling), rt.First(1))...)
			}
			m.note("the rival sets %s:%s to %s", tg.name, tag, other.Digest)
		}}
	}
	put := func(tag, _ string) []rt.Match { return []rt.Match{rt.Is(rt.ManifestPut), puts(tag)} }
	refused := func(status int) rt.Fault { return rt.Status(status, soon(), "") }
	return []behavior{
		rival("a rival before the HEAD", func(tag, _ string) []rt.Match { return []rt.Match{rt.Is(rt.ManifestHead), rt.Ref(tag)} }, nil),
		rival("a rival between HEAD and PUT", put, nil),
		rival("a rival before a PUT that is refused with 429", put, refused(http.StatusTooManyRequests)),
		rival("a rival before a PUT that is refused with 503", put, refused(http.StatusServiceUnavailable)),
		rival("a rival before a PUT that finds blobs unknown", put, rt.Refuse(http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "blob unknown")),
		rival("a rival at the PUT of another tag", func(_, sibling string) []rt.Match { return put(sibling, "") }, nil),
	}
}

// puts matches PUTs of a tag, alone or with others.
func puts(tag string) rt.Match {
	by := rt.Ref(tag)
	return func(r *http.Request) bool { return by(r) || slices.Contains(r.URL.Query()["tag"], tag) }
}

// free returns a wanted tag that its destination does not have.
func (m *mix) free() (*mixTarget, mixWant, string) {
	tg := m.destination()
	have := m.hosts[tg.host].Tags(m.t, tg.name)
	for _, w := range tg.wants {
		for _, tag := range w.tags {
			if have[tag] == "" {
				return tg, w, tag
			}
		}
	}
	return tg, mixWant{}, ""
}

// rival sets a tag, and passes the request on. If that very request sets the tag again,
// its sender could not know of the rival, and is excused.
func (m *mix) rival(tg *mixTarget, tag string, other rt.Object) rt.Fault {
	s := m.hosts[tg.host]
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if _, _, taken := s.Manifest(m.t, tg.name, tag); taken {
			next.ServeHTTP(w, r) // another promoter that is too late
			return
		}
		s.Push(m.t, tg.name, other, tag)
		defer func() {
			changes := s.Changes()
			for i, c := range slices.Backward(changes) {
				if c.Repo == tg.name && c.Ref == tag {
					m.mu.Lock()
					m.excused[excuse{tg.host, i}] = !c.Direct
					m.mu.Unlock()
					return
				}
			}
		}()
		next.ServeHTTP(w, r)
	}
}

// excuse is a change of a host that could not be avoided.
type excuse struct{ host, change int }

func (tg *mixTarget) objects() []rt.Object {
	var all []rt.Object
	for _, w := range tg.wants {
		all = append(all, w.Object)
	}
	return all
}

func (r mixRepo) String() string { return fmt.Sprintf("host %d, %s", r.host, r.name) }
