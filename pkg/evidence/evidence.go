// Package evidence reads the attestations and signatures of images and verifies them.
//
//	registry ─ Reader ─▶ bundles ─ Trust ─▶ provenance.Evidence
//	provenance.Policies, Evidence ─ Judge ─▶ provenance.Verdict
//
// Trust decides whether a signature is valid: by sigstore's roots or by a public key.
// Package provenance decides whether the signer and the statement satisfy a policy. This
// package never signs and never writes.
package evidence
