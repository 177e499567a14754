package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
)

// provenanceType is the type of provenance of SLSA, version 1.
const provenanceType = "https://slsa.dev/provenance/v1"

// attest puts signed provenance of an object into its repository. The builder is
// https://builder.test.
func (w *world) attest(args []string) {
	w.need(args, 6, "attest NAME REPO VAR SIGSTORE IDENTITY SOURCE [tag]")
	s, o, by := w.server(args[0]), w.known(args[2]), w.sigstores[args[3]]
	id := sigstoretest.Identity{SAN: args[4], Issuer: "https://issuer.test"}
	statement := provenanceOf(w.t, o.Digest, args[5])
	if len(args) > 6 {
		sigstoretest.PutTag(w.t, s, args[1], o.Digest, ".att", by.AttestationLayer(id, statement))
		return
	}
	sigstoretest.Attach(w.t, s, args[1], o, by.Bundle(id, statement))
}

// provenanceOf returns a statement about a digest that was built from a source.
func provenanceOf(t testing.TB, digest, source string) []byte {
	t.Helper()
	type object = map[string]any
	raw, err := json.Marshal(object{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": provenanceType,
		"subject": []object{{"digest": object{"sha256": strings.TrimPrefix(digest, "sha256:")}}},
		"predicate": object{
			"buildDefinition": object{"resolvedDependencies": []object{{"uri": "git+" + source}}},
			"runDetails":      object{"builder": object{"id": "https://builder.test"}, "metadata": object{"invocationId": "1"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
