package demo

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// fillApps pushes apps as buildpacks make them, their run images, and builds with
// labels for image tags files: base/run:22 has a fix that apps/web:1.4 lacks.
func (r *Registry) fillApps(ctx context.Context) error {
	run, err := image("amd64", layer("etc/os-release", "NAME=demo\nVERSION=22.04.1\n"))
	if err != nil {
		return err
	}
	fixed, err := image("amd64", layer("etc/os-release", "NAME=demo\nVERSION=22.04.2\n"))
	if err != nil {
		return err
	}
	web, err := r.app(run, "web 1.4\n")
	if err != nil {
		return err
	}
	api, err := r.app(fixed, "api 2.0\n")
	if err != nil {
		return err
	}
	for _, img := range []struct {
		ref     string
		content v1.Image
	}{
		{"base/run:22.04.1", run},
		{"base/run:22.04.2", fixed},
		{"base/run:22", fixed},
		{"mirrors/run:22", fixed},
		{"apps/web:1.4", web},
		{"apps/api:2.0", api},
	} {
		if err := r.push(ctx, img.ref, img.content); err != nil {
			return err
		}
	}
	for _, build := range []string{"2", "3"} {
		img, err := image("amd64", layer("bin/tool", "tool 3.0.1 build "+build+"\n"))
		if err == nil {
			img, err = mutate.Config(img, v1.Config{Labels: map[string]string{"org.opencontainers.image.version": "3.0.1", "build": build}})
		}
		if err == nil {
			err = r.push(ctx, "apps/tool:3.0.1-"+build, img)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// app returns an app of one layer on a run image, with the label that buildpacks write.
func (r *Registry) app(run v1.Image, text string) (v1.Image, error) {
	type names struct {
		TopLayer  string   `json:"topLayer"`
		Reference string   `json:"reference"`
		Image     string   `json:"image"`
		Mirrors   []string `json:"mirrors"`
	}
	digest, err := run.Digest()
	if err != nil {
		return nil, err
	}
	config, err := run.ConfigFile()
	if err != nil {
		return nil, err
	}
	own := layer("workspace/app", text)
	id, err := own.DiffID()
	if err != nil {
		return nil, err
	}
	label, err := json.Marshal(map[string]any{
		"app": []map[string]string{{"sha": id.String()}},
		"runImage": names{
			TopLayer:  config.RootFS.DiffIDs[len(config.RootFS.DiffIDs)-1].String(),
			Reference: fmt.Sprintf("%s/base/run@%s", r.Host, digest),
			Image:     r.Host + "/base/run:22",
			Mirrors:   []string{r.Host + "/mirrors/run:22"},
		},
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(run, own)
	if err != nil {
		return nil, err
	}
	return mutate.Config(img, v1.Config{
		Labels: map[string]string{"io.buildpacks.lifecycle.metadata": string(label)},
		Env:    []string{"CNB_PLATFORM_API=0.12"},
	})
}
