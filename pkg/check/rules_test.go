package check_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

const apples = "- name: apple\n  dmap:\n    \"(a)\": [\"1.0\"]\n    \"(b)\": [\"2.0\"]\n- name: pear\n  dmap:\n    \"(c)\": []\n"

// item returns an item of a plan for apple or pear, with a tag or without one.
func item(action plan.Action, dst, digest string, tag ...string) plan.Item {
	status := plan.Planned
	switch action {
	case plan.Missing, plan.Conflict:
		status = plan.Refused
	case plan.Unreadable:
		status = plan.Failed
	}
	return plan.Item{
		Action: action, Status: status, Destination: repo(dst), Digest: image.Hash(digest), Tag: strings.Join(tag, ""),
		From: repo("staging/" + dst[strings.LastIndex(dst, "/")+1:]),
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	s := set(t, plain("- name: apple\n  dmap:\n    \"(a)\": [\"1.0\"]\n    \"(b)\": [\"1.0\"]\n    sha256:short: []\n- name: pear\n  dmap:\n"))
	want := "m.yaml:8 error overlap: tag \"1.0\" of eu/apple (and 1 more destination) is wanted for (a) (m.yaml:8:81) and (b) (m.yaml:9:81)\n" +
		"m.yaml:10 error"
	got := lines(check.Run(t.Context(), []check.Rule{check.Valid{}}, input(s)))
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "m.yaml:12 note") {
		t.Errorf("got\n%s\nwant first\n%s\nand later a note at m.yaml:12", got, want)
	}
}

// contents are manifests by digest; what has no entry does not exist.
type contents map[string]struct {
	check.Content
	err error
}

func (c contents) Content(_ context.Context, _ name.Repository, digest string) (*check.Content, error) {
	m, ok := c[digest]
	if !ok {
		return nil, nil
	}
	return &m.Content, m.err
}

// BlobSize returns the number that a blob has in place of a digest.
func (c contents) BlobSize(_ context.Context, _ name.Repository, d v1.Descriptor) (int64, error) {
	return strconv.ParseInt(d.Digest.Hex, 10, 64)
}

func TestSize(t *testing.T) {
	t.Parallel()
	const limit = 100 << 20
	type content = struct {
		check.Content
		err error //nolint:unused // an alias of what contents hold
	}
	of := func(size int64, children ...string) content {
		c := check.Content{Blobs: []v1.Descriptor{{Digest: image.Hash(fmt.Sprint(size)), Size: size}}}
		for _, child := range children {
			c.Children = append(c.Children, v1.Descriptor{Digest: image.Hash(child)})
		}
		return content{Content: c}
	}
	declared := func(digest string, size int64) content {
		return content{Content: check.Content{Blobs: []v1.Descriptor{{Digest: image.Hash(digest), Size: size}, {Digest: image.Hash("1"), Size: 1}}}}
	}
	tests := map[string]struct {
		manifests contents
		level     check.Level
		want      string
	}{
		"small":          {contents{digestA: of(1)}, 0, ""},
		"at the limit":   {contents{digestA: of(limit)}, 0, ""},
		"over the limit": {contents{digestA: of(limit + 1)}, check.Error, "r.example/staging/apple@" + digestA + " has 100.0 MiB (104857601 bytes): the limit is 100 MiB"},
		"index: the largest child counts, not the sum": {contents{digestA: of(0, "x", "y", "z"), "x": of(60 << 20), "y": of(70 << 20), "z": of(1)}, 0, ""},
		"index: a child over the limit":                {contents{digestA: of(0, "x", "y"), "x": of(1), "y": of(200 << 20)}, check.Error, "its largest image, y, has 200.0 MiB"},
		"index of indexes":                             {contents{digestA: of(0, "x"), "x": of(0, "y"), "y": of(200 << 20)}, check.Error, "its largest image, y,"},
		"sparse index":                                 {contents{digestA: of(0, "x", "y"), "x": of(1)}, 0, ""},
		"a declared size that is too small":            {contents{digestA: declared("5", 4)}, check.Error, "blob 5 has 5 bytes, not the 4 that " + digestA + " declares"},
		"a declared size that is too large":            {contents{digestA: declared("5", 200<<20)}, check.Error, "blob 5 has 5 bytes, not the 209715200 that "},
		"a wrong size below an index":                  {contents{digestA: of(0, "x", "y"), "x": declared("5", 4), "y": of(60 << 20)}, check.Error, "not the 4 that x declares"},
		"a size that cannot be read":                   {contents{digestA: declared("unread", 4)}, check.Failed, "blob unread: "},
		"index without end":                            {contents{digestA: of(0, digestA)}, check.Failed, "nest deeper"},
		"indexes below many":                           {belowMany(of(200<<20), func(c ...string) content { return of(0, c...) }), check.Error, "its largest image, 0-0, has 200.0 MiB"},
		"gone":                                         {contents{}, check.Failed, "does not hold it"},
		"unreadable":                                   {contents{digestA: {err: errors.New("401")}}, check.Failed, "401"},
		"unreadable child":                             {contents{digestA: of(0, "x"), "x": {err: errors.New("401")}}, check.Failed, "401"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(set(t, plain(apples)), item(plan.Copy, "prod/apple", digestA, "1.0"), item(plan.Copy, "eu/apple", digestA, "1.0"))
			found := check.Run(t.Context(), []check.Rule{check.Size{Limit: limit, Contents: tc.manifests}}, in)
			expect(t, found, tc.level, tc.want)
			for _, f := range found {
				if f.Pos.Line != 8 || len(f.Image.Destinations) != 2 || f.Rule != "size" {
					t.Errorf("finding %+v, want line 8, rule size and both destinations", f)
				}
			}
		})
	}
}

