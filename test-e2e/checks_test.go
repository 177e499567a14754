package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// holds checks that a repository has an object, whole and unchanged, under each tag.
func (w *world) holds(args []string) {
	w.need(args, 3, "holds NAME REPO[:TAG,…] VAR")
	s, o := w.server(args[0]), w.known(args[2])
	repo, tags := splitTags(args[1])
	if w.not {
		if _, _, ok := s.Manifest(w.t, repo, o.Digest); ok {
			w.Fatalf("%s holds %s", repo, args[2])
		}
		return
	}
	for _, problem := range wrong(w.t, s, repo, o, tags...) {
		w.Fatalf("%s", problem)
	}
}

// tags checks all tags of a repository.
func (w *world) tags(args []string) {
	w.need(args, 2, "tags NAME REPO [TAG=VAR…]")
	want := map[string]string{}
	for _, word := range args[2:] {
		s := parseSpec(word)
		want[s.key] = w.known(s.value).Digest
	}
	if diff := gocmp.Diff(want, w.server(args[0]).Tags(w.t, args[1])); diff != "" {
		w.Fatalf("tags of %s (-want +got):\n%s", args[1], diff)
	}
}

// requests checks how often a registry was asked.
func (w *world) requests(args []string) {
	w.need(args, 2, "requests NAME KIND=N… [only]")
	s := w.server(args[0])
	want, only := map[string]int{}, false
	for _, word := range args[1:] {
		if only = word == "only"; !only {
			kind := parseSpec(word)
			want[kind.key] = w.number(kind)
		}
	}
	got := map[string]int{}
	for _, r := range s.Requests() {
		if _, named := want[string(r.Kind)]; named || only {
			got[string(r.Kind)]++
		}
	}
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	if diff := gocmp.Diff(want, got); diff != "" {
		w.Fatalf("requests (-want +got):\n%s\n%s", diff, s.Summary())
	}
}

// within checks that registries were asked no more than was estimated.
func (w *world) within(args []string) {
	w.need(args, 2, "within FILE NAME…")
	estimate := w.report(args[0]).Estimate
	for _, name := range args[1:] {
		s := w.server(name)
		if e, got := estimate[s.Host], s.Count(); got > e.Requests && !e.AtLeast {
			w.Fatalf("%s was asked %d times, %d were estimated\n%s", name, got, e.Requests, s.Summary())
		}
	}
}

// noRequests checks that registries were not asked at all.
func (w *world) noRequests(args []string) {
	w.need(args, 1, "norequests NAME…")
	for _, name := range args {
		if s := w.server(name); s.Count() > 0 {
			w.Fatalf("%s was asked\n%s", name, s.Summary())
		}
	}
}

// noWrites checks that registries were only read.
func (w *world) noWrites(args []string) {
	w.need(args, 1, "nowrites NAME…")
	for _, name := range args {
		if s := w.server(name); len(s.Writes()) > 0 {
			w.Fatalf("%s was written to\n%s", name, s.Summary())
		}
	}
}

// noUploads checks that no upload session is left open.
func (w *world) noUploads(args []string) {
	w.need(args, 1, "nouploads NAME…")
	for _, name := range args {
		if s := w.server(name); s.OpenUploads() > 0 {
			w.Fatalf("%s has open uploads\n%s", name, s.Summary())
		}
	}
}

// items checks the promotions of a report.
func (w *world) items(args []string) {
	w.need(args, 1, "items FILE [ITEM…]")
	r := w.report(args[0])
	got := make([]string, 0, len(r.Promotions))
	for i := range r.Promotions {
		got = append(got, w.item(&r.Promotions[i]))
	}
	want := append([]string{}, args[1:]...)
	slices.Sort(want)
	slices.Sort(got) // parseReport has seen to the order: it is that of digests, which nobody knows by heart
	if diff := gocmp.Diff(want, got); diff != "" {
		for _, p := range r.Promotions {
			w.Logf("%s %s: %s", p.Action, p.Digest, p.Error)
		}
		w.Fatalf("promotions of %s (-want +got):\n%s", args[0], diff)
	}
}

func (w *world) report(file string) *report { return parseReport(w.t, []byte(w.ReadFile(file))) }

// item returns a promotion in the words of a script.
func (w *world) item(p *promotion) string {
	tags := strings.Join(p.Tags, ",")
	if tags == "" {
		tags = "-"
	}
	words := []string{p.Action, p.Status, w.place(p.Destination), w.name(p.Digest), tags}
	if p.PreviousDigest != "" {
		words = append(words, "was", w.name(p.PreviousDigest))
	}
	if p.Kind != "" {
		words = append(words, p.Kind)
	}
	return strings.Join(words, " ")
}

// place puts the name of a registry in the place of its host.
func (w *world) place(repo string) string {
	for name, s := range w.servers {
		if rest, ok := strings.CutPrefix(repo, s.Host+"/"); ok {
			return name + "/" + rest
		}
	}
	return repo
}

