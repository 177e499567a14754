package e2e

import (
	"os"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// key makes a key pair, whose public half goes into a file.
func (w *world) key(args []string) {
	w.need(args, 2, "key NAME KIND")
	w.keys[args[0]] = registrytest.NewKey(w.t, args[1])
	w.Check(os.WriteFile(w.MkAbs(args[0]+".pem"), w.keys[args[0]].Public(), 0o600))
}

// sign puts a signature of an object into its repository.
func (w *world) sign(args []string) {
	w.need(args, 5, "sign NAME REPO VAR KEY tag|referrer|bundle")
	s, o, key := w.server(args[0]), w.known(args[2]), w.keys[args[3]]
	switch args[4] {
	case "tag":
		tag := strings.Replace(o.Digest, ":", "-", 1) + ".sig"
		s.Push(w.t, args[1], registrytest.Signatures([]registrytest.Blob{key.Layer(registrytest.Claim(o.Digest))}), tag)
	case "referrer":
		s.Push(w.t, args[1], registrytest.Signatures([]registrytest.Blob{key.Layer(registrytest.Claim(o.Digest))},
			registrytest.Subject(o), registrytest.ArtifactType(registrytest.SignatureArtifact)))
	case "bundle":
		s.Push(w.t, args[1], registrytest.Signatures([]registrytest.Blob{key.Bundle(registrytest.Statement(registrytest.SignPredicate, o.Digest))},
			registrytest.Subject(o), registrytest.ArtifactType(registrytest.SignatureBundle)))
	default:
		w.Fatalf("no kind of signature %q", args[4])
	}
}
