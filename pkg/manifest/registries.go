package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// registries reads the registries of the manifest at node n into m.
func (r *reader) registries(n *yaml.Node, e map[string]yamlread.Field, m *Manifest) {
	f, ok := e["registries"]
	if !ok {
		r.Fault(Broken, n, "no registries: want one with src: true and one destination or more")
		return
	}
	items, ok := r.Items(f.Value, "registries")
	if !ok {
		return
	}
	if len(items) == 0 {
		r.Fault(Broken, f.Key, "registries is empty: want one with src: true and one destination or more")
		return
	}
	if len(items) > maxRegistries {
		r.Fault(Broken, f.Key, "more than %d registries", maxRegistries)
		return
	}
	var source *yaml.Node
	destinations := 0 // number of entries without src, bad ones too: those have faults of their own
	for _, item := range items {
		reg, src := r.registry(item)
		switch {
		case src == nil:
			destinations++
			if reg != nil {
				r.destination(item, reg, m)
			}
		case source != nil:
			r.Fault(Broken, src, "a second source: the first is on line %d", yamlread.Line(source.Line))
		default:
			source, m.Source = src, reg
		}
	}
	if source == nil {
		r.Fault(Broken, f.Key, "no source: want one registry with src: true")
	}
	if destinations == 0 {
		r.Fault(Broken, f.Key, "no destination: want one registry or more without src")
	}
}

// registry reads one entry, or returns nil if it has no valid name.
//
// src is the key src of a source, or nil for a destination.
func (r *reader) registry(n *yaml.Node) (reg *Registry, src *yaml.Node) {
	e := r.Known(n, "a registries entry", "name", "service-account", "src", "mirrors", "mutable-tags", "absent-status",
		"public-name", "attestations", "referrers")
	if e == nil {
		return nil, nil
	}
	reg = &Registry{Pos: r.Pos(n)}
	name, ok := r.Required(n, e, "name", "a registries entry")
	if ok {
		var err error
		if reg.Name, err = image.ParseRegistry(name); err != nil {
			r.Fault(Broken, e["name"].Value, "%v", err)
			ok = false
		}
	}
	if f, given := e["src"]; given && r.Boolean(f.Value, "src") {
		src = f.Key
	}
	reg.ServiceAccount = r.account(e)
	reg.Mirrors = yamlread.Values(r.File, e, "mirrors", func(n *yaml.Node) (image.Registry, error) { return image.ParseRegistry(yamlread.Deref(n).Value) })
	reg.MutableTags = yamlread.Values(r.File, e, "mutable-tags", glob)
	reg.AbsentStatus = yamlread.Values(r.File, e, "absent-status", status)
	r.evidence(e, reg)
	r.misplaced(e, src != nil)
	if !ok {
		return nil, src
	}
	return reg, src
}

// evidence reads the keys about evidence of an entry.
func (r *reader) evidence(e map[string]yamlread.Field, reg *Registry) {
	if f, ok := e["public-name"]; ok {
		text, _ := r.Text(f.Value, "public-name")
		if _, err := image.ParseRegistry(text); err != nil {
			r.Fault(Broken, f.Value, "public-name: %v", err)
		}
		reg.PublicName = strings.TrimSuffix(text, "/")
	}
	if f, ok := e["attestations"]; ok {
		reg.Attestations = r.Boolean(f.Value, "attestations")
	}
	if f, ok := e["referrers"]; ok {
		text, isText := r.Text(f.Value, "referrers")
		reg.Referrers = ReferrersMode(slices.Index(referrersModes, text) + 1)
		if isText && reg.Referrers == 0 {
			r.Fault(Broken, f.Value, "bad referrers %q: want none, accepted or all", yamlread.Clip(text))
		}
	}
}

// misplaced adds faults for keys that belong to the other kind of entry.
func (r *reader) misplaced(e map[string]yamlread.Field, source bool) {
	if f, ok := e["mirrors"]; ok && !source {
		r.Fault(Broken, f.Key, "mirrors on a destination: mirrors belong to the source")
	}
	if f, ok := e["mutable-tags"]; ok && source {
		r.Fault(Warning, f.Key, "mutable-tags on the source: it has no effect, tags move in destinations only")
	}
	for _, key := range []string{"absent-status", "public-name", "attestations", "referrers"} {
		if f, ok := e[key]; ok && source {
			r.Fault(Broken, f.Key, "%s on the source: it is for destinations only", key)
		}
	}
}

// destination appends reg, the entry at node n, to m unless an earlier entry is equal.
func (r *reader) destination(n *yaml.Node, reg *Registry, m *Manifest) {
	var first *Registry
	repeated := false
	for _, d := range m.Destinations {
		if d.Name == reg.Name {
			first = cmp.Or(first, d)
			repeated = repeated || sameSet(d.MutableTags, reg.MutableTags) && sameSet(d.AbsentStatus, reg.AbsentStatus)
		}
	}
	if first != nil && (first.PublicName != reg.PublicName || first.Attestations != reg.Attestations || first.Referrers != reg.Referrers) {
		r.Fault(Broken, n, "destination %s again with another public-name, attestations or referrers: the first is on line %d", reg.Name, yamlread.Line(first.Pos.Line))
	}
	if first != nil && first.ServiceAccount != reg.ServiceAccount {
		r.Fault(Warning, n, "destination %s again with another service-account: the one on line %d is used", reg.Name, yamlread.Line(first.Pos.Line))
	}
	if !repeated {
		m.Destinations = append(m.Destinations, reg)
	}
}

// account returns the service-account of an entry, or "".
func (r *reader) account(e map[string]yamlread.Field) string {
	f, ok := e["service-account"]
	if !ok {
		return ""
	}
	account, ok := r.Text(f.Value, "service-account")
	if !ok {
		return ""
	}
	if strings.ContainsFunc(account, func(c rune) bool { return c == ' ' || !unicode.IsPrint(c) }) {
		r.Fault(Broken, f.Value, "bad service-account %q: it holds spaces or control characters", yamlread.Clip(account))
		return ""
	}
	return account
}

// glob parses a pattern of tags.
func glob(n *yaml.Node) (string, error) {
	pattern := yamlread.Deref(n).Value
	if pattern == "" {
		return "", errors.New("empty pattern")
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return "", errors.New("malformed pattern " + strconv.Quote(yamlread.Clip(pattern)))
	}
	return pattern, nil
}

// neverAbsent are HTTP statuses that cannot mean an absence.
//
// 401 and 407 ask for credentials. 408, 425 and 429 ask for another attempt.
var neverAbsent = []int{401, 407, 408, 425, 429}

// status parses an HTTP status that may mean "absent".
func status(n *yaml.Node) (int, error) {
	s := yamlread.Deref(n)
	code, err := strconv.Atoi(s.Value)
	if err != nil || yamlread.IsQuoted(s) || code < 400 || code > 499 {
		return 0, errors.New("want an HTTP status from 400 to 499, found " + yamlread.Describe(s))
	}
	if slices.Contains(neverAbsent, code) {
		return 0, fmt.Errorf("%d never means that something does not exist: it asks to sign in, or to try again", code)
	}
	return code, nil
}

// sameSet reports whether a and b have the same elements. Neither may repeat one.
func sameSet[T comparable](a, b []T) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(v T) bool { return !slices.Contains(b, v) })
}