// name returns what a script calls a digest.
func (w *world) name(digest string) string {
	for _, name := range slices.Sorted(maps.Keys(w.objects)) {
		if w.objects[name].Digest == digest {
			return name
		}
	}
	if digest == "" {
		return "-"
	}
	return digest
}

// summary checks the summary of a report.
func (w *world) summary(args []string) {
	w.need(args, 1, "summary FILE [KEY=N…]")
	want := map[string]int{}
	for _, word := range args[1:] {
		s := parseSpec(word)
		want[s.key] = w.number(s)
	}
	got := w.report(args[0]).Summary
	for _, key := range []string{"upToDate", "copy", "tag", "move", "conflict", "missing", "invalid", "failed"} {
		if _, ok := got[key]; !ok {
			w.Fatalf("the summary has no %s", key)
		}
	}
	maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
	if diff := gocmp.Diff(want, got); diff != "" {
		w.Fatalf("summary of %s (-want +got):\n%s", args[0], diff)
	}
}

// json checks one value of a JSON file.
func (w *world) json(args []string) {
	w.need(args, 3, "json FILE PATH VALUE")
	var value any
	w.Check(json.Unmarshal([]byte(w.ReadFile(args[0])), &value))
	for _, key := range strings.Split(args[1], "/") {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) {
				w.Fatalf("%s: no item %s of %d", args[1], key, len(v))
			}
			value = v[i]
		default:
			w.Fatalf("%s: nothing at %s", args[1], key)
		}
	}
	got := fmt.Sprint(value)
	if list, ok := value.([]any); ok {
		got = fmt.Sprintf("%d items", len(list))
	}
	if (got == args[2]) == w.not {
		w.Fatalf("%s is %s, want %s", args[1], got, args[2])
	}
}

// samePromotions checks that a real run did what a dry run said.
func (w *world) samePromotions(args []string) {
	w.need(args, 2, "same-promotions DRY REAL")
	dry, did := w.report(args[0]), w.report(args[1])
	if !dry.DryRun || did.DryRun {
		w.Fatalf("want a dry run and a real run")
	}
	for _, r := range []*report{dry, did} {
		for i := range r.Promotions {
			r.Promotions[i].Status = ""
		}
	}
	if diff := gocmp.Diff(dry.Promotions, did.Promotions); diff != "" {
		w.Fatalf("promotions (-dry +real):\n%s", diff)
	}
}

// sameReports checks that two JSON reports differ in their costs alone.
func (w *world) sameReports(args []string) {
	w.need(args, 2, "same-reports FILE FILE")
	var trees [2]map[string]any
	for i, name := range args[:2] {
		w.Check(json.Unmarshal([]byte(w.ReadFile(name)), &trees[i]))
		for _, cost := range []string{"estimate", "requests", "durationSeconds"} {
			delete(trees[i], cost)
		}
	}
	if diff := gocmp.Diff(trees[0], trees[1]); diff != "" {
		w.Fatalf("%s and %s (-first +second):\n%s", args[0], args[1], diff)
	}
}

// union checks that the promotions and faults of several reports are those of one.
func (w *world) union(args []string) {
	w.need(args, 2, "union WHOLE PART…")
	whole := w.report(args[0])
	var all report
	for _, name := range args[1:] {
		r := w.report(name)
		for _, f := range r.Faults {
			place := fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
			if !slices.ContainsFunc(r.Promotions, func(p promotion) bool { return strings.Contains(p.Error, place) }) {
				w.Fatalf("%s has a fault that does not belong to its promotions: %s%s", name, place, f.Message)
			}
		}
		all.Promotions = append(all.Promotions, r.Promotions...)
		all.Faults = append(all.Faults, r.Faults...)
	}
	slices.SortFunc(all.Promotions, func(a, b promotion) int {
		return cmp.Or(strings.Compare(a.Destination, b.Destination), strings.Compare(a.Digest, b.Digest))
	})
	slices.SortFunc(all.Faults, func(a, b fault) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	if diff := gocmp.Diff(whole.Promotions, all.Promotions, cmpopts.EquateEmpty()); diff != "" {
		w.Fatalf("promotions (-whole +parts):\n%s", diff)
	}
	if diff := gocmp.Diff(whole.Faults, all.Faults, cmpopts.EquateEmpty()); diff != "" {
		w.Fatalf("faults (-whole +parts):\n%s", diff)
	}
}

// printable checks that files hold nothing that a terminal obeys.
func (w *world) printable(args []string) {
	w.need(args, 1, "printable FILE…")
	for _, name := range args {
		text := w.ReadFile(name)
		if at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 {
			w.Fatalf("%s: %q", name, text[max(0, at-40):min(len(text), at+40)])
		}
	}
}

// order checks that texts occur in this order.
func (w *world) order(args []string) {
	w.need(args, 2, "order FILE TEXT…")
	rest := []byte(w.ReadFile(args[0]))
	for _, text := range args[1:] {
		at := bytes.Index(rest, []byte(text))
		if at < 0 {
			w.Fatalf("%q is not there, or stands too early", text)
		}
		rest = rest[at+len(text):]
	}
}
