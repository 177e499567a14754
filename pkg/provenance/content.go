package provenance

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// Enabled reports whether images are judged by the policy. A nil policy is not enabled.
func (p *Policy) Enabled() bool { return p != nil && (p.Mode == Warn || p.Mode == Require) }

// String returns the mode as in a manifest.
func (m Mode) String() string {
	switch m {
	case Warn:
		return "warn"
	case Require:
		return "require"
	}
	return "off"
}

// Digest returns "sha256:…" of the effective content of the policy.
//
// Policies that differ only in the order of lists have the same digest, and so have all
// that are off.
func (p *Policy) Digest() string {
	sum := sha256.Sum256([]byte(p.content().String()))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Differences returns the keys in which two policies differ. Nil is a policy that is off.
//
// The order of lists has no meaning, and neither has any key of a policy that is off.
func (p *Policy) Differences(other *Policy) []string {
	if p.Enabled() != other.Enabled() {
		return []string{"mode"}
	}
	var keys []string
	theirs := other.content()
	for i, f := range p.content() {
		if f.value != theirs[i].value {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// content is what a policy demands: its keys with their values as JSON, sorted.
type content [7]field

type field struct{ key, value string }

// String returns the content as one text, a line for each key.
func (c content) String() string {
	var text strings.Builder
	for _, f := range c {
		text.WriteString(f.key + " " + f.value + "\n")
	}
	return text.String()
}

// content returns the content of the policy.
func (p *Policy) content() content {
	if !p.Enabled() {
		p = &Policy{Mode: Off}
	}
	signers := make([]string, len(p.Signers))
	for i := range p.Signers {
		signers[i] = p.Signers[i].Spec
	}
	builders := slices.Clone(p.Builders)
	for i := range builders {
		b := &builders[i]
		b.Signers = sorted(b.Signers)
		if b.Caller != nil {
			b.Caller = &Caller{sorted(b.Caller.Workflows), sorted(b.Caller.Refs)}
		}
	}
	slices.SortFunc(builders, func(a, b Builder) int { return cmp.Compare(a.ID, b.ID) })
	levels := map[string]int{} // the highest by pattern
	for _, l := range p.Levels {
		for _, pattern := range l.Images {
			levels[pattern] = max(levels[pattern], l.Level)
		}
	}
	return content{
		{"mode", p.Mode.String()},
		{"signers", encode(sorted(signers))},
		{"builders", encode(builders)},
		{"sources", encode(sorted(p.Sources))},
		{"predicateTypes", encode(sorted(p.PredicateTypes))},
		{"level", encode(p.Level)},
		{"levels", encode(levels)},
	}
}

// sorted returns a sorted copy of a list, nil if it is empty.
func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// encode returns a value as JSON.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // all types of a policy can be encoded
	}
	return string(text)
}
