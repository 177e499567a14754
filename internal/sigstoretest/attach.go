package sigstoretest

import (
	"encoding/json"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

const (
	contentKey   = "dev.sigstore.bundle.content"
	predicateKey = "dev.sigstore.bundle.predicateType"
	createdKey   = "org.opencontainers.image.created"
)

// Referrer returns the manifest by which a bundle refers to a subject, as cosign 3 makes it.
func Referrer(subject registrytest.Object, bundle []byte, opts ...registrytest.BuildOption) registrytest.Object {
	made := []registrytest.BuildOption{
		registrytest.Subject(subject), registrytest.ArtifactType(registrytest.SignatureBundle),
		registrytest.Annotate(createdKey, "2026-01-02T03:04:05Z"), registrytest.Annotate(contentKey, "dsse-envelope"),
	}
	predicate := predicateType(bundle)
	if predicate != "" {
		made = append(made, registrytest.Annotate(predicateKey, predicate))
	}
	o := registrytest.Attached([]registrytest.Blob{registrytest.NewBlob(registrytest.SignatureBundle, bundle)}, append(made, opts...)...)
	o.Annotations = map[string]string{contentKey: "dsse-envelope", predicateKey: predicate} // of the fallback tag's list
	return o
}

// predicateType returns the type of the statement in a bundle, or "".
func predicateType(bundle []byte) string {
	var b struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	var s struct {
		PredicateType string `json:"predicateType"`
	}
	if json.Unmarshal(bundle, &b) != nil || json.Unmarshal(b.Envelope.Payload, &s) != nil {
		return ""
	}
	return s.PredicateType
}

// Attach puts bundles into a repository as referrers of a subject.
//
// The registry lists them in its referrers API. AttachTag is for one that has none.
func Attach(t registrytest.TB, to *registrytest.Server, repo string, subject registrytest.Object, bundles ...[]byte) {
	t.Helper()
	for _, b := range bundles {
		to.Push(t, repo, Referrer(subject, b))
	}
}

// AttachTag puts bundles into a repository as referrers of a subject, with a list of them
// under the fallback tag.
func AttachTag(t registrytest.TB, to *registrytest.Server, repo string, subject registrytest.Object, bundles ...[]byte) {
	t.Helper()
	var referrers []registrytest.Object
	for _, b := range bundles {
		referrers = append(referrers, Referrer(subject, b))
	}
	to.Push(t, repo, registrytest.Index(referrers), Tag(subject.Digest, ""))
}

// PutTag puts layers under a tag of cosign: the suffix is .sig or .att.
func PutTag(t registrytest.TB, to *registrytest.Server, repo, digest, suffix string, layers ...registrytest.Blob) {
	t.Helper()
	to.Push(t, repo, registrytest.Signatures(layers), Tag(digest, suffix))
}

// Tag returns the tag that belongs to a digest: sha256-HEX and a suffix.
func Tag(digest, suffix string) string { return strings.Replace(digest, ":", "-", 1) + suffix }
