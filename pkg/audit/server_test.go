package audit

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// The manifest of these tests wants apple 1.0 and latest, the index pear 2.0, and plum by digest.
func TestPubSub(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple, evil := registrytest.Image(1, 1), registrytest.Image(2, 1)
	pear, other := registrytest.MultiArch(3, 2, 1), registrytest.MultiArch(4, 2, 1)
	plum := registrytest.Image(5, 1)
	signature := registrytest.Artifact(6, "application/vnd.example.signature", registrytest.Subject(apple))
	forged := registrytest.Artifact(7, "application/vnd.example.signature", registrytest.Subject(apple))
	cosign := registrytest.Artifact(8, "application/vnd.dev.cosign")
	sig := func(o registrytest.Object) string { return strings.Replace(o.Digest, ":", "-", 1) + ".sig" }
	for _, side := range []string{"src", "prod"} {
		reg.Push(t, side+"/apple", apple, "1.0", "latest")
		reg.Push(t, side+"/apple", signature)
		reg.Push(t, side+"/apple", cosign, sig(apple))
		reg.Push(t, side+"/pear", pear, "2.0")
		reg.Push(t, side+"/plum", plum)
		reg.Push(t, side+"/built", apple, "build-7")
	}
	reg.Push(t, "prod/built", apple, "3.0")
	reg.Push(t, "prod/apple", evil, "evil", "moved")
	reg.Push(t, "prod/apple", forged)
	reg.Push(t, "prod/apple", other, "index")
	reg.Push(t, "prod/pear", cosign, sig(pear))
	reg.Push(t, "prod/rogue", evil, "1.0")
	images := entry("apple", apple.Digest, "1.0", "latest", "moved") + entry("pear", pear.Digest, "2.0") + entry("plum", plum.Digest) +
		"- name: built\n  retag:\n  - {src_build_tag: build-7, src_ref: none, tag: \"3.0\"}\n  - {src_build_tag: missing, src_ref: none, tag: \"4.0\"}\n"
	r := newRig(t, reg, images)
	for _, test := range []struct {
		name, action, repo, tag, digest string
		want                            string
	}{
		{"tag and digest", "INSERT", "prod/apple", "1.0", apple.Digest, "VERIFIED: push of " + reg.Host + "/prod/apple:1.0@" + apple.Digest + ": agrees with manifest " + r.file + ":8:"},
		{"tag alone", "INSERT", "prod/apple", "latest", "", "VERIFIED"},
		{"digest alone", "INSERT", "prod/apple", "", apple.Digest, "VERIFIED"},
		{"wanted by digest", "INSERT", "prod/plum", "", plum.Digest, "VERIFIED"},
		{"wanted by digest, tagged", "INSERT", "prod/plum", "1.0", plum.Digest, "REJECTED"},
		{"child of a wanted index", "INSERT", "prod/pear", "", pear.Children[0].Digest, "VERIFIED"},
		{"child of a wanted index, tagged", "INSERT", "prod/pear", "2.0-amd64", pear.Children[0].Digest, "REJECTED"},
		{"child of a wanted index, elsewhere", "INSERT", "prod/apple", "", pear.Children[0].Digest, "REJECTED"},
		{"child of an unwanted index", "INSERT", "prod/apple", "", other.Children[0].Digest, "REJECTED"},
		{"referrer that the source has", "INSERT", "prod/apple", "", signature.Digest, "VERIFIED"},
		{"referrer that the source has not", "INSERT", "prod/apple", "", forged.Digest, "REJECTED"},
		{"cosign tag", "INSERT", "prod/apple", sig(apple), cosign.Digest, "VERIFIED"},
		{"cosign's manifest, untagged", "INSERT", "prod/apple", "", cosign.Digest, "VERIFIED"},
		{"cosign tag that the source has not", "INSERT", "prod/pear", sig(pear), cosign.Digest, "REJECTED"},
		{"cosign tag of what is not wanted", "INSERT", "prod/apple", sig(evil), cosign.Digest, "REJECTED"},
		{"retag entry without a pin", "INSERT", "prod/built", "3.0", apple.Digest, "VERIFIED"},
		{"retag entry without a pin, digest alone", "INSERT", "prod/built", "", apple.Digest, "VERIFIED"},
		{"retag entry without a pin, another digest", "INSERT", "prod/built", "3.0", evil.Digest, "REJECTED"},
		{"retag entry without a source", "INSERT", "prod/built", "4.0", apple.Digest, "REJECTED"},
		{"wanted digest, unwanted tag", "INSERT", "prod/apple", "evil", apple.Digest, "REJECTED"},
		{"wanted tag, unwanted digest", "INSERT", "prod/apple", "1.0", evil.Digest, "REJECTED"},
		{"a wanted digest, but the tag points to another one", "INSERT", "prod/apple", "moved", apple.Digest, "REJECTED"},
		{"unwanted repository", "INSERT", "prod/rogue", "1.0", evil.Digest, "REJECTED"},
		{"deletion of a wanted tag", "DELETE", "prod/apple", "1.0", "", "REJECTED"},
		{"deletion of an unwanted digest", "DELETE", "prod/rogue", "", evil.Digest, "REJECTED"},
		{"source", "INSERT", "src/apple", "1.0", apple.Digest, "IGNORED"},
		{"deletion in the source", "DELETE", "src/apple", "1.0", "", "IGNORED"},
		{"a repository next to the destination", "INSERT", "prod-other/apple", "1.0", apple.Digest, "IGNORED"},
		{"unknown action", "EXPLODE", "prod/apple", "1.0", apple.Digest, "REJECTED: malformed"},
		{"no action", "", "prod/apple", "1.0", apple.Digest, "REJECTED: malformed"},
		{"neither tag nor digest", "INSERT", "prod/apple", "", "", "REJECTED: malformed"},
		{"bad digest", "INSERT", "prod/apple", "1.0", "sha256:12", "REJECTED: malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			status, text := r.push(test.name, test.action, test.repo, test.tag, test.digest)
			if status != http.StatusOK || !strings.HasPrefix(text, "TRANSACTION "+test.want) {
				t.Errorf("%d %s\nwant TRANSACTION %s", status, text, test.want)
			}
		})
	}
	for _, body := range []string{"", "x", "{}", `{"message":{}}`, `{"message":{"data":"x"}}`, `{"message":{"data":"bm90IGpzb24="}}`, "[]", "null"} {
		if status, text := r.post("/", body); status != http.StatusOK || !strings.HasPrefix(text, "TRANSACTION REJECTED: malformed") {
			t.Errorf("%q: got %d %s, want 200 and REJECTED", body, status, text)
		}
	}
}

