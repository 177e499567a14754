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
	// SigstoreBundle is the version of sigstore bundles that attestations have.
	SigstoreBundle types.MediaType = SigstoreBundlePrefix + ".v0.3+json"
	// DSSEEnvelope is a signed statement, as a layer under cosign's tag of attestations.
	DSSEEnvelope types.MediaType = "application/vnd.dsse.envelope.v1+json"
	// InTotoStatement is the payload type of a signed in-toto statement.
	InTotoStatement = "application/vnd.in-toto+json"
)

// CosignPredicate is the predicate type of a sigstore bundle that signs an image.
// Bundles with another predicate say something else about the image.
const CosignPredicate = "https://sigstore.dev/cosign/sign/v1"

// PredicateAnnotation of a referrer is the predicate type of its sigstore bundle.
const PredicateAnnotation = "dev.sigstore.bundle.predicateType"

// Annotations of a layer under one of cosign's tags.
const (
	CosignSignatureAnnotation   = "dev.cosignproject.cosign/signature"   // of the payload, in base64
	CosignCertificateAnnotation = "dev.sigstore.cosign/certificate"      // of the signer, PEM
	CosignChainAnnotation       = "dev.sigstore.cosign/chain"            // the authorities of the certificate, PEM
	CosignEntryAnnotation       = "dev.sigstore.cosign/bundle"           // of the transparency log, JSON
	CosignTimestampAnnotation   = "dev.sigstore.cosign/rfc3161timestamp" // of the signature, JSON
)

// IsAttestation reports whether an index's child is an attestation.
//
// BuildKit stores attestations of the other children in the index itself. They have
// the annotation vnd.docker.reference.type and the platform unknown/unknown. One of
// the two is enough, because some tools that copy an index drop the other.
func IsAttestation(os, architecture string, annotations map[string]string) bool {
	return os == "unknown" && architecture == "unknown" || annotations["vnd.docker.reference.type"] != ""
}
