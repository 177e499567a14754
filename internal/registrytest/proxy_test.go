package registrytest

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestProxy(t *testing.T) {
	bothProtocols(t, func(t *testing.T, opts ...Option) {
		backend := New(t)
		p := Proxy(t, backend.URL, append(opts, WithCatalog())...)
		o := MultiArch(1, 2, 2)
		p.Push(t, "from", o, "1")
		if p.Count() != 0 || backend.Count() == 0 {
			t.Errorf("Push: got %d requests at the proxy and %d at the backend, want 0 and some\n%s", p.Count(), backend.Count(), p.Summary())
		}
		backend.Reset()
		tr := remote.WithTransport(p.Client().Transport)
		idx, err := remote.Index(ref(t, p, "from:1"), tr)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.WriteIndex(ref(t, p, "to:1"), idx, tr); err != nil {
			t.Fatal(err)
		}
		if problems := p.Complete(t, "to", "1"); problems != nil {
			t.Errorf("got problems %q, want none", problems)
		}
		if p.Count(Mount) != len(o.BlobDigests()) || backend.Count(Mount) != p.Count(Mount) {
			t.Errorf("got %d mounts at the proxy and %d at the backend, want %d\n%s%s", p.Count(Mount), backend.Count(Mount), len(o.BlobDigests()), p.Summary(), backend.Summary())
		}
		if a := ask(t, p, "GET", "/v2/_catalog", "").want(t, 200); string(a.body) != `{"repositories":["from","to"]}`+"\n" {
			t.Errorf("got catalog %s, want from and to", a.body)
		}
		p.Fault(ResetBefore(), Is(ManifestPut))
		p.Fault(Truncate(5), Is(ManifestGet))
		if ask(t, p, "PUT", "/v2/to/manifests/2", string(o.Raw), "Content-Type", o.MediaType).err == nil {
			t.Error("got an answer, want a reset")
		}
		if a := ask(t, p, "GET", "/v2/to/manifests/1", ""); a.err == nil || len(a.body) != 5 {
			t.Errorf("got error %v and %d bytes, want an error and 5", a.err, len(a.body))
		}
	})
}

func TestProxyPassesBackendFailuresOn(t *testing.T) {
	bothProtocols(t, func(t *testing.T, opts ...Option) {
		backend, o := withImage(t)
		p := Proxy(t, backend.URL, opts...)
		backend.Fault(Truncate(70_000), Is(BlobGet))
		backend.Fault(ResetBefore(), Is(ManifestHead))
		if a := ask(t, p, "GET", layerURL(o), ""); a.err == nil || len(a.body) != 70_000 {
			t.Errorf("got error %v after %d bytes, want an error after 70000", a.err, len(a.body))
		}
		ask(t, p, "HEAD", "/v2/r/manifests/1", "").want(t, 502)
	})
}

func TestProxyKeepsLocationsOnItself(t *testing.T) {
	backend := New(t)
	p := Proxy(t, backend.URL, TLS())
	backend.Fault(Status(202, Header("Location", backend.URL+"/v2/r/blobs/uploads/id?_state=x"), ""), Is(UploadPost))
	a := ask(t, p, "POST", "/v2/r/blobs/uploads/", "").want(t, 202)
	if got := a.Header.Get("Location"); got != "/v2/r/blobs/uploads/id?_state=x" || p.OpenUploads() != 1 {
		t.Errorf("got Location %q and %d open uploads, want one of the proxy without host, and 1", got, p.OpenUploads())
	}
	if got := backend.Requests()[0]; got.Kind != UploadPost {
		t.Errorf("got %s at the backend, want kind %v", got, UploadPost)
	}
}
