package resolve

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
)

// Reference is a reference with labels: name[:tag][,label=value]…
type Reference struct {
	Repository name.Repository
	Tag        string // empty if not given
	Labels     map[string]string
}

// ParseReference parses a reference of the form name[:tag][,label=value]…
//
// The name is host[:port]/path. ",tag=x" means the same as ":x". The tag and the values
// are percent-encoded.
func ParseReference(s string) (Reference, error) {
	ref, err := parseReference(s)
	if err != nil {
		return Reference{}, fmt.Errorf("bad image reference %q: %w", clip(s), err)
	}
	return ref, nil
}

func parseReference(s string) (Reference, error) {
	ref := Reference{Labels: map[string]string{}}
	parts := strings.Split(s, ",")
	host, path, slash := strings.Cut(parts[0], "/")
	if !slash {
		return ref, fmt.Errorf("%q has no repository: want host/path", clip(parts[0]))
	}
	if strings.Contains(path, "@") {
		return ref, errors.New("it contains '@': write a digest as the label digest=sha256%3A…")
	}
	path, tag, tagged := strings.Cut(path, ":")
	if strings.Contains(tag, ":") {
		return ref, errors.New("more than one ':' after the host: want host/path:tag, and %3A in a tag")
	}
	var err error
	if tagged {
		if ref.Tag, err = decodeValue("tag", tag); err != nil {
			return ref, err
		}
	}
	if ref.Repository, err = image.ParseRepository(host + "/" + path); err != nil {
		return ref, err
	}
	for _, part := range parts[1:] {
		key, value, ok := strings.Cut(part, "=")
		switch _, again := ref.Labels[key]; {
		case !ok:
			return ref, fmt.Errorf("%q is not a label: want label=value", clip(part))
		case strings.Contains(part, ":"):
			return ref, fmt.Errorf("label %s contains ':', which separates the tag: write %%3A", clip(key))
		case again:
			return ref, fmt.Errorf("label %s is given twice", clip(key))
		case key == "tag" && tagged:
			return ref, fmt.Errorf("the tag is given twice: %s and %s", clip(ref.Tag), clip(value))
		}
		if err := imagetags.CheckLabel(key); err != nil {
			return ref, err
		}
		if value, err = decodeValue(key, value); err != nil {
			return ref, err
		}
		if key == "tag" {
			ref.Tag, tagged = value, true
			continue
		}
		ref.Labels[key] = value
	}
	return ref, nil
}

// decodeValue decodes a percent-encoded value. Unlike in a URL query, '+' is not a
// space.
func decodeValue(key, value string) (string, error) {
	out, err := url.PathUnescape(value)
	if err != nil {
		return "", fmt.Errorf("label %s: %w", key, err)
	}
	if key == "tag" && out == "" {
		return "", errors.New("the tag is empty")
	}
	return out, nil
}

// clip shortens untrusted text for a message.
func clip(s string) string {
	const most = 140 // bytes
	return image.Clip(s, most)
}
