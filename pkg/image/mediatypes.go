package image

import "github.com/google/go-containerregistry/pkg/v1/types"

// Media types that package types of go-containerregistry does not have.
const (
	// OCIArtifactManifest is the manifest of an artifact. OCI image-spec 1.1 dropped
	// it before its release, but registries hold such manifests.
	OCIArtifactManifest types.MediaType = "application/vnd.oci.artifact.manifest.v1+json"
	// CosignSimpleSigning is a cosign signature's payload, as a layer.
	CosignSimpleSigning types.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	// CosignSignature is the artifact type of a cosign signature.
	CosignSignature types.MediaType = "application/vnd.dev.cosign.artifact.sig.v1+json"
	// SigstoreBundlePrefix is how the media type of a sigstore bundle begins. A version follows.
	SigstoreBundlePrefix = "application/vnd.dev.sigstore.bundle"
	// InTotoStatement is the payload type of a signed in-toto statement.
	InTotoStatement = "application/vnd.in-toto+json"
)

// CosignPredicate is the predicate type of a sigstore bundle that signs an image.
// Bundles with another predicate say something else about the image.
const CosignPredicate = "https://sigstore.dev/cosign/sign/v1"

// IsAttestation reports whether an index's child is an attestation.
//
// BuildKit stores attestations of the other children in the index itself. They have
// the annotation vnd.docker.reference.type and the platform unknown/unknown. One of
// the two is enough, because some tools that copy an index drop the other.
func IsAttestation(os, architecture string, annotations map[string]string) bool {
	return os == "unknown" && architecture == "unknown" || annotations["vnd.docker.reference.type"] != ""
}