// belowMany returns indexes that contain each other in more ways than can be followed. The
// image is below all of them.
func belowMany[C any](image C, index func(children ...string) C) map[string]C {
	const wide = 16
	all := map[string]C{"0-0": image}
	level := []string{"0-0"}
	for depth := range 7 {
		var above []string
		for i := range wide {
			name := fmt.Sprintf("%d-%d", depth+1, i)
			all[name] = index(level...)
			above = append(above, name)
		}
		level = above
	}
	all[digestA] = index(level...)
	return all
}

// TestAbout holds which images are about to be promoted: what a plan would write.
func TestAbout(t *testing.T) {
	t.Parallel()
	present := item(plan.TagOnly, "prod/apple", digestB, "2.0")
	present.Present = true
	signature := item(plan.Copy, "prod/apple", digestA)
	signature.Kind, signature.Subject = plan.Referrer, image.Hash(digestB)
	in := input(set(t, plain(apples)), item(plan.Missing, "prod/apple", digestA, "1.0"), present, signature, item(plan.Conflict, "prod/pear", digestC))
	want := []check.Image{{
		Digest: image.Hash(digestB), From: repo("prod/apple"), Also: []name.Repository{repo("staging/apple")}, Source: repo("staging/apple"),
		Destinations: []name.Repository{repo("prod/apple")}, Tags: []string{"2.0"}, Pos: in.Set.Manifests[0].Images[0].Digests[1].Pos,
	}}
	if diff := cmp.Diff(want, in.Images, cmpopts.EquateComparable(name.Repository{})); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	offline := input(set(t, plain(apples)))
	if len(offline.Images) != 3 || offline.Images[0].From != repo("staging/apple") || len(offline.Images[0].Destinations) != 2 {
		t.Errorf("offline: got %+v, want 3 images, the first from staging/apple with 2 destinations", offline.Images)
	}
}

// finder knows digests by destination.
type finder map[string]inventory.State

func (f finder) Find(_ context.Context, dst name.Repository, d v1.Hash) (inventory.State, error) {
	s := f[dst.RepositoryStr()+" "+d.String()]
	if s == inventory.Unknown {
		return s, errors.New("503")
	}
	return s, nil
}

