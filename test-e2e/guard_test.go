package e2e

import (
	"os"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
)

// key makes a key pair, whose halves go into two files.
func (w *world) key(args []string) {
	w.need(args, 2, "key NAME KIND")
	w.keys[args[0]] = registrytest.NewKey(w.t, args[1])
	w.Check(os.WriteFile(w.MkAbs(args[0]+".pem"), w.keys[args[0]].Public(), 0o600))
	w.Check(os.WriteFile(w.MkAbs(args[0]+".key"), w.keys[args[0]].Private(), 0o600))
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

// sigstore makes a sigstore, whose trusted root goes into a file.
func (w *world) sigstore(args []string) {
	w.need(args, 1, "sigstore NAME")
	s := sigstoretest.New(w.t)
	w.sigstores[args[0]] = s
	w.Check(os.WriteFile(w.MkAbs(args[0]+".json"), s.TrustedRoot(), 0o600))
}

// keyless puts a signature of an object by an identity into its repository.
func (w *world) keyless(args []string) {
	w.need(args, 6, "keyless NAME REPO VAR SIGSTORE IDENTITY tag|bundle")
	s, o, by := w.server(args[0]), w.known(args[2]), w.sigstores[args[3]]
	id := sigstoretest.Identity{SAN: args[4], Issuer: "https://issuer.test"}
	switch args[5] {
	case "tag":
		sigstoretest.PutTag(w.t, s, args[1], o.Digest, ".sig", by.CosignLayer(id, registrytest.Claim(o.Digest)))
	case "bundle":
		sigstoretest.Attach(w.t, s, args[1], o, by.Bundle(id, registrytest.Statement(registrytest.SignPredicate, o.Digest)))
	default:
		w.Fatalf("no kind of signature %q", args[5])
	}
}
