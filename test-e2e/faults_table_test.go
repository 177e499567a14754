package e2e

import (
	"net/http"
	"strings"
	"time"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// secret is the password of every row that needs one.
const secret = "pl4nted-s3cret"

// misbehaviors returns the table.
func misbehaviors() []misbehavior {
	var all []misbehavior
	for _, part := range [][]misbehavior{tokenFaults(), paceFaults(), connectionFaults(), bodyFaults(), uploadFaults(), mountFaults(), answerFaults(), immutableTags(), refusals()} {
		all = append(all, part...)
	}
	return all
}

func tokenFaults() []misbehavior {
	users := map[string]string{"alice": secret}
	expire := func(tr *trial) {
		for _, s := range []*rt.Server{tr.src, tr.dst} {
			for _, n := range []int{3, 9, 20} {
				s.Fault(rt.Before(func(*http.Request) { s.ExpireTokens() }), rt.Not(rt.Is(rt.Token, rt.Ping)), rt.Nth(n))
			}
		}
	}
	return []misbehavior{
		{name: "tokens expire", options: []rt.Option{rt.TokenAuth(users)}, account: "alice:" + secret, inject: expire},
		{name: "tokens are good for three requests", options: []rt.Option{rt.TokenAuth(users, rt.TokenUses(3))}, account: "alice:" + secret,
			args: []string{"--threads=2"}, inject: func(*trial) {}},
		{name: "tokens of the first scope, one registry", near: true, options: []rt.Option{rt.TokenAuth(users, rt.FirstScopeOnly())},
			account: "alice:" + secret, inject: func(*trial) {}},
		{name: "the account is closed meanwhile", options: []rt.Option{rt.TokenAuth(users)}, account: "alice:" + secret,
			inject: func(tr *trial) {
				tr.dst.Fault(rt.Refuse(401, "UNAUTHORIZED", "closed"), rt.Is(rt.UploadPost, rt.UploadPut, rt.ManifestPut))
			},
			code: 1, lost: []string{"apple failed", "pear failed"}, says: "401 UNAUTHORIZED: closed"},
	}
}

func paceFaults() []misbehavior {
	busy := func(header http.Header, body string) func(*trial) {
		return func(tr *trial) {
			for _, s := range []*rt.Server{tr.src, tr.dst} {
				for _, kinds := range [][]rt.Kind{{rt.Tags}, {rt.ManifestGet}, {rt.UploadPost, rt.UploadPut}} {
					s.Fault(rt.Status(http.StatusTooManyRequests, header, body), rt.Is(kinds...), rt.First(1))
				}
			}
		}
	}
	users := map[string]string{"alice": secret}
	// A registry whose clock is a day off counts its dates from there.
	skewed := func(off time.Duration) http.Header {
		now := time.Now().Add(off).UTC()
		h := rt.Header("Retry-After", now.Add(time.Second).Format(http.TimeFormat))
		h.Set("Date", now.Format(http.TimeFormat))
		return h
	}
	const day = 24 * time.Hour
	return []misbehavior{
		{name: "429 with a date, the clock a day ahead", inject: busy(skewed(day), "")},
		{name: "429 with a date, the clock a day behind", inject: busy(skewed(-day), "")},
		{name: "429 with the end of a quota", inject: busy(rt.Header("Ratelimit-Reset", "1"), "")},
		{name: "429 to pings", inject: func(tr *trial) {
			tr.src.Fault(rt.Status(429, rt.Header("Retry-After", "1"), ""), rt.Is(rt.Ping), rt.First(1))
			tr.dst.Fault(rt.Status(429, nil, ""), rt.Is(rt.Ping), rt.First(2))
		}},
		{name: "429 to requests for tokens", options: []rt.Option{rt.TokenAuth(users)}, account: "alice:" + secret, inject: func(tr *trial) {
			tr.src.Fault(rt.Status(429, rt.Header("Retry-After", "1"), ""), rt.Is(rt.Token), rt.First(1))
			tr.dst.Fault(rt.Status(429, nil, ""), rt.Is(rt.Token), rt.First(2))
		}},
		{name: "429 with seconds", inject: busy(rt.Header("Retry-After", "1"), "")},
		{name: "429 with a date", inject: busy(rt.Header("Retry-After", time.Now().Add(time.Second).UTC().Format(http.TimeFormat)), "")},
		{name: "429 without a time", inject: busy(nil, "")},
		{name: "429 with a time in its text", inject: busy(rt.Header("Content-Type", "application/json"),
			`{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 880.092µs, allowed: 44000/minute"}]}`)},
		{name: "503 with seconds", inject: func(tr *trial) {
			tr.dst.Fault(rt.Status(http.StatusServiceUnavailable, rt.Header("Retry-After", "1"), ""), rt.Is(rt.ManifestPut), rt.First(1))
		}},
	}
}

func connectionFaults() []misbehavior {
	// Rows of their own break off pings; a session whose end is refused stays open, and that is no news.
	later := rt.Not(rt.Is(rt.Ping, rt.UploadDelete))
	both := func(f func(seed uint64) (rt.Fault, rt.Match)) func(*trial) {
		return func(tr *trial) {
			for i, s := range []*rt.Server{tr.src, tr.dst} {
				fault, when := f(uint64(i + 1))
				s.Fault(fault, later, when)
			}
		}
	}
	const some = 0.1
	return []misbehavior{
		{name: "5xx now and then", inject: both(func(seed uint64) (rt.Fault, rt.Match) { return rt.ServerErrors(seed), rt.Chance(some, seed+10) })},
		{name: "5xx now and then, one registry", near: true, inject: func(tr *trial) { tr.dst.Fault(rt.ServerErrors(6), later, rt.Chance(some, 5)) }},
		{name: "resets before", inject: both(func(seed uint64) (rt.Fault, rt.Match) { return rt.ResetBefore(), rt.Chance(some, seed+20) })},
		{name: "resets after", inject: both(func(seed uint64) (rt.Fault, rt.Match) { return rt.ResetAfter(), rt.Chance(some, seed+30) })},
		{name: "resets after, one registry", near: true, inject: func(tr *trial) { tr.dst.Fault(rt.ResetAfter(), later, rt.Chance(some, 40)) }},
		{name: "the first ping breaks off", inject: func(tr *trial) { tr.dst.Fault(rt.ResetAfter(), rt.Is(rt.Ping), rt.First(1)) }},
		{name: "connections that end", inject: both(func(uint64) (rt.Fault, rt.Match) { return rt.GoAway(), rt.Every(3) })},
		{name: "5xx to every first upload", options: []rt.Option{rt.NoSinglePost()}, inject: func(tr *trial) {
			tr.dst.Fault(rt.ServerErrors(3), rt.Is(rt.UploadPut), rt.FirstEach(1))
		}},
		{name: "what gateways answer", inject: func(tr *trial) {
			for i, status := range []int{408, 499, 520, 521, 522, 524} {
				for _, s := range []*rt.Server{tr.src, tr.dst} {
					s.Fault(rt.Status(status, nil, "<html>gateway</html>"), later, rt.Nth(3*i+2))
				}
			}
		}},
		{name: "5xx to every first upload in one request", inject: func(tr *trial) {
			tr.dst.Fault(rt.ServerErrors(3), rt.Is(rt.UploadPost), rt.FirstEach(1))
		}},
		{name: "5xx to a whole step, always", options: []rt.Option{rt.NoSinglePost()}, inject: func(tr *trial) {
			tr.dst.Fault(rt.Status(500, nil, ""), rt.Is(rt.UploadPut), rt.Repo("prod/pear"))
		}, code: 1, lost: []string{"pear failed"}, says: "500"},
	}
}

func bodyFaults() []misbehavior {
	return []misbehavior{
		{name: "blobs that break off", inject: func(tr *trial) { tr.src.Fault(rt.Truncate(100), rt.Is(rt.BlobGet), rt.FirstEach(1)) }},
		{name: "manifests that break off", inject: func(tr *trial) { tr.src.Fault(rt.Truncate(100), rt.Is(rt.ManifestGet), rt.FirstEach(1)) }},
		{name: "blobs that break off again and again", inject: func(tr *trial) { tr.src.Fault(rt.Truncate(700), rt.Is(rt.BlobGet)) }},
		{name: "a blob that never begins", inject: func(tr *trial) {
			tr.src.Fault(rt.Truncate(0), rt.Is(rt.BlobGet), rt.Ref(tr.apple.Blobs[1].Digest))
		}, code: 1, lost: []string{"apple failed"}, says: "reading blob"},
		{name: "manifests with other bytes", inject: func(tr *trial) { tr.src.Fault(rt.Corrupt(50), rt.Is(rt.ManifestGet), rt.FirstEach(1)) }},
		{name: "a manifest with other bytes, always", inject: func(tr *trial) {
			tr.src.Fault(rt.Corrupt(50), rt.Is(rt.ManifestGet), rt.Ref(tr.apple.Digest))
		}, code: 1, lost: []string{"apple failed"}, says: "other bytes"},
		{name: "a child with other bytes, always", inject: func(tr *trial) {
			tr.src.Fault(rt.Corrupt(50), rt.Is(rt.ManifestGet), rt.Ref(tr.pear.Children[1].Digest))
		}, code: 1, lost: []string{"pear failed"}, says: "other bytes"},
		{name: "blobs with other bytes", inject: func(tr *trial) { tr.src.Fault(rt.Corrupt(300), rt.Is(rt.BlobGet), rt.FirstEach(1)) }},
		{name: "blobs with other bytes, mounts refused", near: true, inject: func(tr *trial) {
			tr.dst.Fault(rt.RefuseMounts(403))
			tr.dst.Fault(rt.Corrupt(300), rt.Is(rt.BlobGet), rt.FirstEach(2))
		}},
		{name: "a blob with other bytes, always, mounts refused", near: true, inject: func(tr *trial) {
			tr.dst.Fault(rt.RefuseMounts(202))
			tr.dst.Fault(rt.Corrupt(50), rt.Is(rt.BlobGet), rt.Ref(tr.apple.Blobs[2].Digest))
		}, code: 1, lost: []string{"apple failed"}, says: "other bytes"},
		{name: "blobs that break off, mounts refused", near: true, inject: func(tr *trial) {
			tr.dst.Fault(rt.RefuseMounts(405))
			tr.dst.Fault(rt.Truncate(100), rt.Is(rt.BlobGet), rt.FirstEach(1))
		}},
		{name: "a blob with other bytes, always", inject: func(tr *trial) {
			tr.src.Fault(rt.Corrupt(50), rt.Is(rt.BlobGet), rt.Ref(tr.apple.Blobs[2].Digest))
		}, code: 1, lost: []string{"apple failed"}, says: "other bytes"},
		{name: "a blob that the source has lost", lasting: true, inject: func(tr *trial) {
			tr.src.DeleteBlob(tr.t, "staging/apple", tr.apple.Blobs[1].Digest)
		}, code: 1, lost: []string{"apple failed"}, says: "reading blob"},
	}
}

func uploadFaults() []misbehavior {
	return []misbehavior{
		{name: "sessions forgotten", options: []rt.Option{rt.NoSinglePost()}, inject: func(tr *trial) { tr.dst.Fault(rt.ForgetUpload(), rt.Is(rt.UploadPut), rt.FirstEach(1)) }},
		{name: "uploads refused", inject: func(tr *trial) {
			tr.dst.Fault(rt.Refuse(403, "DENIED", "no room"), rt.Is(rt.UploadPost), rt.Repo("prod/apple"))
		}, code: 1, lost: []string{"apple failed"}, says: "403 DENIED: no room"},
		{name: "uploads refused at their end", options: []rt.Option{rt.NoSinglePost()}, inject: func(tr *trial) {
			tr.dst.Fault(rt.Refuse(413, "SIZE_INVALID", "too large"), rt.Is(rt.UploadPut), rt.Repo("prod/apple"))
		}, code: 1, lost: []string{"apple failed"}, says: "413 SIZE_INVALID: too large"},
		{name: "blobs unknown once", inject: func(tr *trial) {
			tr.dst.Fault(rt.Refuse(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown"), rt.Is(rt.ManifestPut), rt.FirstEach(1))
		}},
		{name: "a blob lost before its manifest", inject: func(tr *trial) {
			tr.dst.Fault(rt.Before(func(*http.Request) {
				tr.dst.DeleteBlob(tr.t, "prod/apple", tr.apple.Blobs[1].Digest)
			}), rt.Is(rt.ManifestPut), rt.Repo("prod/apple"), rt.First(1))
		}},
		{name: "a blob lost before its manifest, one registry", near: true, inject: func(tr *trial) {
			tr.dst.Fault(rt.Before(func(*http.Request) {
				tr.dst.DeleteBlob(tr.t, "prod/apple", tr.apple.Blobs[1].Digest)
			}), rt.Is(rt.ManifestPut), rt.Repo("prod/apple"), rt.First(1))
		}},
	}
}

func mountFaults() []misbehavior {
	var rows []misbehavior
	for _, status := range []int{202, 401, 403, 404, 405} {
		rows = append(rows, misbehavior{
			name: "mounts answered with " + http.StatusText(status), near: true,
			inject: func(tr *trial) { tr.dst.Fault(rt.RefuseMounts(status)) },
		})
	}
	for _, threads := range []string{"1", "2"} { // uploads must not wait for bytes that cannot come before they end
		rows = append(rows, misbehavior{
			name: "mounts refused and blobs with other bytes, requests at once: " + threads, near: true, args: []string{"--threads=" + threads},
			inject: func(tr *trial) {
				tr.dst.Fault(rt.RefuseMounts(405))
				tr.dst.Fault(rt.Corrupt(300), rt.Is(rt.BlobGet), rt.FirstEach(2))
			},
		})
	}
	return append(rows, misbehavior{
		name: "mounts refused for one repository", near: true,
		inject: func(tr *trial) { tr.dst.Fault(rt.RefuseMounts(403), rt.Repo("prod/pear")) },
	})
}

func answerFaults() []misbehavior {
	const elsewhere = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	other := rt.Image(99, 1)
	return []misbehavior{
		{name: "no digest in any answer", inject: func(tr *trial) {
			tr.src.Fault(rt.WrongDigest(""))
			tr.dst.Fault(rt.WrongDigest(""))
		}},
		{name: "a wrong digest after a manifest", inject: func(tr *trial) {
			tr.dst.Fault(rt.WrongDigest(elsewhere), rt.Is(rt.ManifestPut), rt.Repo("prod/apple"))
		}, code: 1, lost: []string{"apple failed"}, says: "another digest"},
		{name: "manifests seen late, no digest in answers", inject: func(tr *trial) {
			tr.dst.Fault(rt.WrongDigest(""), rt.Is(rt.ManifestPut))
			tr.dst.Fault(rt.DelayVisibility(2))
		}},
		{name: "blobs elsewhere", options: []rt.Option{rt.TokenAuth(map[string]string{"alice": secret})}, account: "alice:" + secret,
			inject: func(tr *trial) {
				storage := tr.src.Storage(tr.t, tr.secure...)
				tr.src.Fault(rt.Redirect(storage.URL), rt.Is(rt.BlobGet))
				tr.elsewhere = storage
			},
			afterRun: func(tr *trial, _ outcome) {
				for _, r := range tr.elsewhere.Requests() {
					if r.Auth != "" {
						tr.t.Errorf("got credentials sent to another host, want none: %s", r)
					}
				}
				if tr.elsewhere.Count(rt.BlobGet) == 0 {
					tr.t.Error("got no blob read from where the blobs are, want some")
				}
			}},
		{name: "a tag moved under us", lasting: true, inject: func(tr *trial) {
			tr.dst.Fault(tr.dst.MoveTag(tr.t, "prod/apple", "1.0", other), rt.Is(rt.ManifestHead), rt.Repo("prod/apple"), rt.Ref("1.0"), rt.First(1))
		}, code: 1, lost: []string{"apple refused"}, says: other.Digest, afterRun: func(tr *trial, _ outcome) {
			if got := tr.dst.Tags(tr.t, "prod/apple")["1.0"]; got != other.Digest {
				tr.t.Errorf("got the other promoter's tag at %s, want it still at %s", got, other.Digest)
			}
		}},
		{name: "pages without end", inject: func(tr *trial) { tr.dst.Fault(rt.LinkLoop(), rt.Repo("prod/pear")) },
			code: 1, lost: []string{"pear failed"}, says: "never end"},
	}
}

// immutableTags are the answers of registries whose tags cannot be written. They are reported and not retried.
func immutableTags() []misbehavior {
	var rows []misbehavior
	for _, a := range []struct {
		status int
		code   string
	}{{400, "TAG_INVALID"}, {403, "DENIED"}, {409, "TAG_EXISTS"}, {412, "PRECONDITION_FAILED"}} {
		refuse := rt.Refuse(a.status, a.code, "tags are immutable")
		rows = append(rows, misbehavior{
			name: "immutable tags, " + a.code, args: []string{"--threads=1"},
			inject: func(tr *trial) { tr.dst.Fault(refuse, rt.Is(rt.ManifestPut), rt.Repo("prod/apple")) },
			code:   1, lost: []string{"apple failed"}, says: a.code + ": tags are immutable",
			afterRun: func(tr *trial, _ outcome) {
				puts := 0
				for _, r := range tr.dst.Requests() {
					if r.Kind == rt.ManifestPut && r.Repo == "prod/apple" {
						puts++
					}
				}
				if puts != 1 {
					tr.t.Errorf("got %d PUTs, want 1", puts)
				}
			},
		}, misbehavior{
			name: "immutable tags that are as wanted, " + a.code,
			inject: func(tr *trial) {
				tr.dst.Push(tr.t, "prod/apple", tr.apple, "1.0")
				tr.dst.Fault(refuse, rt.Is(rt.ManifestPut), rt.Repo("prod/apple"))
			},
		})
	}
	return rows
}

func refusals() []misbehavior {
	var rows []misbehavior
	for _, status := range []int{403, 500} {
		text := strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
		rows = append(rows,
			misbehavior{name: "manifests answered with " + text, inject: func(tr *trial) {
				tr.dst.Fault(rt.Refuse(status, text, "not here"), rt.Is(rt.ManifestPut), rt.Repo("prod/pear"))
			}, code: 1, lost: []string{"pear failed"}, says: text},
			misbehavior{name: "the source answers with " + text, inject: func(tr *trial) {
				tr.src.Fault(rt.Refuse(status, text, "not here"), rt.Is(rt.ManifestGet), rt.Repo("staging/pear"))
			}, code: 1, lost: []string{"pear failed"}, says: text},
		)
	}
	return rows
}
