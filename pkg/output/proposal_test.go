package output

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/propose"
)

func TestProposalNames(t *testing.T) {
	t.Parallel()
	apple := Promoted{Image: "fruit/apple", Digest: digest("1"), Tags: []string{"1.1"}}
	for name, tc := range map[string]struct {
		all           []Promoted
		title, branch string
	}{
		"nothing":       {nil, "Update the manifests", "cip/manifests"},
		"one":           {[]Promoted{apple}, "Promote fruit/apple 1.1", "cip/fruit/apple-1.1"},
		"by digest":     {[]Promoted{{Image: "pear", Digest: digest("2")}}, "Promote pear 222222222222", "cip/pear-222222222222"},
		"many tags":     {[]Promoted{{Image: "pear", Tags: []string{"1", "2", "3", "4", "5"}}}, "Promote pear 1, 2, 3 and 2 more tags", "cip/pear-1"},
		"a tag more":    {[]Promoted{{Image: "pear", Tags: []string{"1", "2", "3", "4"}}}, "Promote pear 1, 2, 3 and 1 more tag", "cip/pear-1"},
		"several":       {[]Promoted{apple, {Image: "pear"}, {Image: "pear"}}, "Promote fruit/apple 1.1 and 1 more image", "cip/fruit/apple-1.1"},
		"git's own":     {[]Promoted{{Image: "pear", Tags: []string{"1..2.lock"}}}, "Promote pear 1..2.lock", "cip/pear-1--2-lock"},
		"a dot at last": {[]Promoted{{Image: "pear", Tags: []string{"1."}}}, "Promote pear 1.", "cip/pear-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			equal(t, ProposalTitle(tc.all), tc.title)
			equal(t, ProposalBranch(tc.all), tc.branch)
		})
	}
}

func TestProposalList(t *testing.T) {
	t.Parallel()
	all := []Promoted{{Image: "apple", Digest: digest("1"), Tags: []string{"1.1", "new"}}, {Image: "pear", Digest: digest("2")}}
	equal(t, ProposalList(all), "- `apple`: `1.1`, `new`, `"+digest("1")+"`\n- `pear`: by digest, `"+digest("2")+"`\n")
	for i := range 1000 {
		all = append(all, Promoted{Image: fmt.Sprintf("image-%d", i), Digest: digest("3")})
	}
	one := append([]Promoted{{Image: "apple", Tags: slices.Repeat([]string{strings.Repeat("1", 128)}, 30)}}, all[1])
	if got := ProposalList(one); !strings.HasSuffix(got, "- and 1 more digest\n") {
		t.Errorf("got a list that ends with %q, want one more digest", got[len(got)-40:])
	}
	got := ProposalList(all)
	if len(got) > proposalSize+100 || !strings.HasSuffix(got, " more digests\n") {
		t.Errorf("got %d bytes that end with %q, want up to %d and a number", len(got), got[len(got)-40:], proposalSize+100)
	}
}

func TestWriteProposal(t *testing.T) {
	t.Parallel()
	plan := &propose.Plan{Proposal: propose.Proposal{
		Branch: "cip/apple-1", Title: "Promote\x1b[31m", Body: "The plan.\n::error::x\n",
		Files: []git.FileChange{{Path: "a.yaml", Before: []byte("a\n"), After: []byte("a\nb\n")}},
	}}
	for state, change := range map[string]func(){
		"new":                     func() {},
		"has this change already": func() { plan.Commit = "c0ffee" },
		"open: https://f.example": func() { plan.URL = "https://f.example" },
	} {
		plan.Commit, plan.URL = "", ""
		change()
		var b bytes.Buffer
		if err := WriteProposal(&b, plan, "main of origin, at c0ffee", false); err != nil {
			t.Fatal(err)
		}
		equal(t, b.String(), "branch: cip/apple-1 ("+state+`)
from: main of origin, at c0ffee
title: Promote\x1b[31m

diff a.yaml a.yaml
--- a.yaml
+++ a.yaml
@@ -1,1 +1,2 @@
 a
+b

The plan.
\x3a:error::x
`)
	}
}
