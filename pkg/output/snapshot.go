package output

import (
	"encoding/csv"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// writeSnapshotYAML writes an images.yaml. Users compare its bytes, so they must not change.
func writeSnapshotYAML(w io.Writer, s inventory.Snapshot) error {
	b := newBuffer(w)
	if len(s) == 0 {
		b.put("[]\n")
	}
	for _, img := range s {
		b.put("- name: ", scalar(img.Name), "\n")
		if len(img.Digests) == 0 {
			b.put("  dmap: {}\n")
			continue
		}
		b.put("  dmap:\n")
		for _, d := range img.Digests {
			b.put("    ", quote(d.Digest.String()), ": [")
			for i, tag := range d.Tags {
				if i > 0 {
					b.put(", ")
				}
				b.put(quote(tag))
			}
			b.put("]\n")
		}
	}
	return b.Flush()
}

// plainRE matches repository names without characters that have a meaning in YAML.
var plainRE = regexp.MustCompile(`^[a-z0-9][a-z0-9._/-]*$`)

// words are the lower-case words that are not strings in YAML 1.1.
var words = []string{"y", "yes", "on", "true", "n", "no", "off", "false", "null"}

// scalar returns s as a YAML string, without quotes if that is safe. Text that begins
// with a digit needs a character that numbers and times do not have.
func scalar(s string) string {
	digit := s != "" && s[0] >= '0' && s[0] <= '9'
	if !plainRE.MatchString(s) || slices.Contains(words, s) || digit && !strings.ContainsAny(s, "/ghjklmqrsuvwy") {
		return quote(s)
	}
	return s
}

// quote returns s in double quotes, with escapes for invisible characters and commands of CI systems.
func quote(s string) string { return string(escapeYAML([]byte(strconv.Quote(s)))) }

// writeSnapshotCSV writes a line for each tag: the reference by digest and the one by tag.
func writeSnapshotCSV(w io.Writer, s inventory.Snapshot) error {
	c := csv.NewWriter(w)
	for _, img := range s {
		name := Escape(img.Name)
		for _, d := range img.Digests {
			ref := name + "@" + Escape(d.Digest.String())
			if len(d.Tags) == 0 {
				_ = c.Write([]string{ref, "-"}) // Error returns the error at the end
			}
			for _, tag := range d.Tags {
				_ = c.Write([]string{ref, name + ":" + Escape(tag)})
			}
		}
	}
	c.Flush()
	return c.Error()
}

// jsonImage is one repository of a snapshot in JSON, whose encoder sorts the digests.
type jsonImage struct {
	Name string               `json:"name"`
	Dmap map[v1.Hash][]string `json:"dmap"`
}

// writeSnapshotJSON writes a list of images, encoding one by one.
func writeSnapshotJSON(w io.Writer, s inventory.Snapshot) error {
	if len(s) == 0 {
		return WriteJSON(w, []jsonImage{})
	}
	b := newBuffer(w)
	before := "[\n  "
	for _, img := range s {
		entry := jsonImage{img.Name, make(map[v1.Hash][]string, len(img.Digests))}
		for _, d := range img.Digests {
			entry.Dmap[d.Digest] = append([]string{}, d.Tags...)
		}
		text, err := encodeJSON(entry, "  ")
		if err != nil {
			return err
		}
		b.put(before, string(text))
		before = ",\n  "
	}
	b.put("\n]\n")
	return b.Flush()
}
