package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
)

// Who may sign, and what for.
const (
	attackSource  = "https://github.com/orchard/apple"
	attackBuilder = attackSource + "/.github/workflows/build.yml"
	attackRef     = "@refs/tags/v1"
	attackPolicy  = `provenance:
  mode: require
  signers: ["sigstore(identityMatch=regex)::https://token.actions.githubusercontent.com::https://github\\.com/orchard/apple/\\.github/workflows/build\\.yml@refs/tags/v1"]
  builders: [{id: "` + attackBuilder + `", level: 3}]
  sources: ["` + attackSource + `"]
`
)

var builderIdentity = sigstoretest.Identity{
	SAN: attackBuilder + attackRef, Issuer: "https://token.actions.githubusercontent.com", SourceRepository: attackSource,
}

// buildStatement is provenance about digests, which the policy accepts unless edit changes it.
func buildStatement(edit func(string) string, digests ...string) []byte {
	type object = map[string]any
	var subjects []object
	for _, d := range digests {
		subjects = append(subjects, object{"digest": object{"sha256": strings.TrimPrefix(d, "sha256:")}})
	}
	raw, _ := json.Marshal(object{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1", "subject": subjects,
		"predicate": object{
			"buildDefinition": object{
				"externalParameters":   object{"workflow": object{"repository": attackSource, "path": ".github/workflows/build.yml", "ref": "refs/tags/v1"}},
				"resolvedDependencies": []object{{"uri": "git+" + attackSource + attackRef}},
			},
			"runDetails": object{"builder": object{"id": attackBuilder + attackRef}, "metadata": object{"invocationId": "7"}},
		},
	})
	if edit == nil {
		return raw
	}
	return []byte(edit(string(raw)))
}

func replaced(from, to string) func(string) string {
	return func(s string) string { return strings.Replace(s, from, to, 1) }
}

