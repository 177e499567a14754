package resolve

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// versionKey is the annotation or config label with the version of an image.
const versionKey = "org.opencontainers.image.version"

// query holds the labels that an image must have, parsed.
type query struct {
	labels    map[string]string
	digest    v1.Hash  // digest of the image manifest or index; zero: any
	config    string   // digest of the config; empty: any
	platform  platform // empty os: any platform
	version   string
	versioned bool     // the label version is set
	other     []string // labels to compare with annotations and labels, sorted
}

// platform is a platform with the names that OCI uses.
type platform struct{ os, arch, variant string }

// platformOf returns the platform of a child of an index.
func platformOf(c v1.Descriptor) platform {
	if c.Platform == nil {
		return platform{}
	}
	return platform{c.Platform.OS, c.Platform.Architecture, c.Platform.Variant}
}

// architectures maps architecture names of appc and of uname to those of OCI.
var architectures = map[string]platform{
	"x86_64":     {arch: "amd64"},
	"i386":       {arch: "386"},
	"i486":       {arch: "386"},
	"i586":       {arch: "386"},
	"i686":       {arch: "386"},
	"aarch64":    {arch: "arm64"},
	"aarch64_be": {arch: "arm64be"},
	"armv5l":     {arch: "arm", variant: "v5"},
	"armv6l":     {arch: "arm", variant: "v6"},
	"armv7l":     {arch: "arm", variant: "v7"},
	"armv7b":     {arch: "armbe", variant: "v7"},
}

// parseQuery parses the labels that an image must have.
func parseQuery(labels map[string]string) (query, error) {
	a := query{labels: labels}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value := labels[key]
		switch key {
		case "os", "arch", "variant":
		case "version":
			a.version, a.versioned = value, true
		case "digest":
			d, err := image.ParseDigest(value)
			if err != nil {
				return a, fmt.Errorf("label digest: %w", err)
			}
			a.digest = d
		case "dockerimageid":
			d, err := image.ParseDigest("sha256:" + strings.TrimPrefix(value, "sha256:"))
			if err != nil {
				return a, fmt.Errorf("label dockerimageid: %w", err)
			}
			a.config = d.String()
		default:
			a.other = append(a.other, key)
		}
	}
	return a, a.setPlatform()
}

// setPlatform sets the platform from labels os, arch and variant.
func (a *query) setPlatform() error {
	os, hasOS := a.labels["os"]
	arch, hasArch := a.labels["arch"]
	variant, hasVariant := a.labels["variant"]
	switch {
	case hasOS && os == "":
		return errors.New("label os is empty")
	case hasArch && !hasOS:
		return fmt.Errorf("label arch=%s without os: an architecture needs an operating system", clip(arch))
	case hasArch && arch == "":
		return errors.New("label arch is empty")
	case hasVariant && !hasArch:
		return fmt.Errorf("label variant=%s without arch", clip(variant))
	}
	known := normal(platform{arch: arch})
	if implied := architectures[arch].variant; implied != "" {
		if hasVariant && implied != variant {
			return fmt.Errorf("labels arch=%s and variant=%s contradict each other", arch, clip(variant))
		}
		variant = implied
	}
	a.platform = platform{os, known.arch, variant}
	if hasVariant {
		a.platform = normal(a.platform)
	}
	return nil
}

// normal returns the canonical form of a platform.
//
// The default variants are those of containerd: arm without a variant is v7, and v8 is
// the default of arm64.
func normal(p platform) platform {
	if known, ok := architectures[p.arch]; ok {
		p.arch = known.arch
		if p.variant == "" {
			p.variant = known.variant
		}
	}
	if p.variant != "" && p.variant[0] >= '0' && p.variant[0] <= '9' {
		p.variant = "v" + p.variant
	}
	switch {
	case p.arch == "arm" && p.variant == "":
		p.variant = "v7"
	case p.arch == "arm64" && p.variant == "v8":
		p.variant = ""
	}
	return p
}

// String returns os/arch[/variant].
func (p platform) String() string {
	s := p.os
	for _, part := range []string{p.arch, p.variant} {
		if part != "" {
			s += "/" + part
		}
	}
	if s == "" {
		return "no platform"
	}
	return s
}

// matchesPlatform reports whether an image for platform p satisfies the query.
func (a *query) matchesPlatform(p platform) bool {
	want, p := a.platform, normal(p)
	return want.os == "" || want.os == p.os &&
		(want.arch == "" || want.arch == p.arch) && (want.variant == "" || want.variant == p.variant)
}

// wantsOneImage reports whether the query is for an image and never for an index.
func (a *query) wantsOneImage() bool { return a.platform.os != "" || a.config != "" }

// String returns the labels for messages.
func (a *query) String() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(a.labels)) {
		all = append(all, clip(key)+"="+clip(a.labels[key]))
	}
	if len(all) == 0 {
		return "all labels (none is required)"
	}
	return strings.Join(all, ", ")
}
