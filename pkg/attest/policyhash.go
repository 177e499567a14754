package attest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// effectivePolicy is the content of a policy as it binds an image. It has neither the
// place of the policy in its file nor the order of lists: they change no verdict.
type effectivePolicy struct {
	Source         string             `json:"source"`
	Mode           provenance.Mode    `json:"mode"`
	Signers        []string           `json:"signers"`
	Builders       []effectiveBuilder `json:"builders"`
	Sources        []string           `json:"sources"`
	PredicateTypes []string           `json:"predicateTypes"`
	Level          int                `json:"level"`
	Want           int                `json:"want"`
}

type effectiveBuilder struct {
	ID        string   `json:"id"`
	Level     int      `json:"level"`
	Signers   []string `json:"signers"`
	Workflows []string `json:"workflows"`
	Refs      []string `json:"refs"`
}

// policyHash returns the sha256 of the policies that verdicts were made by, in hexadecimal
// digits, or "" if there are none. Equal policies have one hash, wherever they are written.
func policyHash(verdicts []provenance.Verdict) string {
	var all []string
	for _, v := range verdicts {
		for i := range v.Judgments {
			var b strings.Builder
			_ = json.NewEncoder(&b).Encode(effective(v.Judgments[i].Policy)) // texts and numbers can be encoded
			all = append(all, b.String())
		}
	}
	if len(all) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(ordered(all), "")))
	return hex.EncodeToString(sum[:])
}

func effective(b provenance.Bound) effectivePolicy {
	e := effectivePolicy{
		Source: b.Source.String(), Mode: b.Mode, Sources: ordered(b.Sources), PredicateTypes: ordered(b.PredicateTypes), Level: b.Level, Want: b.Want,
	}
	for _, s := range b.Signers {
		e.Signers = append(e.Signers, s.Spec)
	}
	e.Signers = ordered(e.Signers)
	for _, builder := range b.Builders {
		one := effectiveBuilder{ID: builder.ID, Level: builder.Level, Signers: ordered(builder.Signers)}
		if builder.Caller != nil {
			one.Workflows, one.Refs = ordered(builder.Caller.Workflows), ordered(builder.Caller.Refs)
		}
		e.Builders = append(e.Builders, one)
	}
	slices.SortFunc(e.Builders, func(a, b effectiveBuilder) int { return strings.Compare(a.ID, b.ID) })
	return e
}

// ordered returns a list in order, each text once.
func ordered(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
