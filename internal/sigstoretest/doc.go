// Package sigstoretest gives tests a sigstore of their own: everything that signs.
//
//	Sigstore ── authority   issues certificates, with SCTs of a certificate log
//	         ├─ log         a transparency log: entries, inclusion proofs, promises
//	         ├─ timestamper answers RFC 3161 requests
//	         └─ TrustedRoot what a verifier needs to know about the three
//
// Bundle, CosignLayer and AttestationLayer sign as sigstore's clients do. Options leave
// parts out or break them, one at a time, so that a test names the one thing that is wrong.
//
// FulcioURL, RekorURL and TimestampURL start servers on loopback, which issue certificates,
// entries and timestamps of the same sigstore. Token makes the tokens that Fulcio accepts.
//
// The package sends no request, and it never waits. It is for tests; nothing of the
// product imports it.
package sigstoretest
