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

// versionKey is the annotation or config label that tells an image's version.
const versionKey = "org.opencontainers.image.version"

// asked is what labels ask of an image.
type asked struct {
	labels    map[string]string
	digest    v1.Hash  // of the manifest or index; empty: any
	config    string   // digest of the config; empty: any
	platform  platform // without os: any
	version   string
	versioned bool
	other     []string // labels that the image itself has to carry, sorted
}

// platform is what an image runs on, as OCI names it.
type platform struct{ os, arch, variant string }

// architectures maps the names of appc, and others in use, to those of OCI.
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

// ask reads what labels ask for.
func ask(labels map[string]string) (asked, error) {
	a := asked{labels: labels, platform: platform{os: labels["os"]}}
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
	return a, a.askPlatform()
}

func (a *asked) askPlatform() error {
	os, hasOS := a.labels["os"]
	arch, hasArch := a.labels["arch"]
	variant, hasVariant := a.labels["variant"]
	switch {
	case hasOS && os == "":
		return errors.New("label os is empty")
	case hasArch && !hasOS:
		return fmt.Errorf("label arch=%s without os: an architecture is one of an operating system", told(arch))
	case hasArch && arch == "":
		return errors.New("label arch is empty")
	case hasVariant && !hasArch:
		return fmt.Errorf("label variant=%s without arch", told(variant))
	}
	known := normal(platform{arch: arch})
	if implied := architectures[arch].variant; implied != "" && hasVariant && implied != variant {
		return fmt.Errorf("labels arch=%s and variant=%s contradict each other", arch, told(variant))
	} else if implied != "" {
		variant = implied
	}
	a.platform = platform{os, known.arch, variant}
	if hasVariant {
		a.platform = normal(a.platform)
	}
	return nil
}

// normal returns a platform without differences in spelling: 64-bit arm is v8, and arm
// without a variant is v7.
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

// runsOn reports whether an image for p is one for what was asked.
func (a *asked) runsOn(p platform) bool {
	want, p := a.platform, normal(p)
	return want.os == "" || want.os == p.os &&
		(want.arch == "" || want.arch == p.arch) && (want.variant == "" || want.variant == p.variant)
}

// single reports whether one image is asked for, not an index.
func (a *asked) single() bool { return a.platform.os != "" || a.config != "" }

// String returns all labels.
func (a *asked) String() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(a.labels)) {
		all = append(all, told(key)+"="+told(a.labels[key]))
	}
	if len(all) == 0 {
		return "any labels"
	}
	return strings.Join(all, ", ")
}
