package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// registryName finds the names of registries in a promoter-manifest.
var registryName = regexp.MustCompile(`(?m)^(\s*(?:-\s+)?name:\s*["']?)([^\s"'#]+)`)

// kubernetes writes the Kubernetes manifests with every registry turned into a path
// of the one host, and lets that host say in Google's listing that all is there.
func (w *world) kubernetes(o *options) error {
	dir := filepath.Join(o.dir, "thin")
	_, err := os.Stat(o.kubernetes)
	if err == nil {
		err = rewrite(o.kubernetes, dir, w.ready.Hosts[0])
	} else {
		err = generate(dir, w.ready.Hosts[0])
	}
	if err != nil {
		return fmt.Errorf("writing the manifests: %w", err)
	}
	set := manifest.Thin(os.DirFS(dir), "")
	if set.Broken() {
		return fmt.Errorf("the manifests are broken: %v", set.Faults)
	}
	wanted := plan.Desired(set, map[plan.SourceTag]plan.Resolution{})
	w.ready.Faulty = len(set.Faults)+len(wanted.Faults) > 0
	lists, wants := map[string]string{}, map[*plan.Want]string{}
	for _, t := range wanted.Targets {
		if wants[t.Want] == "" {
			wants[t.Want] = googleList(t.Want)
		}
		lists["/v2/"+t.Repository.RepositoryStr()+"/tags/list"] = wants[t.Want]
		for i := range t.Want.Entries {
			w.ready.UpToDate += max(1, len(t.Want.Entries[i].Tags))
		}
	}
	w.hosts[0].Fault(registrytest.Answer(func(r *http.Request) *registrytest.Response {
		if list := lists[r.URL.Path]; list != "" { // whole, for every page size
			return &registrytest.Response{Header: registrytest.Header("Content-Type", "application/json"), Body: list}
		}
		return nil
	}))
	return nil
}

// rewrite copies manifests and puts host before the name of every registry.
func rewrite(from, to, host string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(from, path)
		if err := errors.Join(err, relErr); err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755) //nolint:gosec // for the one run
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if e.Name() == "promoter-manifest.yaml" {
			raw = registryName.ReplaceAll(raw, []byte("${1}"+host+"/${2}"))
		}
		return os.WriteFile(filepath.Join(to, rel), raw, 0o644) //nolint:gosec // everyone may read it
	})
}

// generate makes manifests of the shape of Kubernetes': 66 of them, each with 22
// destinations and 7 images of 56 digests.
func generate(to, host string) error {
	for m := range 66 {
		regs := []string{fmt.Sprintf("%s/staging.example/p%d", host, m)}
		for d := range 22 {
			regs = append(regs, fmt.Sprintf("%s/r%d.example/prod/p%d", host, d, m))
		}
		file := promotion{Registries: registries(regs)}
		images := promotion{}
		for i := range 7 {
			img := promoted{Name: fmt.Sprintf("image-%d", i), Digests: map[string][]string{}}
			for n := range 56 {
				img.Digests[registrytest.Wrap("", fmt.Append(nil, m, i, n)).Digest] = []string{fmt.Sprintf("v1.%d.0", n)}
			}
			images.Images = append(images.Images, img)
		}
		name := fmt.Sprintf("p%d", m)
		err := errors.Join(writeYAML(filepath.Join(to, "manifests", name, "promoter-manifest.yaml"), file),
			writeYAML(filepath.Join(to, "images", name, "images.yaml"), images.Images))
		if err != nil {
			return err
		}
	}
	return nil
}

// googleList is Google's answer to the tag list of a repository that holds what is wanted.
func googleList(want *plan.Want) string {
	list := registrytest.GoogleList{Child: []string{}, Manifest: map[string]registrytest.GoogleManifest{}, Tags: []string{}}
	for i := range want.Entries {
		e := &want.Entries[i]
		list.Manifest[e.Digest.String()] = registrytest.GoogleManifest{
			ImageSizeBytes: "31457280", MediaType: registrytest.OCIManifest, Tag: append([]string{}, e.Tags...),
			TimeCreatedMs: "0", TimeUploadedMs: "1600000000000",
		}
		list.Tags = append(list.Tags, e.Tags...)
	}
	return string(marshal(list))
}