// TestPolicyAttacks attaches evidence that is wrong in one way to images, and promotes them
// with a policy. Only images with good evidence may arrive.
func TestPolicyAttacks(t *testing.T) {
	t.Parallel()
	s, stranger := sigstoretest.New(t), sigstoretest.New(t)
	other := rt.Image(1000, 1)
	bundle := func(edit func(string) string, opts ...sigstoretest.Option) func(string) [][]byte {
		return func(digest string) [][]byte {
			return [][]byte{s.Bundle(builderIdentity, buildStatement(edit, digest), opts...)}
		}
	}
	by := func(id sigstoretest.Identity) func(string) [][]byte {
		return func(digest string) [][]byte { return [][]byte{s.Bundle(id, buildStatement(nil, digest))} }
	}
	identity := func(edit func(*sigstoretest.Identity)) sigstoretest.Identity {
		id := builderIdentity
		edit(&id)
		return id
	}
	attacks := []struct {
		name    string
		bundles func(digest string) [][]byte
		want    string // part of the error; empty: it is promoted
	}{
		{"good", bundle(nil), ""},
		{"good-expired-and-observed", bundle(nil, sigstoretest.Expired()), ""},
		{"good-with-two-subjects", func(d string) [][]byte {
			return [][]byte{s.Bundle(builderIdentity, buildStatement(nil, other.Digest, d))}
		}, ""},
		{"good-next-to-bad", func(d string) [][]byte {
			return [][]byte{stranger.Bundle(builderIdentity, buildStatement(nil, d)), s.Bundle(builderIdentity, buildStatement(nil, d)), []byte("{")}
		}, ""},
		{"nothing", func(string) [][]byte { return nil }, "it has no provenance"},
		{"about-another-digest", func(string) [][]byte { return [][]byte{s.Bundle(builderIdentity, buildStatement(nil, other.Digest))} }, "about other digests"},
		{"of-another-log-entry", bundle(nil, sigstoretest.LogEntryFor([]byte("{}"))), "it is not valid"},
		{"expired-and-not-observed", bundle(nil, sigstoretest.Late()), "it is not valid"},
		{"without-time", bundle(nil, sigstoretest.WithoutPromise(), sigstoretest.WithoutTimestamp()), "it is not valid"},
		{"without-sct", bundle(nil, sigstoretest.WithoutSCT()), "it is not valid"},
		{"without-log", bundle(nil, sigstoretest.WithoutLog()), "it is not valid"},
		{"another-payload-type", bundle(nil, sigstoretest.PayloadType("text/plain")), "the envelope has the type"},
		{"two-signatures", bundle(nil, sigstoretest.Signatures(2)), "the envelope has 2 signatures"},
		{"tampered", bundle(nil, sigstoretest.Tampered()), "it is not valid"},
		{"by-a-key", bundle(nil, sigstoretest.SignedBy(rt.NewKey(t, "p256"))), "its signature cannot be verified"},
		{"by-another-sigstore", func(d string) [][]byte { return [][]byte{stranger.Bundle(builderIdentity, buildStatement(nil, d))} }, "no trusted root has issued"},
		{"by-a-longer-identity", by(identity(func(id *sigstoretest.Identity) { id.SAN += "0" })), "it is signed by"},
		{"by-a-prefixed-identity", by(identity(func(id *sigstoretest.Identity) { id.SAN = "https://evil.example/?" + id.SAN })), "it is signed by"},
		{"by-another-issuer", by(identity(func(id *sigstoretest.Identity) { id.Issuer += ".evil.example" })), "it is signed by"},
		{"for-another-source", by(identity(func(id *sigstoretest.Identity) { id.SourceRepository = "https://github.com/orchard/apple2" })), "its certificate is for the source"},
		{"a-key-twice", bundle(replaced(`"predicateType"`, `"predicateType":"https://slsa.dev/provenance/v1","predicateType"`)), "is repeated"},
		{"a-key-in-another-case", bundle(replaced(`"subject"`, `"Subject"`)), `the key "Subject"`},
		{"another-statement", bundle(replaced("Statement/v1", "Statement/v2")), "Statement/v2"},
		{"another-builder-id", bundle(replaced(`"id":"`+attackBuilder, `"id":"`+attackSource+"/.github/workflows/evil.yml")), "it names the builder"},
		{"a-longer-builder-id", bundle(replaced(`"id":"`+attackBuilder, `"id":"`+attackBuilder+"/x")), "it names the builder"},
		{"no-builder", bundle(replaced(`"id":"`+attackBuilder+attackRef+`"`, `"id":""`)), "it names no builder"},
		{"another-source", bundle(replaced(`"repository":"`+attackSource, `"repository":"`+attackSource+"2")), "it is built from"},
	}
	src, dst := rt.New(t), rt.New(t)
	src.Push(t, "staging/other", other, "1")
	images, entries := map[string]rt.Object{}, strings.Builder{}
	for i, a := range attacks {
		o := rt.Image(i, 1)
		images[a.name] = o
		src.Push(t, "staging/"+a.name, o, "1")
		src.Push(t, "elsewhere/"+a.name, o, "1") // evidence in another repository does not count
		sigstoretest.Attach(t, src, "elsewhere/"+a.name, o, s.Bundle(builderIdentity, buildStatement(nil, o.Digest)))
		sigstoretest.Attach(t, src, "staging/"+a.name, o, a.bundles(o.Digest)...)
		entries.WriteString(entry(a.name, o.Digest, "1.0"))
	}
	root := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(root, s.TrustedRoot(), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := writeManifest(t, entries.String(), src.Host+"/staging", dst.Host+"/prod")
	if err := appendTo(manifest, attackPolicy); err != nil {
		t.Fatal(err)
	}
	out := start(t, "run", "--confirm", "--manifest="+manifest, "--trusted-root="+root).wait(t, runLimit)
	if out.code != 1 || out.report == nil {
		t.Fatalf("got exit code %d, want 1 and a report\n%s", out.code, out)
	}
	status := map[string]promotion{}
	for _, p := range out.report.Promotions {
		status[p.Destination] = p
	}
	for _, a := range attacks {
		got := status[dst.Host+"/prod/"+a.name]
		if a.want == "" {
			for _, problem := range wrong(t, dst, "prod/"+a.name, images[a.name], "1.0") {
				t.Errorf("%s: got %s, want it promoted: %s", a.name, problem, got.Error)
			}
			continue
		}
		if got.Status != "refused" || !strings.Contains(got.Error, a.want) {
			t.Errorf("%s: got status %q and error %q, want refused with %q", a.name, got.Status, got.Error, a.want)
		}
		if _, _, there := dst.Manifest(t, "prod/"+a.name, images[a.name].Digest); there {
			t.Errorf("%s: got the image in the destination, want none", a.name)
		}
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(f, text)
	return errors.Join(err, f.Close())
}
