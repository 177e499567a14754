package provenance

import (
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// maxItems is the maximum length of a list in a policy. Builders × signers × signers that
// match a certificate are compared for each attestation.
const maxItems = 200

// maxPatterns is the number of patterns in levels. All images are compared with each.
const maxPatterns = 1_000

// maxLevel is the highest SLSA build level.
const maxLevel = 3

// workflowsDir is the directory of workflows in a repository on GitHub.
const workflowsDir = ".github/workflows/"

// reader reads one policy. A fault makes its file broken: an image must not be promoted
// because a part of the policy was not understood.
type reader struct {
	*yamlread.File
	policy  *Policy
	highest int // level that an image can be verified for
}

// Read reads the value of the key provenance of a manifest.
//
// A policy that is off is validated, too.
func Read(file *yamlread.File, f yamlread.Field) *Policy {
	p := &Policy{Mode: Off, Pos: file.Pos(f.Key)}
	r := &reader{File: file, policy: p, highest: maxLevel}
	keys := map[string]yamlread.Field{}
	if !yamlread.IsNull(yamlread.Deref(f.Value)) {
		keys = r.Known(f.Value, "provenance", "mode", "signers", "builders", "sources", "predicateTypes", "level", "levels")
	}
	if keys == nil {
		return p
	}
	r.mode(keys, f.Key)
	r.signers(keys)
	builders := r.builders(keys)
	p.Sources = r.list(keys, "sources", repository)
	p.PredicateTypes = r.list(keys, "predicateTypes", nil)
	if p.Mode != Off {
		for _, key := range []string{"signers", "builders", "sources"} {
			r.required(keys, "provenance", key, f.Key)
		}
	}
	if len(p.Signers) > 0 && len(p.Builders) > 0 { // a policy that is off may lack them
		r.highest = p.reachable()
	}
	r.level(keys)
	r.levels(keys)
	r.covering(builders)
	return p
}

// mode reads the mode. node is the key provenance.
func (r *reader) mode(keys map[string]yamlread.Field, node *yaml.Node) {
	f, ok := keys["mode"]
	if !ok {
		r.Fault(yamlread.Warning, node, "provenance without mode: the policy is off, no image is judged")
		return
	}
	switch text, ok := r.text(f.Value, "mode"); {
	case !ok:
	case text == "off":
	case text == "warn":
		r.policy.Mode = Warn
	case text == "require":
		r.policy.Mode = Require
	default:
		r.Fault(yamlread.Broken, f.Value, "bad mode %q: want off, warn or require", yamlread.Clip(text))
	}
}

// required adds a fault if a list is missing or empty. n is the place of a missing one.
func (r *reader) required(keys map[string]yamlread.Field, subject, key string, n *yaml.Node) {
	f, ok := keys[key]
	if !ok {
		r.Fault(yamlread.Broken, n, "%s without %s", subject, key)
		return
	}
	list := yamlread.Deref(f.Value)
	if yamlread.IsNull(list) || list.Kind == yaml.SequenceNode && len(list.Content) == 0 {
		r.Fault(yamlread.Broken, f.Key, "%s without %s: the list is empty", subject, key)
	}
}

// signers reads the signers, each once.
func (r *reader) signers(keys map[string]yamlread.Field) {
	p := r.policy
	for _, n := range r.items(keys, "signers") {
		spec, ok := r.text(n, "a signer")
		if !ok || slices.ContainsFunc(p.Signers, func(s Signer) bool { return s.Spec == spec }) {
			continue
		}
		s, err := ParseSigner(spec)
		r.Refuse(n, err)
		s.Spec = spec // also of a bad one, which builders may name
		p.Signers = append(p.Signers, s)
	}
}

// builders reads the builders, and returns their nodes.
func (r *reader) builders(keys map[string]yamlread.Field) []*yaml.Node {
	p := r.policy
	var nodes []*yaml.Node
	lines := map[string]yamlread.Line{}
	for _, n := range r.items(keys, "builders") {
		e := r.Known(n, "a builder", "id", "level", "signers", "caller")
		if e == nil {
			continue
		}
		b := Builder{Signers: r.list(e, "signers", p.signer)}
		if f, ok := e["id"]; !ok {
			r.Fault(yamlread.Broken, n, "a builder without id")
		} else {
			b.ID, _ = r.word(f.Value, "id")
			if line, again := lines[b.ID]; again && b.ID != "" {
				r.Fault(yamlread.Broken, f.Value, "builder %q again: the first is on line %d", yamlread.Clip(b.ID), line)
			} else {
				lines[b.ID] = yamlread.Line(f.Value.Line)
			}
		}
		if f, ok := e["level"]; !ok {
			r.Fault(yamlread.Broken, n, "a builder without level: want 1, 2 or 3")
		} else {
			b.Level = r.Number(f.Value, "level of a builder", 1, maxLevel)
		}
		if f, ok := e["caller"]; ok {
			b.Caller = r.caller(f)
		}
		p.Builders = append(p.Builders, b)
		nodes = append(nodes, n)
	}
	return nodes
}

// signer returns what is wrong with the name of a signer in a builder, or "".
func (p *Policy) signer(spec string) string {
	if slices.ContainsFunc(p.Signers, func(s Signer) bool { return s.Spec == spec }) {
		return ""
	}
	return "not one of the signers of the policy"
}

// caller reads the restrictions on the callers of a reusable workflow.
func (r *reader) caller(f yamlread.Field) *Caller {
	e := r.Known(f.Value, "caller", "workflows", "refs", "events")
	if e == nil {
		return nil
	}
	if events, ok := e["events"]; ok {
		r.Fault(yamlread.Broken, events.Key, "caller: events cannot be enforced: remove the key")
	}
	r.required(e, "caller", "refs", f.Key)
	return &Caller{Workflows: r.list(e, "workflows", workflow), Refs: r.list(e, "refs", ref)}
}

// level reads the minimum level of all images.
func (r *reader) level(keys map[string]yamlread.Field) {
	p := r.policy
	f, ok := keys["level"]
	if !ok {
		return
	}
	p.Level = r.Number(f.Value, "level", 0, maxLevel)
	if p.Level == 1 {
		r.Fault(yamlread.Broken, f.Value, "level 1 cannot be required: trust in the builder is a part of level 2: want 0, 2 or 3")
		return
	}
	r.unreachable(f.Value, p.Level)
}

// levels reads the minimum levels of some images.
func (r *reader) levels(keys map[string]yamlread.Field) {
	p, patterns := r.policy, 0
	for _, n := range r.items(keys, "levels") {
		e := r.Known(n, "a levels entry", "images", "level")
		if e == nil {
			continue
		}
		l := ImageLevel{Images: r.list(e, "images", imagePattern), Pos: r.Pos(n)}
		r.required(e, "a levels entry", "images", n)
		if f, ok := e["level"]; !ok {
			r.Fault(yamlread.Broken, n, "a levels entry without level: want 2 or 3")
		} else {
			l.Level = r.Number(f.Value, "level of a levels entry", 2, maxLevel)
			r.unreachable(f.Value, l.Level)
			if l.Level <= p.Level {
				r.Fault(yamlread.Warning, f.Value, "levels: level %d has no effect: level %d is required of all images", l.Level, p.Level)
			}
		}
		p.Levels = append(p.Levels, l)
		patterns += len(l.Images)
	}
	if patterns > maxPatterns {
		r.Fault(yamlread.Broken, keys["levels"].Key, "levels: more than %d patterns", maxPatterns)
	}
}

// unreachable adds a fault if no image can have a level.
func (r *reader) unreachable(n *yaml.Node, level int) {
	if level > r.highest {
		r.Fault(yamlread.Broken, n, "level %d cannot be reached: the highest one of a builder that a signer may name is %d", level, r.highest)
	}
}

// covering adds a fault if one builder stands for another, and only one of the two has
// signers. nodes are those of the builders.
//
// Which of the two counts would then depend on the signer.
func (r *reader) covering(nodes []*yaml.Node) {
	p := r.policy
	for i := range p.Builders {
		for j := range p.Builders {
			a, b := &p.Builders[i], &p.Builders[j]
			if i == j || a.ID == b.ID || !a.StandsFor(b.ID) || (len(a.Signers) == 0) == (len(b.Signers) == 0) {
				continue
			}
			r.Fault(yamlread.Broken, nodes[j], "builder %q is the one on line %d at a ref: want signers in both, or in none",
				yamlread.Clip(b.ID), yamlread.Line(nodes[i].Line))
		}
	}
}

// items returns the items of a list, none if there is no such key.
func (r *reader) items(keys map[string]yamlread.Field, key string) []*yaml.Node {
	f, ok := keys[key]
	if !ok {
		return nil
	}
	items, _ := r.Items(f.Value, key)
	if len(items) > maxItems {
		r.Fault(yamlread.Broken, f.Key, "%s: more than %d items", key, maxItems)
		return nil
	}
	return items
}

// list returns the texts in a list, each once. wrong returns what is wrong with one, or "".
func (r *reader) list(keys map[string]yamlread.Field, key string, wrong func(string) string) []string {
	var all []string
	for _, n := range r.items(keys, key) {
		text, ok := r.word(n, "an item of "+key)
		if !ok {
			continue
		}
		if wrong != nil {
			if why := wrong(text); why != "" {
				r.Fault(yamlread.Broken, n, "%s: bad item %q: %s", key, yamlread.Clip(text), why)
				continue
			}
		}
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// text returns the text of a scalar. It must be written as text, not as a number or null.
func (r *reader) text(n *yaml.Node, subject string) (string, bool) {
	s := yamlread.Deref(n)
	if s.Kind != yaml.ScalarNode || s.ShortTag() != "!!str" {
		r.WrongType(n, subject, "text")
		return "", false
	}
	return s.Value, true
}

// word is text that must not be blank.
func (r *reader) word(n *yaml.Node, subject string) (string, bool) {
	text, ok := r.text(n, subject)
	if ok && strings.TrimSpace(text) == "" {
		r.Fault(yamlread.Broken, n, "%s is blank", subject)
		return "", false
	}
	return text, ok
}

// repository returns what is wrong with a source repository, or "".
func repository(text string) string {
	if strings.Contains(text, "@") {
		return "want a source repository without @"
	}
	return ""
}

// workflow returns what is wrong with the path of a workflow, or "".
func workflow(text string) string {
	if path.Clean(text) != text || !strings.HasPrefix(text, workflowsDir) || strings.Contains(text, "@") {
		return "want a path below " + workflowsDir + " without @"
	}
	return ""
}

// ref returns what is wrong with a pattern of git refs, or "".
func ref(text string) string {
	if !strings.HasPrefix(text, "refs/") || !isGlob(text) {
		return "want a pattern of path.Match that begins with refs/"
	}
	return ""
}

// imagePattern returns what is wrong with a pattern of image names, or "".
func imagePattern(text string) string {
	if strings.HasPrefix(text, "/") || strings.HasSuffix(text, "/") || !isGlob(text) {
		return "want a pattern of path.Match without a slash at its ends"
	}
	return ""
}
