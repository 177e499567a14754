package kpromo

// formerFlags are flags of kpromo that cip does not have, and what replaces them.
var formerFlags = map[string]string{
	"allowed-builders":                   "write a policy: the key provenance of a manifest",
	"allowed-source-repos":               "write a policy: the key provenance of a manifest",
	"require-provenance":                 "write a policy: the key provenance of a manifest",
	"check-manifest-lists-from-snapshot": "not needed: an index is always promoted with all of its images",
	"generate-promotion-provenance":      "use --attest",
	"json-log-summary":                   "use --output=json, or --report=FILE",
	"manifest-diff-since":                "use --since, which also takes a date or a duration: --since=14d",
	"max-signature-copies":               "not needed: --threads is for all requests",
	"max-signature-ops":                  "not needed: --threads is for all requests",
	"repository":                         "use --thin-manifest-dir or --manifest in a clone of the repository",
	"severity-threshold":                 "use --vuln-severity-threshold",
	"snapshot-service-account":           "not needed: credentials come from Docker's configuration or the cloud; --key-files names keys",
	"update-repo":                        "not needed: cip pr fetches the branch that it changes",
	"use-legacy-pipeline":                "not needed: there is one pipeline",
	"use-prow-manifest-diff":             "use --since=auto",
	"use-service-account":                "not needed: the accounts in manifests are used if --key-files has their keys",
}

// formerCommands are commands of kpromo that cip does not have, and what replaces them.
var formerCommands = map[string]string{
	"cip":                  "leave it out: kpromo cip is cip run",
	"manifest":             "use cip check --offline",
	"mm":                   "leave it out: use cip run",
	"promote":              "use cip run",
	"replicate-signatures": "use cip run --referrers",
	"sigcheck":             "use cip verify",
}

// FormerFlag returns what replaces a flag of kpromo that cip does not have, or "".
func FormerFlag(name string) string { return formerFlags[name] }

// FormerCommand returns what replaces a command of kpromo that cip does not have, or "".
func FormerCommand(name string) string { return formerCommands[name] }
