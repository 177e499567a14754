package rebase

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/BurntSushi/toml"
)

// maxFile is the size of the largest file that is read, in bytes; builder files have tens of thousands.
const maxFile = 1 << 20

// maxNesting is how deep arrays and inline tables of a file may be nested.
const maxNesting = 100

// File is what one file says of run images.
type File struct {
	Name   string
	Images []Names // the run image first
	Local  []Names // mirrors that a user keeps for run images, by their names
}

// file is the union of the forms, which are told apart by what is in them.
type file struct {
	Names             // mirrors.toml: image, mirrors
	RunImage Names    `toml:"run-image"` // stack.toml
	Images   []Names  `toml:"images"`    // run.toml
	Stack    tomlBase `toml:"stack"`     // builder.toml
	Run      struct { // builder.toml
		Images []Names `toml:"images"`
	} `toml:"run"`
	RunImages []Names `toml:"run-images"` // config.toml of pack
}

type tomlBase struct {
	RunImage string   `toml:"run-image"`
	Mirrors  []string `toml:"run-image-mirrors"`
}

// ParseFile reads a stack.toml, run.toml, builder.toml, mirrors.toml or pack's
// config.toml. Whatever else is in it is passed over. Forms that stand side by side
// must agree. Messages begin with the name.
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

// wrongType is how the decoder tells of a value of another type: in text alone.
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
			return File{}, fmt.Errorf("it names two run images that do not agree, %v and %v", f.Images[0].all(), images[0].all())
		}
	}
	for _, n := range doc.RunImages {
		if err := n.check(); err != nil {
			return File{}, err
		}
		f.Local = append(f.Local, n)
	}
	if f.Images == nil && f.Local == nil {
		return File{}, errors.New("it names no run image: want [run-image], [[images]], [stack], [[run.images]], image or [[run-images]]")
	}
	return f, nil
}

// nesting returns a bound of how deep values are nested: brackets opened and not closed.
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

// sameNames reports whether two lists name one image and the same mirrors, however they are spelled.
func sameNames(a, b Names) bool {
	return spelled(a.Image) == spelled(b.Image) && slices.EqualFunc(a.Mirrors, b.Mirrors, func(x, y string) bool { return spelled(x) == spelled(y) })
}

// spelled returns the one spelling of a name; what is no name stands for itself.
func spelled(s string) string {
	if r, err := ParseReference(s); err == nil {
		return r.String()
	}
	return s
}

// Choose returns the run image that the files name. An app's own names say which of
// several images is meant; without one it is the first. Files must agree on the
// image; their mirrors add up. Names is empty if no file names an image.
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
		if spelled(n.Image) != spelled(chosen.Image) {
			return Names{}, fmt.Errorf("%s names the run image %q, %s names %q", from, chosen.Image, f.Name, n.Image)
		}
		chosen.Mirrors = union(chosen.Mirrors, n.Mirrors)
	}
	return chosen, nil
}

// Local returns the mirrors that the files keep for a run image, sorted.
func Local(files []File, n Names) []string {
	var mirrors []string
	for _, f := range files {
		for _, l := range f.Local {
			if spelled(l.Image) == spelled(n.Image) {
				mirrors = union(mirrors, l.Mirrors)
			}
		}
	}
	slices.Sort(mirrors)
	return mirrors
}

func shareName(a, b Names) bool {
	return slices.ContainsFunc(a.all(), func(x string) bool {
		return slices.ContainsFunc(b.all(), func(y string) bool { return spelled(x) == spelled(y) })
	})
}

// union appends what is not there yet.
func union(a, b []string) []string {
	for _, s := range b {
		if !slices.ContainsFunc(a, func(t string) bool { return spelled(t) == spelled(s) }) {
			a = append(a, s)
		}
	}
	return a
}
