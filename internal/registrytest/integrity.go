package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// DeleteTag removes a tag and leaves what it pointed at.
func (s *Server) DeleteTag(t TB, repo, tag string) {
	t.Helper()
	s.remove(t, manifestPath(repo, tag), http.StatusAccepted)
}

// DeleteManifest removes a manifest and all tags pointing at it.
func (s *Server) DeleteManifest(t TB, repo, digest string) {
	t.Helper()
	tags := s.Tags(t, repo)
	s.remove(t, manifestPath(repo, digest), http.StatusAccepted)
	for tag, d := range tags {
		if d == digest { // gone already, save on the permissive registry
			s.remove(t, manifestPath(repo, tag), http.StatusAccepted, http.StatusNotFound, http.StatusBadRequest)
		}
	}
	// olareg keeps the bytes as a blob, and would still accept an index that names them.
	s.remove(t, blobPath(repo, digest), http.StatusAccepted, http.StatusNotFound, http.StatusInternalServerError)
}

// DeleteBlob removes a blob, even one that manifests name.
func (s *Server) DeleteBlob(t TB, repo, digest string) {
	t.Helper()
	s.remove(t, blobPath(repo, digest), http.StatusAccepted)
}

func (s *Server) remove(t TB, path string, statuses ...int) {
	t.Helper()
	if _, _, err := s.expect(http.MethodDelete, path, nil, nil, statuses...); err != nil {
		t.Fatalf("registrytest: %v", err)
	}
}

// Complete returns what is missing or wrong below a tag or digest, nil if it is whole.
// Foreign layers, which have URLs, may be missing.
func (s *Server) Complete(t TB, repo, ref string) []string {
	t.Helper()
	raw, mediaType, ok := s.Manifest(t, repo, ref)
	if !ok {
		return []string{fmt.Sprintf("manifest %s in %s is missing", ref, repo)}
	}
	var problems []string
	if isDigest(ref) && digestOf(raw, strings.HasPrefix(ref, "sha512:")) != ref {
		problems = append(problems, fmt.Sprintf("manifest %s in %s has other bytes", ref, repo))
	}
	var m document
	if err := json.Unmarshal(raw, &m); err != nil {
		return append(problems, fmt.Sprintf("manifest %s in %s: %v", ref, repo, err))
	}
	if m.MediaType != "" && m.MediaType != mediaType {
		problems = append(problems, fmt.Sprintf("manifest %s in %s is served as %s", ref, repo, mediaType))
	}
	for _, child := range m.Manifests {
		problems = append(problems, s.Complete(t, repo, child.Digest.String())...)
	}
	blobs := m.Layers
	if m.Config != nil {
		blobs = append([]v1.Descriptor{*m.Config}, blobs...)
	}
	for _, b := range blobs {
		if problem := s.blobProblem(repo, b); problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems
}

func (s *Server) blobProblem(repo string, b v1.Descriptor) string {
	digest := b.Digest.String()
	resp, raw, err := s.direct(http.MethodGet, blobPath(repo, digest), nil, nil)
	switch {
	case err != nil:
		return fmt.Sprintf("blob %s in %s: %v", digest, repo, err)
	case resp.StatusCode != http.StatusOK && len(b.URLs) > 0:
		return ""
	case resp.StatusCode != http.StatusOK:
		return fmt.Sprintf("blob %s in %s is missing", digest, repo)
	case int64(len(raw)) != b.Size || digestOf(raw, b.Digest.Algorithm == "sha512") != digest:
		return fmt.Sprintf("blob %s in %s has other bytes", digest, repo)
	}
	return ""
}
