package check_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	digestC = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

func inBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func repo(path string) name.Repository { return image.NewRepository("r.example", path) }

// long and short turn a, b and c into digests and back.
var (
	long  = strings.NewReplacer("(a)", digestA, "(b)", digestB, "(c)", digestC)
	short = strings.NewReplacer(digestA, "(a)", digestB, "(b)", digestC, "(c)", "r.example/", "")
)

// set reads manifests, by file name: thin ones where their names say so.
func set(t *testing.T, files map[string]string) *manifest.Set {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(long.Replace(text))}
	}
	if _, plain := files["m.yaml"]; plain {
		return manifest.Plain(tree, "m.yaml", "m.yaml")
	}
	return manifest.Thin(tree, ".")
}

// plain returns a plain manifest of images for two destinations.
func plain(images string) map[string]string {
	return map[string]string{"m.yaml": "registries:\n- {name: r.example/staging, src: true}\n- name: r.example/prod\n- name: r.example/eu\nimages:\n" + images}
}

// input returns what rules judge, with the items of a plan, or offline.
func input(s *manifest.Set, items ...plan.Item) *check.Input {
	wanted := plan.Desired(s, nil)
	var p *plan.Plan
	if items != nil {
		p = &plan.Plan{Items: items}
	}
	return check.NewInput(s, append(s.Faults, wanted.Faults...), wanted, p)
}

// lines returns findings as lines "file:line level message".
func lines(found []check.Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s:%d %s %s\n", f.Pos.File, f.Pos.Line, f.Level, short.Replace(f.Message))
	}
	return b.String()
}
