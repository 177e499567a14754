package registry

import (
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
)

// host is what the answers of a registry host have shown.
type host struct {
	mounts    mounts
	posts     posts
	headFinds atomic.Bool // HEAD has found a manifest
	headFails atomic.Bool // HEAD has not found a manifest that GET has found
	referrers atomic.Bool // the referrers API has answered
}

// repository is what the answers about a repository have shown.
type repository struct {
	put         atomic.Bool  // a manifest was put into it
	listed      atomic.Bool  // Read has read its tag list
	empty       atomic.Bool  // Read has found it to hold nothing, or AssumeEmpty says so
	referrers   atomic.Bool  // the referrers API has answered
	noReferrers atomic.Int32 // number of digests for which the referrers API has not answered
	links       sync.Mutex   // held while a fallback tag is changed, or the referrers API is tried
}

func (c *Client) host(repo name.Repository) *host { return c.hosts.Of(repo.RegistryStr()) }

// setListed records that Read has read the tag list of a repository, and whether the
// repository held nothing.
//
// Read resolves the tags in the list. All other tags are absent.
func (c *Client) setListed(repo name.Repository, empty bool) {
	known := c.repos.Of(repo)
	known.listed.Store(true)
	known.empty.Store(empty)
}

// AssumeEmpty makes WasEmpty report that a repository held nothing. It is not read.
func (c *Client) AssumeEmpty(repo name.Repository) { c.setListed(repo, true) }

// WasEmpty reports whether Read found a repository to hold nothing.
//
// There may be blobs that no manifest refers to, and digests without tags.
func (c *Client) WasEmpty(repo name.Repository) bool { return c.repos.Of(repo).empty.Load() }
