package manifest

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

// maxSearch bounds the files whose syntax errors are searched for their line, in bytes: it takes some twenty parses.
const maxSearch = 1 << 20

// documents returns the roots of the documents of data. What stands before a syntax error is among them.
func (r *reader) documents(data []byte) []*yaml.Node {
	if err := unfit(data); err != nil {
		r.whole(Broken, "%v", err)
		return nil
	}
	var docs []*yaml.Node
	err := parse(data, func(root *yaml.Node) {
		docs = append(docs, root)
		r.mark(root)
	})
	if err != nil {
		r.syntax(data, err)
	}
	return docs
}

// mark adds a document to the outer nodes.
func (r *reader) mark(root *yaml.Node) {
	if r.outer == nil {
		r.outer = map[*yaml.Node]struct{}{}
	}
	r.outer[root] = struct{}{}
	if root.Kind == yaml.SequenceNode {
		for _, item := range root.Content {
			r.outer[item] = struct{}{}
		}
	}
}

// unfit returns why data is not worth parsing. A node needs a mark of its own, so that counting
// marks bounds the memory that nodes take before there are any.
func unfit(data []byte) error {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return errors.New("is UTF-16 text, want UTF-8")
	}
	marks := 0
	for _, mark := range []string{"\n", "\r", ",", "[", "{", "- ", "-\t", "? ", "?\t"} {
		marks += bytes.Count(data, []byte(mark))
	}
	if marks > maxNodes {
		return fmt.Errorf("holds more than %d values", maxNodes)
	}
	return nil
}

// parse hands the root of every document of data to yield.
func parse(data []byte, yield func(root *yaml.Node)) error {
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

// decode parses the next document. Versions of the parser have panicked on malformed text, which may be anybody's.
func decode(dec *yaml.Decoder, doc *yaml.Node) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml: %v", v)
		}
	}()
	return dec.Decode(doc)
}

// syntax notes an error of the YAML parser.
func (r *reader) syntax(data []byte, err error) {
	line, column := 1, 1
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, after, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			line, text = n, after
		}
	}
	switch {
	case strings.HasPrefix(text, "did not find expected"):
		line = failing(data, err.Error(), line)
	case strings.HasPrefix(text, "unknown anchor"):
		line, column = undefined(data, text)
	case strings.Contains(text, "UTF-8") || strings.HasPrefix(text, "control characters"):
		line, column = forbidden(data)
	}
	pos := Pos{File: r.file, Line: int32(line), Column: int32(column)}
	r.faults = append(r.faults, Fault{Pos: pos, Severity: Broken, Message: "bad YAML: " + unquoted(text)})
}

// unquoted returns the text of a syntax error without what it quotes of the file, which may be any file.
func unquoted(text string) string {
	for _, quoting := range []string{"unknown anchor", "cannot decode", "anchor"} {
		if strings.HasPrefix(text, quoting+" ") {
			return quoting
		}
	}
	return text
}

// failing returns the line at which data begins to fail with message. The parser itself names
// where the surrounding list or mapping begins, counted from 0.
func failing(data []byte, message string, line int) int {
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
		err := parse(data[:ends[i]], func(*yaml.Node) {})
		return err != nil && err.Error() == message
	})
}

// undefined returns the place of the alias that an "unknown anchor 'x' referenced" speaks of.
func undefined(data []byte, message string) (line, column int) {
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

// forbidden returns the place of the first byte that YAML text cannot hold.
func forbidden(data []byte) (line, column int) {
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
