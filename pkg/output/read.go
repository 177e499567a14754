package output

import (
	"bytes"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// ReadSnapshot parses a snapshot that WriteSnapshot wrote, in any format.
func ReadSnapshot(raw []byte) (inventory.Snapshot, error) {
	if isCSV(raw) {
		return readCSV(raw)
	}
	var doc []struct {
		Name string              `json:"name"`
		Dmap map[string][]string `json:"dmap"`
	}
	if err := yaml.UnmarshalStrict(raw, &doc); err != nil {
		return nil, fmt.Errorf("parsing the snapshot: it is not what cip snapshot prints%s", defect(err))
	}
	var s inventory.Snapshot
	for _, img := range doc {
		out := inventory.Image{Name: img.Name}
		for digest, tags := range img.Dmap {
			d, err := image.ParseDigest(digest)
			if err != nil {
				return nil, fmt.Errorf("parsing the snapshot: image %q: %w", img.Name, err)
			}
			for _, t := range tags {
				if err := image.CheckTag(t); err != nil {
					return nil, fmt.Errorf("parsing the snapshot: image %q: %w", img.Name, err)
				}
			}
			out.Digests = append(out.Digests, inventory.Tagged{Digest: d, Tags: tags})
		}
		s = append(s, out)
	}
	return s.Sort(), nil
}

// isCSV reports whether the first line is a line of a CSV snapshot.
func isCSV(raw []byte) bool {
	line, _, _ := bytes.Cut(bytes.TrimLeft(raw, "\r\n"), []byte("\n"))
	return bytes.Contains(line, []byte("@sha256:")) && bytes.Contains(line, []byte(","))
}

func readCSV(raw []byte) (inventory.Snapshot, error) {
	var s inventory.Snapshot
	n := 0
	for text := range bytes.Lines(raw) {
		n++
		line := string(bytes.TrimSpace(text))
		if line == "" {
			continue
		}
		byDigest, byTag, _ := strings.Cut(line, ",")
		name, digest, _ := strings.Cut(byDigest, "@")
		d, err := image.ParseDigest(digest)
		if err != nil {
			return nil, fmt.Errorf("parsing the snapshot: line %d: %w", n, err)
		}
		t := inventory.Tagged{Digest: d}
		if byTag != "-" {
			tag, ok := strings.CutPrefix(byTag, name+":")
			if !ok || image.CheckTag(tag) != nil {
				return nil, fmt.Errorf("parsing the snapshot: line %d: want %.300q and a tag, got %.100q", n, name+":", byTag)
			}
			t.Tags = []string{tag}
		}
		s = append(s, inventory.Image{Name: name, Digests: []inventory.Tagged{t}})
	}
	return s.Sort(), nil
}
