module sigs.k8s.io/k8s-container-image-promoter/tools/bench

go 1.26.0

require (
	github.com/olareg/olareg v0.2.2
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/sync v0.24.0
	golang.org/x/time v0.16.0
	sigs.k8s.io/k8s-container-image-promoter v0.0.0
)

require (
	github.com/Masterminds/semver/v3 v3.5.0 // indirect
	github.com/goccy/go-yaml v1.19.2 // indirect
	github.com/google/go-containerregistry v0.22.1 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/sudo-bmitch/oci-digest v0.1.2 // indirect
	golang.org/x/crypto v0.57.0 // indirect
)

replace sigs.k8s.io/k8s-container-image-promoter => ../..
