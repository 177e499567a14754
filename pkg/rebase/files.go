package rebase

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/BurntSushi/toml"
)

// maxFile is the maximum size of a file in bytes. Large builder files have some
// 50,000 bytes.
const maxFile = 1 << 20

// maxNesting is the maximum nesting depth of arrays and inline tables. The TOML
// decoder is recursive, so a deeper file could exhaust the stack.
const maxNesting = 100

// File holds the run images that one TOML file names.
type File struct {
	Name         string
	Images       []Names // the default run image first
	LocalMirrors []Names // the user's own mirrors, by run image
}

// file has the keys of all supported files. The keys present in a file show its
// kind.
type file struct {
	Names             // mirrors.toml: image, mirrors
	RunImage Names    `toml:"run-image"` // stack.toml
	Images   []Names  `toml:"images"`    // run.toml
	Stack    struct { // builder.toml
		RunImage string   `toml:"run-image"`
		Mirrors  []string `toml:"run-image-mirrors"`
	} `toml:"stack"`
	Run struct { // builder.toml
		Images []Names `toml:"images"`
	} `toml:"run"`
	RunImages []Names `toml:"run-images"` // config.toml of pack
}

// ParseFile parses a TOML file that names run images.
//
// It reads stack.toml, run.toml, builder.toml, mirrors.toml and the config.toml of
// pack, under any file name, and ignores keys that it does not know. A file may
// name the run image in several tables if they agree. Errors start with name.
func ParseFile(name string, data []byte) (File, error) {
	f, err := parseFile(data)
	f.Name = name
	var at toml.ParseError
	switch {
	case errors.As(err, &at):
		return f, fmt.Errorf("%s:%d:%d: %s", name, at.Position.Line, max(at.Position.Col, 1), at.Message)
	case err == nil:
		return f, nil
	}
	if m := wrongType.FindStringSubmatch(err.Error()); m != nil {
		return f, fmt.Errorf("%s:%s:1: key %s: %s", name, m[1], m[2], m[3])
	}
	return f, fmt.Errorf("%s: %w", name, err)
}

// wrongType matches the decoder's error for a value of the wrong type. The decoder
// has no error type for it.
var wrongType = regexp.MustCompile(`^toml: line (\d+) \(last key "(.*)"\): (.*)$`)

func parseFile(data []byte) (File, error) {
	if len(data) > maxFile {
		return File{}, fmt.Errorf("more than %d bytes are refused", maxFile)
	}
	if nesting(data) > maxNesting {
		return File{}, fmt.Errorf("values nested more than %d deep are refused", maxNesting)
	}
	var doc file
	if err := toml.Unmarshal(data, &doc); err != nil {
		return File{}, err
	}
	forms := [][]Names{doc.Images, doc.Run.Images}
	for _, n := range []Names{doc.RunImage, doc.Names, {doc.Stack.RunImage, doc.Stack.Mirrors}} {
		if n.Image != "" || len(n.Mirrors) > 0 {
			forms = append(forms, []Names{n})
		}
	}
	var f File
	for _, images := range forms {
		for _, n := range images {
			if err := n.check(); err != nil {
				return File{}, err
			}
			if n.Image == "" {
				return File{}, errors.New("a run image without a name")
			}
		}
		switch {
		case len(images) == 0:
		case f.Images == nil:
			f.Images = images
		case !sameNames(f.Images[0], images[0]):
			return File{}, fmt.Errorf("it names two different run images, %v and %v", f.Images[0].all(), images[0].all())
		}
	}
	for _, n := range doc.RunImages {
		if err := n.check(); err != nil {
			return File{}, err
		}
		f.LocalMirrors = append(f.LocalMirrors, n)
	}
	if f.Images == nil && f.LocalMirrors == nil {
		return File{}, errors.New("it names no run image: want [run-image], [[images]], [stack], [[run.images]], image or [[run-images]]")
	}
	return f, nil
}

// nesting returns an upper bound of the nesting depth of values. It counts open
// brackets, including those in strings.
func nesting(data []byte) int {
	depth, most := 0, 0
	for _, c := range data {
		switch c {
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return most
}

// sameNames reports whether a and b are the same image and mirrors after
// normalization.
func sameNames(a, b Names) bool {
	return normalize(a.Image) == normalize(b.Image) && slices.EqualFunc(a.Mirrors, b.Mirrors, func(x, y string) bool { return normalize(x) == normalize(y) })
}

// normalize returns the canonical form of an image name. It returns an invalid name
// unchanged.
func normalize(s string) string {
	if r, err := ParseReference(s); err == nil {
		return r.String()
	}
	return s
}

// Choose returns the run image that the files name.
//
// If a file names several run images, the one that shares a name with app is used,
// or else the first. It is an error if two files name different images. The result
// has the mirrors of all files. It is empty if no file names a run image.
func Choose(files []File, app Names) (Names, error) {
	var chosen Names
	from := ""
	for _, f := range files {
		if len(f.Images) == 0 {
			continue
		}
		n := f.Images[0]
		if i := slices.IndexFunc(f.Images, func(n Names) bool { return shareName(n, app) }); i >= 0 {
			n = f.Images[i]
		}
		if from == "" {
			chosen, from = Names{n.Image, slices.Clone(n.Mirrors)}, f.Name
			continue
		}
		if normalize(n.Image) != normalize(chosen.Image) {
			return Names{}, fmt.Errorf("%s names the run image %q, %s names %q", from, chosen.Image, f.Name, n.Image)
		}
		chosen.Mirrors = appendNew(chosen.Mirrors, n.Mirrors)
	}
	return chosen, nil
}

// LocalMirrors returns the local mirrors of run image n: given ones, then those in the
// files, sorted.
func LocalMirrors(given []string, files []File, n Names) []string {
	var mirrors []string
	for _, f := range files {
		for _, l := range f.LocalMirrors {
			if normalize(l.Image) == normalize(n.Image) {
				mirrors = appendNew(mirrors, l.Mirrors)
			}
		}
	}
	slices.Sort(mirrors)
	return appendNew(slices.Clone(given), mirrors)
}

// shareName reports whether a and b have an image or a mirror in common.
func shareName(a, b Names) bool {
	return slices.ContainsFunc(a.all(), func(x string) bool {
		return slices.ContainsFunc(b.all(), func(y string) bool { return normalize(x) == normalize(y) })
	})
}

// appendNew appends to a the names of b that a does not have.
func appendNew(a, b []string) []string {
	for _, s := range b {
		if !slices.ContainsFunc(a, func(t string) bool { return normalize(t) == normalize(s) }) {
			a = append(a, s)
		}
	}
	return a
}
