package registrytest

import (
	"bytes"
	"fmt"
	"strings"
)

// Page answers 200 with a page for people, as a login page before a registry does.
func Page() Fault {
	return Status(200, Header("Content-Type", "text/html; charset=utf-8"), "<!DOCTYPE html>\n<html><title>Sign in</title></html>\n")
}

// HeadNotFound answers 404 to every HEAD of a manifest, as some proxies and registries do.
// GET and lists are answered as ever.
func (s *Server) HeadNotFound() *Injection {
	return s.Fault(Refuse(404, "MANIFEST_UNKNOWN", "manifest unknown"), Is(ManifestHead))
}

// SignedSchema1 returns the answer to a GET of a signed image manifest of Docker's schema 1,
// and the digest that registries know it by: that of the payload without signatures.
func SignedSchema1(name, tag string) (digest string, answer Response) {
	payload := fmt.Appendf(nil, `{"schemaVersion":1,"name":%q,"tag":%q,"architecture":"amd64","fsLayers":[{"blobSum":"sha256:%s"}],"history":[{"v1Compatibility":"{}"}]}`,
		name, tag, strings.Repeat("a", 64))
	digest = digestOf(payload, false)
	signed := append(bytes.TrimSuffix(payload, []byte("}")), `,"signatures":[{"header":{"alg":"ES256"},"signature":"x","protected":"y"}]}`...)
	header := Header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
	header.Set("Docker-Content-Digest", digest)
	return digest, Response{Header: header, Body: string(signed)}
}
