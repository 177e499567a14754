package promote_test

import (
	"net/http"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// What another run may cure is known from the cause, wherever it happens.
func TestRetryable(t *testing.T) {
	t.Parallel()
	causes := map[string]struct {
		fault registrytest.Fault
		want  plan.Verdict
	}{
		"400":              {registrytest.Refuse(http.StatusBadRequest, "NAME_INVALID", "timeout: 503"), plan.Unsuccessful},
		"401":              {registrytest.Refuse(http.StatusUnauthorized, "UNAUTHORIZED", "no"), plan.Unsuccessful},
		"403":              {registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), plan.Unsuccessful},
		"408":              {registrytest.Refuse(http.StatusRequestTimeout, "", ""), plan.Retry},
		"429":              {registrytest.Refuse(http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down"), plan.Retry},
		"429 for an hour":  {registrytest.Status(http.StatusTooManyRequests, registrytest.Header("Retry-After", "3600"), ""), plan.Retry},
		"500":              {registrytest.Refuse(http.StatusInternalServerError, "UNKNOWN", "not found"), plan.Retry},
		"503":              {registrytest.Refuse(http.StatusServiceUnavailable, "UNAVAILABLE", "denied"), plan.Retry},
		"507":              {registrytest.Refuse(http.StatusInsufficientStorage, "", ""), plan.Retry},
		"no answer":        {registrytest.Hang(), plan.Retry},
		"a lost request":   {registrytest.ResetBefore(), plan.Retry},
		"a lost answer":    {registrytest.ResetAfter(), plan.Retry},
		"a foreign answer": {registrytest.Status(http.StatusOK, nil, "<html>Sign in</html>"), plan.Unsuccessful},
	}
	places := map[string]struct {
		atSource bool
		kind     registrytest.Kind
	}{
		"the destination's list":        {false, registrytest.Tags},
		"a manifest of the source":      {true, registrytest.ManifestGet},
		"a blob of the source":          {true, registrytest.BlobGet},
		"an upload to the destination":  {false, registrytest.UploadPost},
		"a manifest to the destination": {false, registrytest.ManifestPut},
		"a token from the token server": {false, registrytest.Token},
		"a head request before a tag":   {false, registrytest.ManifestHead},
		"the end of an upload":          {false, registrytest.UploadPut},
	}
	limits := impatient
	limits.Commit = limits.BlobWindow
	for cause, c := range causes {
		for place, at := range places {
			switch {
			case cause == "a foreign answer" && (at.kind == registrytest.ManifestPut || at.kind == registrytest.UploadPost || at.kind == registrytest.ManifestHead || at.kind == registrytest.UploadPut):
				continue // its status alone says that it is done, or the tag is read otherwise
			case cause == "a lost answer" && (at.kind == registrytest.ManifestPut || at.kind == registrytest.UploadPut):
				continue // it is done, and read back
			case cause == "429" && at.kind == registrytest.Token:
				continue // 15 tries with a pause of a second each
			}
			t.Run(cause+", "+place, func(t *testing.T) {
				t.Parallel()
				kind := []registrytest.Option{registrytest.NoSinglePost()}
				if at.kind == registrytest.Token {
					kind = append(kind, registrytest.TokenAuth(nil, registrytest.AnonymousPull()))
				}
				src, dst := registrytest.New(t), registrytest.New(t, kind...)
				img := registrytest.Image(1, 1)
				src.Push(t, "staging/a", img, "build")
				server := dst
				if at.atSource {
					server = src
				}
				options := registry.Options{Limits: limits}
				if c.want == plan.Unsuccessful {
					options.Limits = registry.Limits{} // a slow machine is no reason for another verdict
				}
				server.Fault(c.fault, registrytest.Is(at.kind))
				p := rig{manifest: plain(want("a", img.Digest, "1.0"), src.Host+"/staging", dst.Host+"/prod"), options: options}.run(t)
				if got := p.Report(false, &plan.Wanted{}).Verdict(); got != c.want {
					t.Errorf("got verdict %d, want %d\n%+v\n%s", got, c.want, p.Items, server.Summary())
				}
			})
		}
	}
}

// A host that does not answer may do so later. A certificate that is not trusted does not
// become so.
func TestRetryableConnections(t *testing.T) {
	t.Parallel()
	closed := registrytest.New(t)
	closed.Close()
	for name, tc := range map[string]struct {
		host string
		want plan.Verdict
	}{
		"nothing listens":        {closed.Host, plan.Retry},
		"an unknown certificate": {registrytest.New(t, registrytest.TLS()).Host, plan.Unsuccessful},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := rig{manifest: plain(want("a", registrytest.Image(1, 1).Digest, "1.0"), tc.host+"/staging", tc.host+"/prod")}.run(t)
			if got := p.Report(false, &plan.Wanted{}).Verdict(); got != tc.want {
				t.Errorf("got verdict %d, want %d\n%+v", got, tc.want, p.Items)
			}
		})
	}
}
