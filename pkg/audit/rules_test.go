package audit

import (
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// rulesOf returns the rules of plain manifests. Each is a YAML document.
func rulesOf(t *testing.T, text string) *rules {
	t.Helper()
	set := manifest.Plain(fstest.MapFS{"m.yaml": {Data: []byte(text)}}, "m.yaml", "m.yaml")
	if set.Broken() {
		t.Fatalf("got faults %v, want none", set.Faults)
	}
	return newRules(set, "", time.Time{})
}

func TestInDestination(t *testing.T) {
	t.Parallel()
	r := rulesOf(t, `registries:
- {name: r.example.com/team/staging, src: true, mirrors: [r.example.com/team/mirror]}
- {name: r.example.com/team}
- {name: eu.example.com}
- {name: docker.io/team}
images: []
---
registries:
- {name: r.example.com/team, src: true}
- {name: r.example.com/team/staging/again}
images:
`+entry("apple", digestA, "1.0")+`---
images:
- {name: native.example.com/starlingx/apple, src_build_tag: build, src_ref: x, tag: "1.0"}
`)
	for name, want := range map[string]bool{
		"r.example.com/team/apple":                true,
		"r.example.com/team":                      true,
		"r.example.com/teams/apple":               false,
		"r.example.com/other":                     false,
		"r.example.com/team/staging/apple":        false, // the nearest registry is a source
		"r.example.com/team/mirror/apple":         false,
		"r.example.com/team/staging/again/apple":  true,
		"r.example.com/team/staging/again/rogue":  true,
		"eu.example.com/anything/at/all":          true,
		"docker.io/team/apple":                    true,
		"docker.io/library/busybox":               false,
		"native.example.com/starlingx/apple":      true,
		"native.example.com/starlingx/apple/more": false,
		"native.example.com/starlingx/pear":       false,
	} {
		repo, err := image.ParseRepository(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.inDestination(repo); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got, want := fmt.Sprint(r.destinations()), "[eu.example.com index.docker.io/team native.example.com/starlingx/apple r.example.com/team]"; got != want {
		t.Errorf("destinations: %s, want %s", got, want)
	}
}

// One repository may be wanted by two names.
func TestNestedDestinations(t *testing.T) {
	t.Parallel()
	r := rulesOf(t, `registries:
- {name: r.example.com/src, src: true}
- {name: r.example.com/prod}
images:
`+entry("x/apple", digestA, "1.0")+`---
registries:
- {name: r.example.com/src, src: true}
- {name: r.example.com/prod/x}
images:
`+entry("apple", digestB, "2.0"))
	repo := image.NewRepository("r.example.com", "prod/x/apple")
	for d, line := range map[v1.Hash]string{digestA: "m.yaml:7:", digestB: "m.yaml:15:"} {
		if r.wanted.Entry(repo, d) == nil {
			t.Errorf("%s is not wanted", d)
		}
		if pos := r.pos(repo, d, "").String(); len(pos) < len(line) || pos[:len(line)] != line {
			t.Errorf("%s is wanted by %s, want %s", d, pos, line)
		}
	}
}
