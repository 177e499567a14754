package yamlread

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxSearch is the maximum size of files whose syntax errors are searched for their
// line, in bytes. The search parses the file some twenty times.
const maxSearch = 1 << 20

// documents returns the roots of the documents in data, up to a syntax error.
func (f *File) documents(data []byte) []*yaml.Node {
	if err := checkText(data); err != nil {
		f.Whole(Broken, "%v", err)
		return nil
	}
	var docs []*yaml.Node
	err := Parse(data, func(root *yaml.Node) {
		docs = append(docs, root)
		f.markOuter(root)
	})
	if err != nil {
		f.syntaxError(data, err)
	}
	return docs
}

// markOuter adds a document to the outer nodes.
func (f *File) markOuter(root *yaml.Node) {
	if f.outer == nil {
		f.outer = map[*yaml.Node]struct{}{}
	}
	f.outer[root] = struct{}{}
	if root.Kind == yaml.SequenceNode {
		for _, item := range root.Content {
			f.outer[item] = struct{}{}
		}
	}
}

// checkText returns an error if data must not be parsed.
//
// Every node needs at least one of the marks below. Counting them bounds the memory
// of the nodes before the parser makes any.
func checkText(data []byte) error {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return errors.New("is UTF-16 text, want UTF-8")
	}
	marks := 0
	for _, mark := range []string{"\n", "\r", ",", "[", "{", "- ", "-\t", "? ", "?\t"} {
		marks += bytes.Count(data, []byte(mark))
	}
	if marks > MaxNodes {
		return fmt.Errorf("holds more than %d values", MaxNodes)
	}
	return nil
}

// Parse calls yield with each document's root.
func Parse(data []byte, yield func(root *yaml.Node)) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := decode(dec, &doc)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		yield(doc.Content[0])
	}
}

// decode parses the next document.
//
// It recovers from panics: versions of the parser have panicked on malformed text.
func decode(dec *yaml.Decoder, doc *yaml.Node) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml: %v", v)
		}
	}()
	return dec.Decode(doc)
}

// syntaxError adds a fault for a YAML parser error.
func (f *File) syntaxError(data []byte, err error) {
	line, column := 1, 1
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, after, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			line, text = n, after
		}
	}
	switch {
	case text == "found character that cannot start any token" && tabbed(data, line):
		text = "a tab may not indent a line"
	case strings.HasPrefix(text, "did not find expected"):
		line = failingLine(data, err.Error(), line)
	case strings.HasPrefix(text, "unknown anchor"):
		line, column = undefinedAlias(data, text)
	case strings.Contains(text, "UTF-8") || strings.HasPrefix(text, "control characters"):
		line, column = forbiddenCharacter(data)
	}
	pos := Pos{File: f.Display, Line: int32(line), Column: int32(column)}
	f.Faults = append(f.Faults, Fault{Pos: pos, Severity: Broken, Message: "bad YAML: " + withoutQuotes(text)})
}

// tabbed reports whether a line is indented with a tab.
func tabbed(data []byte, line int) bool {
	for n := 1; n < line; n++ {
		_, rest, found := bytes.Cut(data, []byte("\n"))
		if !found {
			return false
		}
		data = rest
	}
	return bytes.HasPrefix(bytes.TrimLeft(data, " "), []byte("\t"))
}

// withoutQuotes returns a syntax error without the quoted text.
//
// The file may be any file.
func withoutQuotes(text string) string {
	for _, quoting := range []string{"unknown anchor", "cannot decode", "anchor"} {
		if strings.HasPrefix(text, quoting+" ") {
			return quoting
		}
	}
	return text
}

// failingLine returns the first line where parsing fails with message.
//
// The parser itself names the line at which the surrounding list or mapping begins,
// counted from 0.
func failingLine(data []byte, message string, line int) int {
	if len(data) > maxSearch {
		return line + 1
	}
	var ends []int
	for i, b := range data {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	return 1 + sort.Search(len(ends), func(i int) bool {
		err := Parse(data[:ends[i]], func(*yaml.Node) {})
		return err != nil && err.Error() == message
	})
}

// undefinedAlias returns the position of the alias in an error "unknown anchor 'x' referenced".
func undefinedAlias(data []byte, message string) (line, column int) {
	_, name, _ := strings.Cut(message, "'")
	name, _, _ = strings.Cut(name, "'")
	for n, text := range strings.Split(string(data), "\n") {
		before, after, ok := strings.Cut(text, "*"+name)
		if ok && !strings.Contains(before, "#") && (after == "" || strings.ContainsRune(" \t\r,]}", rune(after[0]))) {
			return n + 1, utf8.RuneCountInString(before) + 1
		}
	}
	return 1, 1
}

// forbiddenCharacter returns the position of the first byte that YAML does not allow.
func forbiddenCharacter(data []byte) (line, column int) {
	line, column = 1, 1
	for len(data) > 0 {
		c, size := utf8.DecodeRune(data)
		switch {
		case c == utf8.RuneError && size == 1,
			c < ' ' && c != '\t' && c != '\n' && c != '\r',
			c >= 0x7f && c < 0xa0 && c != 0x85,
			c == 0xfffe, c == 0xffff:
			return line, column
		case c == '\n':
			line, column = line+1, 1
		default:
			column++
		}
		data = data[size:]
	}
	return line, column
}
