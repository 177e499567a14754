// Package verify checks that images are in production for a reason.
//
// A Chain leads from a digest to its reason:
//
//	digest ─ record ─▶ manifest file, line and commit ─▶ source ─▶ signature, provenance
//
// The record is the promotion record, a signed statement that is attached to the digest
// in a destination. Links of the chain are judged by pure functions. What they need is
// read by a Verifier from registries, and from git, through Commits.
// The package never decides whose signatures count and never writes anything.
package verify

import (
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Kind is the kind of a link.
type Kind string

// The kinds of links, in the order of a chain.
const (
	KindRecord     Kind = "record"
	KindManifest   Kind = "manifest"
	KindSource     Kind = "source"
	KindSignature  Kind = "signature"
	KindProvenance Kind = "provenance" // one for each policy
)

// Status is the result of checking a link.
type Status string

// The statuses of links.
const (
	OK         Status = "ok"
	Missing    Status = "missing"    // there is none, or it could not be read
	Invalid    Status = "invalid"    // there is one, and it does not verify
	NotChecked Status = "notChecked" // it is not required, or there is nothing to compare it with
)

// The verdicts about chains.
const (
	Intact = "ok"
	Broken = "broken"
)

// Link is one link of a chain.
type Link struct {
	Kind   Kind   `json:"kind"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
}

// broken reports whether the link is missing or invalid.
func (l Link) broken() bool { return l.Status == Missing || l.Status == Invalid }

// Chain is the result for one reference.
type Chain struct {
	Reference string   `json:"reference"`
	Digest    string   `json:"digest"`
	Verdict   string   `json:"verdict"` // Intact or Broken
	Links     []Link   `json:"links"`
	Notes     []string `json:"notes,omitempty"` // what is no proof, such as records of strangers

	Subject Subject `json:"-"` // with its digest and homes; zero if the image does not exist
}

// Lacks reports whether a link is missing or invalid.
func (c *Chain) Lacks(k Kind) bool {
	return slices.ContainsFunc(c.Links, func(l Link) bool { return l.Kind == k && l.broken() })
}

// add appends links. A link that is missing or invalid breaks the chain.
func (c *Chain) add(links ...Link) {
	for _, l := range links {
		if l.broken() {
			c.Verdict = Broken
		}
		c.Links = append(c.Links, l)
	}
}

// Bad reports whether a chain is broken.
func Bad(chains []Chain) bool {
	return slices.ContainsFunc(chains, func(c Chain) bool { return c.Verdict != Intact })
}

// Subject is an image to verify, at a destination.
type Subject struct {
	Reference  string // as the user wrote it, or repository@digest
	Repository name.Repository
	Tag        string // of the reference; may be empty
	Digest     v1.Hash
	Homes      []Home // where its records may be
}

// Home is a place of promotion records: a repository that gets evidence.
type Home struct {
	Repository name.Repository
	Name       string // the production name that records have as their subject
}

func missing(k Kind, format string, args ...any) Link { return link(k, Missing, format, args...) }

func invalid(k Kind, format string, args ...any) Link { return link(k, Invalid, format, args...) }

func notChecked(k Kind, format string, args ...any) Link { return link(k, NotChecked, format, args...) }

func good(k Kind, format string, args ...any) Link { return link(k, OK, format, args...) }

func link(k Kind, s Status, format string, args ...any) Link {
	return Link{Kind: k, Status: s, Detail: fmt.Sprintf(format, args...)}
}