func TestEventIsNoEvidence(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple := registrytest.Image(1, 1)
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	status, text := r.push("1", "INSERT", "prod/apple", "1.0", apple.Digest)
	if status != http.StatusServiceUnavailable || strings.Contains(text, "TRANSACTION") {
		t.Errorf("a push that the registry does not serve: got %d %s, want 503", status, text)
	}
	reg.Push(t, "prod/apple", apple, "1.0")
	if status, text = r.push("1", "INSERT", "prod/apple", "1.0", apple.Digest); status != http.StatusOK || !strings.HasPrefix(text, "TRANSACTION VERIFIED") {
		t.Errorf("a push that the registry serves: got %d %s, want 200 and VERIFIED", status, text)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	reg.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"))
	if status, text := r.push("1", "INSERT", "prod/apple", "1.0", apple.Digest); status != http.StatusServiceUnavailable {
		t.Errorf("an unreadable registry: got %d %s, want 503", status, text)
	}
	if status, text := r.push("2", "INSERT", "prod/apple", "evil", apple.Digest); status != http.StatusOK || !strings.Contains(text, "REJECTED") {
		t.Errorf("a tag that no manifest wants: got %d %s, want 200 and REJECTED", status, text)
	}
	r.post("/events/distribution", distributionBody("3", "push", reg.Host, "prod/apple", "1.0", apple.Digest))
	reg.Await(t, 3)
	reg.ClearFaults()
	records := r.await(2)
	if last := records[1]; last.Verdict != verified || last.Source != "distribution" {
		t.Errorf("after the registry has recovered: got %+v, want VERIFIED", last)
	}
}

func TestManifestsChange(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple, pear := registrytest.Image(1, 1), registrytest.Image(2, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	reg.Push(t, "prod/pear", pear, "1.0")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	if _, text := r.push("1", "INSERT", "prod/pear", "1.0", pear.Digest); !strings.Contains(text, "REJECTED") {
		t.Errorf("before the change: got %s, want REJECTED", text)
	}
	r.write(entry("apple", apple.Digest, "1.0") + entry("pear", pear.Digest, "1.0"))
	if _, text := r.push("2", "INSERT", "prod/pear", "1.0", pear.Digest); !strings.Contains(text, "VERIFIED") {
		t.Errorf("after the change: got %s, want VERIFIED", text)
	}
	r.write("- {broken")
	if status, text := r.push("3", "INSERT", "prod/apple", "1.0", apple.Digest); status != http.StatusOK || !strings.Contains(text, "VERIFIED") {
		t.Errorf("explained by the last valid manifests: got %d %s, want 200 and VERIFIED", status, text)
	}
	if status, text := r.push("4", "INSERT", "prod/plum", "1.0", apple.Digest); status != http.StatusServiceUnavailable {
		t.Errorf("not explained by the last valid manifests: got %d %s, want 503", status, text)
	}
	if _, text := r.get("/readyz"); !strings.Contains(text, r.file) {
		t.Errorf("/readyz: got %s, want the name of the broken file in it", text)
	}
}

func TestRedelivery(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	for range 3 {
		r.push("1", "INSERT", "prod/apple", "1.0", apple.Digest)
		r.post("/events/distribution", distributionBody("7", "push", reg.Host, "prod/apple", "1.0", apple.Digest))
	}
	r.post("/events/distribution", distributionBody("7", "delete", reg.Host, "prod/apple", "1.0", "")) // the id of another event
	records := r.await(3)
	r.stop()
	if got := len(r.records); got != 3 {
		t.Errorf("%d verdicts, want 3: %+v", got, records)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	r := newRig(t, reg, "  []\n", func(o *Options) { o.Token = "secret" })
	good := distributionBody("1", "push", reg.Host, "prod/apple", "1.0", "")
	for _, test := range []struct {
		name, path, body string
		header           []string
		want             int
	}{
		{"no token", "/events/distribution", good, nil, 401},
		{"no token, Pub/Sub", "/", pubsubBody("1", "INSERT", reg.Host+"/other/apple", "1.0", ""), nil, 401},
		{"wrong token", "/events/distribution", good, []string{"Authorization", "Bearer wrong"}, 401},
		{"wrong token in the URL", "/events/distribution?token=secre", good, nil, 401},
		{"bearer token", "/events/distribution", good, []string{"Authorization", "Bearer secret"}, 202},
		{"bearer token, its scheme in lower case", "/events/distribution", good, []string{"Authorization", "bearer secret"}, 202},
		{"token of another scheme", "/events/distribution", good, []string{"Authorization", "Digest secret"}, 401},
		{"bare token", "/events/distribution", good, []string{"Authorization", "secret"}, 202},
		{"basic authentication", "/events/distribution", good, []string{"Authorization", "Basic eDpzZWNyZXQ="}, 202},
		{"token in the URL", "/events/distribution?token=secret", good, nil, 202},
		{"token, Pub/Sub", "/", pubsubBody("1", "INSERT", reg.Host+"/other/apple", "1.0", ""), []string{"Authorization", "Bearer secret"}, 200},
		{"too large", "/events/distribution?token=secret", good + strings.Repeat(" ", 1<<20), nil, 413},
		{"too large, Pub/Sub", "/?token=secret", good + strings.Repeat(" ", 1<<20), nil, 413},
		{"a key twice", "/events/distribution?token=secret", strings.Replace(good, `"action"`, `"action":"pull","action"`, 1), nil, 400},
		{"a key in two cases", "/events/distribution?token=secret", strings.Replace(good, `"action"`, `"Action":"pull","action"`, 1), nil, 400},
		{"no JSON", "/events/harbor?token=secret", "x", nil, 400},
		{"no repository", "/events/dockerhub?token=secret", "{}", nil, 400},
		{"no host", "/events/zot?token=secret", `{"type":"zotregistry.image.updated","data":{"name":"a","reference":"b"}}`, nil, 400},
		{"unknown system", "/events/other?token=secret", "{}", nil, 404},
		{"unknown path", "/other?token=secret", "{}", nil, 405},
	} {
		if status, text := r.post(test.path, test.body, test.header...); status != test.want {
			t.Errorf("%s: %d %s, want %d", test.name, status, text, test.want)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/", "/style.css", "/page.js", "/api/verdicts", "/api/drift", "/api/status"} {
		if status, text := r.get(path); status != http.StatusOK || strings.Contains(text, "secret") {
			t.Errorf("%s: got %d %q, want 200 without a secret", path, status, text)
		}
	}
	for _, path := range []string{"/api/verdicts?limit=0", "/api/verdicts?verdict=maybe", "/api/verdicts?since=now", "/api/verdicts?after=-1"} {
		if status, _ := r.get(path); status != http.StatusBadRequest {
			t.Errorf("%s: got %d, want 400", path, status)
		}
	}
}

// If the listener fails, nothing runs on after Serve: synctest would report it.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		warn := func(string) {}
		manifests := NewManifests(Directory{t.TempDir()}, warn) // which has no manifests
		o := Options{Manifests: manifests, Sweep: time.Hour, AlertURL: "http://127.0.0.1:1", Warn: warn, Error: warn}
		a, err := New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Serve(context.WithoutCancel(t.Context()), listener); err == nil || !strings.Contains(err.Error(), "serving on 127.0.0.1:") {
			t.Errorf("got error %v, want that of the listener", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
}
