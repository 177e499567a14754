package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// crowd is enough images for requests to queue for their host.
const crowd = 40

// TestTokensExpireInACrowd ends all tokens while many requests are under way and
// many more wait, on a registry that hands out its tokens itself.
func TestTokensExpireInACrowd(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--threads=3"}} {
		t.Run("threads "+strings.Join(args, ""), func(t *testing.T) {
			t.Parallel()
			reg := rt.New(t, rt.TokenAuth(map[string]string{"alice": secret}))
			images, wanted := crowdOf(t, reg)
			var once sync.Once
			reg.Fault(rt.Before(func(*http.Request) { once.Do(reg.ExpireTokens) }), rt.Is(rt.Mount), rt.After(20))
			manifest := writeManifest(t, wanted, reg.Host+"/staging", reg.Host+"/prod")
			p := prepare(t, append([]string{"run", "--confirm", "--manifest=" + manifest}, args...)...)
			p.login(t, "alice", secret, reg)
			p.begin(t)
			out := p.wait(t, runLimit)
			if out.code != 0 {
				t.Fatalf("got exit code %d, want 0\n%s", out.code, out)
			}
			for name, o := range images {
				for _, p := range wrong(t, reg, "prod/"+name, o, "1.0") {
					t.Error(p)
				}
			}
		})
	}
}

// crowdOf fills a registry and returns its images, by name, and their entries.
func crowdOf(t testing.TB, reg *rt.Server) (images map[string]rt.Object, entries string) {
	t.Helper()
	var b strings.Builder
	images = map[string]rt.Object{}
	for i := range crowd {
		name, o := fmt.Sprintf("image-%d", i), rt.Image(i, 3)
		reg.Push(t, "staging/"+name, o, "build")
		images[name] = o
		b.WriteString(entry(name, o.Digest, "1.0"))
	}
	return images, b.String()
}
