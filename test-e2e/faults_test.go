package e2e

import (
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// trial is a promotion of an image and an index between registries that misbehave.
type trial struct {
	t           testing.TB
	src, dst    *rt.Server
	apple, pear rt.Object
	secure      []rt.Option // the protocol, for further servers
	elsewhere   *rt.Server  // where blobs are kept, if not at the source
}

// misbehavior is one row of the table of faults.
type misbehavior struct {
	name     string
	near     bool                  // promote inside one registry
	options  []rt.Option           // of both registries
	account  string                // user:password for both, if they want one
	args     []string              // further flags
	inject   func(*trial)          // makes requests fail
	code     int                   // exit code
	lost     []string              // "NAME STATUS", the images that do not arrive, and what becomes of them
	says     string                // what the error of the lost says
	lasting  bool                  // the next run cannot repair it
	afterRun func(*trial, outcome) // further checks
}

// TestFaults promotes while registries misbehave, over HTTP/1.1 and HTTP/2: either
// everything arrives complete, or is reported, and nothing else is lost.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, proto := range []struct {
		name string
		opts []rt.Option
	}{{"HTTP 1.1", nil}, {"HTTP 2", []rt.Option{rt.HTTP2()}}} {
		for _, m := range misbehaviors() {
			t.Run(m.name+", "+proto.name, func(t *testing.T) {
				t.Parallel()
				try(t, &m, proto.opts)
			})
		}
	}
}

// try runs one row.
func try(t *testing.T, m *misbehavior, secure []rt.Option) {
	opts := append(append([]rt.Option{}, secure...), m.options...)
	dst := rt.New(t, opts...)
	src := dst
	if !m.near {
		src = rt.New(t, opts...)
	}
	tr := &trial{t: t, src: src, dst: dst, apple: rt.Image(1, 3), pear: rt.MultiArch(2, 2, 2), secure: secure}
	src.Push(t, "staging/apple", tr.apple, "build")
	src.Push(t, "staging/pear", tr.pear, "build")
	images := entry("apple", tr.apple.Digest, "1.0") + entry("pear", tr.pear.Digest, "1.0", "latest")
	args := trusting(t, dst, "--manifest="+writeManifest(t, images, src.Host+"/staging", dst.Host+"/prod"), "--confirm")
	args = append(args, m.args...)
	m.inject(tr)
	out := tr.run(m, args)
	tr.judge(m, &out)
	if m.afterRun != nil {
		m.afterRun(tr, out)
	}
	if m.code == 0 || m.lasting {
		return
	}
	src.ClearFaults()
	dst.ClearFaults()
	again := tr.run(&misbehavior{account: m.account}, args)
	tr.judge(&misbehavior{}, &again)
}

// run runs cip with the account of the row.
func (tr *trial) run(m *misbehavior, args []string) outcome {
	tr.t.Helper()
	p := prepare(tr.t, append([]string{"run"}, args...)...)
	if user, pass, ok := strings.Cut(m.account, ":"); ok {
		p.login(tr.t, user, pass, tr.src, tr.dst)
	}
	p.begin(tr.t)
	out := p.wait(tr.t, runLimit)
	if out.code != m.code || out.report == nil {
		tr.t.Fatalf("exit code %d, want %d\n%s\nsource %s\ndestination %s", out.code, m.code, out, tr.src.Summary(), tr.dst.Summary())
	}
	return out
}

// judge compares what became of the images with what the row wants and with what the report says.
func (tr *trial) judge(m *misbehavior, out *outcome) {
	t := tr.t
	t.Helper()
	lost := map[string]string{}
	for _, l := range m.lost {
		name, status, _ := strings.Cut(l, " ")
		lost[name] = status
	}
	for name, o := range map[string]rt.Object{"apple": tr.apple, "pear": tr.pear} {
		tags := []string{"1.0", "latest"}
		if name == "apple" {
			tags = tags[:1]
		}
		want := "done"
		if s, ok := lost[name]; ok {
			want = s
		} else {
			for _, p := range wrong(t, tr.dst, "prod/"+name, o, tags...) {
				t.Error(p)
			}
		}
		for _, p := range out.report.Promotions {
			if p.Digest != o.Digest {
				continue
			}
			if p.Status != want {
				t.Errorf("%s %s is %s, want %s: %s", p.Action, name, p.Status, want, p.Error)
			}
			if want != "done" && !strings.Contains(p.Error, m.says) {
				t.Errorf("%s: got error %q, want it to contain %q", name, p.Error, m.says)
			}
		}
		for tag := range tr.dst.Tags(t, "prod/"+name) {
			for _, p := range tr.dst.Complete(t, "prod/"+name, tag) {
				t.Errorf("got visible what is not complete, want it complete: %s", p)
			}
		}
	}
	if n := tr.dst.OpenUploads(); n > 0 {
		t.Errorf("got %d open uploads, want 0", n)
	}
	if strings.Contains(out.stdout+out.stderr, secret) {
		t.Errorf("got the password %s printed, want it nowhere\n%s", secret, out)
	}
	if t.Failed() {
		t.Logf("%s\nsource %s\ndestination %s", out, tr.src.Summary(), tr.dst.Summary())
	}
}
