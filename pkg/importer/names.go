package importer

import (
	"errors"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// dockerHub is the name of Docker Hub that people write.
const dockerHub = "docker.io"

// repository is a repository by host and path.
type repository struct{ host, path string }

// String returns the name as people write it.
func (r repository) String() string { return r.host + "/" + r.path }

// parseRepository parses a repository. As for Docker, a name without a host is on
// Docker Hub.
func parseRepository(s string) (repository, error) {
	repo, err := image.ParseDockerRepository(s)
	if err != nil {
		return repository{}, err
	}
	host := repo.RegistryStr()
	if host == image.DockerHub {
		host = dockerHub
	}
	return repository{host, repo.RepositoryStr()}, nil
}

// reference is a repository with what follows it.
type reference struct {
	repository
	tag, digest string
}

// parseReference parses a repository with an optional tag and an optional digest.
func parseReference(s string) (reference, error) {
	if err := checkExpanded(s); err != nil {
		return reference{}, err
	}
	if strings.Contains(s, "://") {
		return reference{}, errors.New("a directory or an archive, not a registry: manifests name registries")
	}
	name, tag, digest, err := image.SplitReference(s)
	if err != nil {
		return reference{}, err
	}
	repo, err := parseRepository(name)
	return reference{repo, tag, image.DigestString(digest)}, err
}

// split returns the registries of a copy, and the name of the image below both.
//
// The name is the longest common end of the two paths. It is empty if the last
// elements differ.
func split(from, to repository) (source, destination, name string) {
	a, b := strings.Split(from.path, "/"), strings.Split(to.path, "/")
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	registry := func(host string, path []string) string {
		return strings.Join(append([]string{host}, path[:len(path)-n]...), "/")
	}
	return registry(from.host, a), registry(to.host, b), strings.Join(a[len(a)-n:], "/")
}
