package attest

import (
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// policyHash returns the sha256 of the policies that verdicts were made by, in hexadecimal
// digits, or "" if there are none. Of one policy it is that of its content; of several it
// is that of theirs. Equal policies have one hash, wherever they are written.
func policyHash(verdicts []provenance.Verdict) string {
	var all []string
	for _, v := range verdicts {
		for i := range v.Judgments {
			all = append(all, strings.TrimPrefix(v.Judgments[i].Policy.Digest(), "sha256:"))
		}
	}
	slices.Sort(all)
	switch all = slices.Compact(all); len(all) {
	case 0:
		return ""
	case 1:
		return all[0]
	}
	return registry.DigestOf([]byte(strings.Join(all, "\n"))).Hex
}
