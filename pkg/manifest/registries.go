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
)

// registries reads the registries of a manifest, which stands at n, into m.
func (r *reader) registries(n *yaml.Node, e map[string]field, m *Manifest) {
	f, ok := e["registries"]
	if !ok {
		r.fault(Broken, n, "no registries: want one with src: true and one destination or more")
		return
	}
	items, ok := r.items(f.value, "registries")
	if !ok {
		return
	}
	if len(items) == 0 {
		r.fault(Broken, f.key, "registries is empty: want one with src: true and one destination or more")
		return
	}
	if len(items) > maxRegistries {
		r.fault(Broken, f.key, "more than %d registries", maxRegistries)
		return
	}
	var source *yaml.Node
	destinations := 0 // as written: what is wrong with one is said there
	for _, item := range items {
		reg, src := r.registry(item)
		switch {
		case src == nil:
			destinations++
			if reg != nil {
				r.destination(item, reg, m)
			}
		case source != nil:
			r.fault(Broken, src, "a second source: the first is on line %d", source.Line)
		default:
			source, m.Source = src, reg
		}
	}
	if source == nil {
		r.fault(Broken, f.key, "no source: want one registry with src: true")
	}
	if destinations == 0 {
		r.fault(Broken, f.key, "no destination: want one registry or more without src")
	}
}

// registry reads one entry: nil if it has no usable name. A source's src key is returned as well.
func (r *reader) registry(n *yaml.Node) (reg *Registry, src *yaml.Node) {
	e := r.known(n, "a registries entry", "name", "service-account", "src", "mirrors", "mutable-tags", "absent-status")
	if e == nil {
		return nil, nil
	}
	reg = &Registry{Pos: r.pos(n)}
	name, ok := r.required(n, e, "name", "a registries entry")
	if ok {
		var err error
		if reg.Name, err = image.ParseRegistry(name); err != nil {
			r.fault(Broken, e["name"].value, "%v", err)
			ok = false
		}
	}
	if f, given := e["src"]; given && r.boolean(f.value, "src") {
		src = f.key
	}
	reg.ServiceAccount = r.account(e)
	reg.Mirrors = values(r, e, "mirrors", func(n *yaml.Node) (image.Registry, error) { return image.ParseRegistry(deref(n).Value) })
	reg.MutableTags = values(r, e, "mutable-tags", glob)
	reg.AbsentStatus = values(r, e, "absent-status", status)
	if f, given := e["mirrors"]; given && src == nil {
		r.fault(Broken, f.key, "mirrors on a destination: mirrors belong to the source")
	}
	if f, given := e["mutable-tags"]; given && src != nil {
		r.fault(Warning, f.key, "mutable-tags on the source: it has no effect, tags move in destinations only")
	}
	if f, given := e["absent-status"]; given && src != nil {
		r.fault(Broken, f.key, "absent-status on the source: it is for destinations only")
	}
	if !ok {
		return nil, src
	}
	return reg, src
}

// destination appends reg, which stands at n, to m unless an earlier entry says the same.
func (r *reader) destination(n *yaml.Node, reg *Registry, m *Manifest) {
	var first *Registry
	repeated := false
	for _, d := range m.Destinations {
		if d.Name == reg.Name {
			first = cmp.Or(first, d)
			repeated = repeated || sameSet(d.MutableTags, reg.MutableTags) && sameSet(d.AbsentStatus, reg.AbsentStatus)
		}
	}
	if first != nil && first.ServiceAccount != reg.ServiceAccount {
		r.fault(Warning, n, "destination %s again with another service-account: the one on line %d is used", reg.Name, first.Pos.Line)
	}
	if !repeated {
		m.Destinations = append(m.Destinations, reg)
	}
}

// account returns the service-account of an entry.
func (r *reader) account(e map[string]field) string {
	f, ok := e["service-account"]
	if !ok {
		return ""
	}
	account, ok := r.text(f.value, "service-account")
	if !ok {
		return ""
	}
	if strings.ContainsFunc(account, func(c rune) bool { return c == ' ' || !unicode.IsPrint(c) }) {
		r.fault(Broken, f.value, "bad service-account %q: it holds spaces or control characters", clip(account))
		return ""
	}
	return account
}

// boolean returns n as a truth value, in the words of YAML 1.1 too. Null is false.
func (r *reader) boolean(n *yaml.Node, what string) bool {
	b := deref(n)
	if b.Kind == yaml.ScalarNode && (b.Tag == "!!bool" || !quoted(b)) {
		switch strings.ToLower(b.Value) {
		case "true", "yes", "on", "y":
			return true
		case "false", "no", "off", "n":
			return false
		}
	}
	if !null(b) {
		r.wrong(n, what, "true or false")
	}
	return false
}

// values returns the items of a key's list as read makes them, each once. What read refuses is Broken.
func values[T comparable](r *reader, e map[string]field, key string, read func(*yaml.Node) (T, error)) []T {
	f, ok := e[key]
	if !ok {
		return nil
	}
	items, _ := r.items(f.value, key)
	if len(items) > maxItems {
		r.fault(Broken, f.key, "%s: more than %d items", key, maxItems)
		return nil
	}
	var all []T
	seen := make(map[T]struct{}, len(items))
	for _, n := range items {
		if s := deref(n); s.Kind != yaml.ScalarNode || null(s) {
			r.wrong(n, "an item of "+key, "text or number")
			continue
		}
		v, err := read(n)
		if err != nil {
			r.fault(Broken, n, "%s: %v", key, err)
			continue
		}
		if _, ok := seen[v]; !ok {
			seen[v] = struct{}{}
			all = append(all, v)
		}
	}
	return all
}

// glob reads a pattern of tags.
func glob(n *yaml.Node) (string, error) {
	pattern := deref(n).Value
	if pattern == "" {
		return "", errors.New("empty pattern")
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return "", errors.New("malformed pattern " + strconv.Quote(clip(pattern)))
	}
	return pattern, nil
}

// neverAbsent are statuses that say nothing about what is in a registry: 401 and 407 ask
// for credentials, 408, 425 and 429 for another try.
var neverAbsent = []int{401, 407, 408, 425, 429}

// status reads an HTTP status that can mean "absent".
func status(n *yaml.Node) (int, error) {
	s := deref(n)
	code, err := strconv.Atoi(s.Value)
	if err != nil || quoted(s) || code < 400 || code > 499 {
		return 0, errors.New("want an HTTP status from 400 to 499, found " + describe(s))
	}
	if slices.Contains(neverAbsent, code) {
		return 0, fmt.Errorf("%d never means that something does not exist: it asks to sign in, or to try again", code)
	}
	return code, nil
}

// sameSet reports whether a and b, which repeat nothing, hold the same.
func sameSet[T comparable](a, b []T) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(v T) bool { return !slices.Contains(b, v) })
}
