package verify

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// scope reads thin manifests, by team: registries and images.
func scope(t *testing.T, teams map[string][2]string) *Scope {
	t.Helper()
	files := fstest.MapFS{}
	for team, texts := range teams {
		images, registries := manifest.TeamFiles(team)
		files[registries], files[images] = &fstest.MapFile{Data: []byte(texts[0])}, &fstest.MapFile{Data: []byte(texts[1])}
	}
	set := manifest.Thin(files, "k8s")
	if !set.OK() {
		t.Fatalf("got faults %v, want none", set.Faults)
	}
	return NewScope(set, plan.Desired(set, nil))
}

// kubernetes are two teams in the layout of Kubernetes: three regions, the first of which
// gets evidence under a public name.
func kubernetes(t *testing.T) *Scope {
	t.Helper()
	team := func(name string) string {
		return "registries:\n- {name: gcr.io/staging-" + name + ", src: true}\n" +
			"- {name: europe.example.com/images/" + name + ", public-name: registry.example.com/" + name + "}\n" +
			"- {name: us.example.com/images/" + name + ", public-name: registry.example.com/" + name + ", attestations: true}\n" +
			"- {name: asia.example.com/images/" + name + "}\n"
	}
	return scope(t, map[string][2]string{
		"kops":  {team("kops"), "- name: apple\n  dmap:\n    \"sha256:" + sha + "\": [\"v1\"]\n"},
		"capi":  {team("capi"), "- name: pear\n  dmap:\n    \"sha256:" + sha + "\": []\n    \"sha256:" + otherSHA + "\": [v2]\n"},
		"plain": {"registries:\n- {name: gcr.io/staging, src: true}\n- name: one.example.com\n- name: two.example.com\n", "- name: fig\n  dmap:\n    \"sha256:" + sha + "\": [v3]\n"},
	})
}

func TestFindAndSettle(t *testing.T) {
	t.Parallel()
	at := "@sha256:" + sha
	cases := map[string]struct {
		text, want, err string
		homes           []string
		none            bool // there are no manifests
	}{
		"the destination with evidence":                  {text: "us.example.com/images/kops/apple" + at, want: "us.example.com/images/kops/apple", homes: []string{"us.example.com/images/kops/apple registry.example.com/kops/apple"}},
		"another destination":                            {text: "asia.example.com/images/kops/apple:v1", want: "asia.example.com/images/kops/apple", homes: []string{"us.example.com/images/kops/apple registry.example.com/kops/apple"}},
		"a public name":                                  {text: "registry.example.com/kops/apple:v1" + at, want: "us.example.com/images/kops/apple", homes: []string{"us.example.com/images/kops/apple registry.example.com/kops/apple"}},
		"the public name of what is not wanted any more": {text: "registry.example.com/kops/grape" + at, want: "us.example.com/images/kops/grape", homes: []string{"us.example.com/images/kops/grape registry.example.com/kops/grape"}},
		"no key":                     {text: "one.example.com/fig:v3", want: "one.example.com/fig", homes: []string{"one.example.com/fig one.example.com/fig"}},
		"no key, second destination": {text: "two.example.com/fig:v3", want: "two.example.com/fig", homes: []string{"one.example.com/fig one.example.com/fig"}},
		"in no manifest":             {text: "other.example.com/fig:v3", want: "other.example.com/fig", homes: []string{"other.example.com/fig other.example.com/fig"}},
		"no manifests":               {none: true, text: "us.example.com/images/kops/apple:v1", want: "us.example.com/images/kops/apple", homes: []string{"us.example.com/images/kops/apple us.example.com/images/kops/apple"}},
		"neither tag nor digest":     {text: "one.example.com/fig", err: `parsing reference "one.example.com/fig": want a tag or a digest`},
		"a digest alone":             {text: "sha256:" + sha, err: "parsing reference"},
		"a bad digest":               {text: "one.example.com/fig@sha256:0", err: "parsing reference"},
		"a bad tag":                  {text: "one.example.com/fig:", err: "parsing reference"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Scope{}
			if !c.none {
				s = kubernetes(t)
			}
			sub, err := s.Find(c.text)
			if c.err != "" || err != nil {
				if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %v, want %q", err, c.err)
				}
				return
			}
			if got := sub.Repository.String(); got != c.want {
				t.Errorf("got repository %s, want %s", got, c.want)
			}
			s.Settle(&sub, digest)
			if diff := cmp.Diff(c.homes, homeTexts(sub.Homes)); diff != "" {
				t.Errorf("homes (-want +got):\n%s", diff)
			}
		})
	}
}

func homeTexts(homes []Home) (all []string) {
	for _, h := range homes {
		all = append(all, h.Repository.String()+" "+h.Name)
	}
	return all
}

func TestAll(t *testing.T) {
	t.Parallel()
	s := kubernetes(t)
	var got []string
	for _, sub := range s.All(s.wanted) {
		got = append(got, sub.Reference+" "+strings.Join(homeTexts(sub.Homes), " "))
	}
	want := []string{
		"one.example.com/fig@sha256:" + sha + " one.example.com/fig one.example.com/fig",
		"us.example.com/images/capi/pear@sha256:" + otherSHA + " us.example.com/images/capi/pear registry.example.com/capi/pear",
		"us.example.com/images/capi/pear@sha256:" + sha + " us.example.com/images/capi/pear registry.example.com/capi/pear",
		"us.example.com/images/kops/apple@sha256:" + sha + " us.example.com/images/kops/apple registry.example.com/kops/apple",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestAllOfASelection(t *testing.T) {
	t.Parallel()
	before, now := kubernetes(t), kubernetes(t)
	for _, m := range before.set.Manifests {
		for i := range m.Images {
			if m.Images[i].Name == "pear" {
				m.Images[i].Digests = m.Images[i].Digests[:1]
			}
		}
	}
	selected := plan.Desired(now.set, nil)
	selected.Select(plan.Since(selected, plan.Desired(before.set, nil), nil), nil)
	all := now.All(selected)
	if len(all) != 1 || all[0].Digest != (v1.Hash{Algorithm: "sha256", Hex: otherSHA}) {
		t.Errorf("got %+v, want the digest %s alone", all, otherSHA)
	}
}

func TestPromoted(t *testing.T) {
	t.Parallel()
	s := kubernetes(t)
	removed := Subject{Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}, Homes: []Home{{image.NewRepository("us.example.com", "images/kops/apple"), "x"}}}
	var got []string
	for _, p := range s.Promoted(append(s.All(s.wanted), removed), manifest.ReferrersAccepted) {
		if !p.Known || !p.Attested || p.Absent || len(p.Wants) != 1 {
			t.Errorf("got %+v, want a known subject that one manifest wants and that is not absent", p)
		}
		got = append(got, p.Repository.String()+" "+p.Name+" "+p.Digest.Hex[:4]+" "+strings.Join(p.Tags, ",")+" "+p.Wants[0].Source.String())
	}
	want := []string{
		"one.example.com/fig one.example.com/fig 5f70 v3 gcr.io/staging/fig",
		"us.example.com/images/capi/pear registry.example.com/capi/pear 0000 v2 gcr.io/staging-capi/pear",
		"us.example.com/images/capi/pear registry.example.com/capi/pear 5f70  gcr.io/staging-capi/pear",
		"us.example.com/images/kops/apple registry.example.com/kops/apple 5f70 v1 gcr.io/staging-kops/apple",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
}