func TestExists(t *testing.T) {
	t.Parallel()
	const retag = "- name: pear\n  retag:\n  - {src_build_tag: build.0, src_ref: x, tag: stx}\n"
	source := item(plan.Missing, "prod/pear", "", "stx")
	source.From, source.Source, source.Error = name.Repository{}, "r.example/staging/pear:build.0", "source tag r.example/staging/pear:build.0 does not exist"
	unread := item(plan.Unreadable, "eu/apple", digestA, "1.0")
	unread.Error = "reading destination r.example/eu/apple: 401"
	unread2 := unread
	unread2.Digest = image.Hash(digestB)
	tests := map[string]struct {
		items []plan.Item
		find  finder
		want  string
	}{
		"all there": {[]plan.Item{item(plan.Copy, "prod/apple", digestA, "1.0")}, nil, ""},
		"missing from two destinations": {[]plan.Item{item(plan.Missing, "eu/apple", digestB, "2.0"), item(plan.Missing, "prod/apple", digestB, "2.0")}, nil,
			"m.yaml:9 error staging/apple@(b) is not there, nor is the digest in eu/apple and prod/apple\n"},
		"source tag":                     {[]plan.Item{source}, nil, "m.yaml:15 error source tag staging/pear:build.0 does not exist\n"},
		"unread is found once":           {[]plan.Item{unread, unread2}, nil, "m.yaml:8 failed reading destination eu/apple: 401\n"},
		"conflict, there":                {[]plan.Item{item(plan.Conflict, "prod/apple", digestA, "1.0")}, finder{"prod/apple " + digestA: inventory.Present}, ""},
		"conflict, nowhere":              {[]plan.Item{item(plan.Conflict, "prod/apple", digestA, "1.0")}, finder{"prod/apple " + digestA: inventory.Absent}, "m.yaml:8 error staging/apple@(a) is not there, nor is the digest in prod/apple\n"},
		"conflict, unreadable":           {[]plan.Item{item(plan.Conflict, "prod/apple", digestA, "1.0")}, finder{}, "m.yaml:8 failed looking for staging/apple@(a): 503\n"},
		"conflict next to another state": {[]plan.Item{item(plan.Conflict, "prod/apple", digestA, "1.0"), item(plan.TagOnly, "prod/apple", digestA, "1")}, finder{}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(set(t, plain(apples+retag)), tc.items...)
			got := lines(check.Run(t.Context(), []check.Rule{check.Exists{Finder: tc.find}, check.Size{Contents: contents{digestA: {}}}}, in))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnread: what could not be read is reported once, by the first rule that uses the
// plan, in any order of rules.
func TestUnread(t *testing.T) {
	t.Parallel()
	unread := item(plan.Unreadable, "eu/apple", digestA, "1.0")
	unread.Error = "reading destination r.example/eu/apple: 401"
	size, exists := check.Size{}, check.Exists{}
	tests := map[string]struct {
		rules []check.Rule
		items []plan.Item
		want  []string // rules that report it
	}{
		"files alone":            {[]check.Rule{check.Valid{}}, []plan.Item{unread}, nil},
		"after a rule of files":  {[]check.Rule{check.Valid{}, exists, size}, []plan.Item{unread}, []string{"exists"}},
		"size first":             {[]check.Rule{size, exists}, []plan.Item{unread}, []string{"size"}},
		"vulnerability, offline": {[]check.Rule{check.Vulnerability{Scanner: scanner{}}}, nil, nil},
		"vulnerability":          {[]check.Rule{check.Vulnerability{}}, []plan.Item{unread}, []string{"vulnerability"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(set(t, plain("- name: apple\n  dmap: {\"(a)\": ['1.0']}\n")), tc.items...)
			for range 2 { // an input is only read
				var got []string
				for _, f := range check.Run(t.Context(), tc.rules, in) {
					if f.Message == unread.Error {
						got = append(got, f.Rule)
					}
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("rules with it (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	signature := item(plan.Copy, "prod/apple", digestC)
	signature.Kind, signature.Subject = plan.Referrer, image.Hash(digestA)
	p := &plan.Plan{Items: []plan.Item{
		item(plan.Copy, "prod/apple", digestA, "1.0"), item(plan.Move, "eu/apple", digestA, "1.0"), signature,
		item(plan.Conflict, "eu/apple", digestA, "2.0"), item(plan.Copy, "prod/apple", digestB, "2.0"), item(plan.Copy, "prod/pear", digestC),
	}}
	about := func(level check.Level, digest v1.Hash, message string) check.Finding {
		return check.Finding{Rule: "size", Level: level, Message: message, Image: check.Image{Digest: digest}}
	}
	check.Refuse(p, []check.Finding{
		about(check.Error, image.Hash(digestA), "one"), about(check.Error, image.Hash(digestA), "two"), about(check.Failed, image.Hash(digestA), "three"), about(check.Error, image.Hash(digestA), "four"),
		about(check.Failed, image.Hash(digestC), "unread"), about(check.Note, image.Hash(digestB), "note"), {Rule: "valid", Level: check.Error, Message: "no image"},
		{Rule: "removal", Level: check.Error, Message: "of a tag", Image: check.Image{Digest: image.Hash(digestB)}},
		{Rule: "tags", Level: check.Error, Message: "another tag", Image: check.Image{Digest: image.Hash(digestB)}},
	})
	var got []string
	for _, it := range p.Items {
		got = append(got, it.Action.String()+" "+it.Status.String()+" "+it.Error)
	}
	const why = "refused size: one; size: two; size: three; and 1 more findings"
	want := []string{"copy " + why, "move " + why, "copy " + why, "conflict refused ", "copy planned ", "copy failed size: unread"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	all := []check.Candidate{{Name: "valid", Rule: check.Valid{}}, {Name: "size", Rule: check.Size{}}, {Name: "removal", Why: "no base"}}
	tests := map[string]struct {
		only, skip []string
		want       string // rules run, then idle ones with why; or the error
	}{
		"all":                 {nil, nil, "valid size | removal: no base"},
		"only":                {[]string{"size"}, nil, "size | valid: not named by --only, removal: not named by --only"},
		"skip":                {nil, []string{"valid", "removal"}, "size | valid: named by --skip, removal: named by --skip"},
		"only what cannot be": {[]string{"removal"}, nil, "rule removal cannot be run: no base"},
		"unknown":             {[]string{"sise"}, nil, `there is no rule "sise": want valid, size or removal`},
		"unknown skipped":     {nil, []string{"sise"}, `there is no rule "sise": want valid, size or removal`},
		"both":                {[]string{"size"}, []string{"size"}, "rule size is both chosen and skipped"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules, idle, err := check.Choose(all, tc.only, tc.skip)
			var run, not []string
			for _, r := range rules {
				run = append(run, r.Describe().Name)
			}
			for _, i := range idle {
				not = append(not, i.Name+": "+i.Why)
			}
			got := strings.Join(run, " ") + " | " + strings.Join(not, ", ")
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
