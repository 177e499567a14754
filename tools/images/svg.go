package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Sizes of the picture of a terminal, in pixels.
const (
	charWidth  = 8.4
	lineHeight = 20
	margin     = 20
)

// colors are the foreground colours of the SGR codes that cip uses (ECMA-48).
var colors = map[string]string{
	"31": "#f7768e", "32": "#9ece6a", "33": "#e0af68", "34": "#7aa2f7", "35": "#bb9af7", "36": "#7dcfff", "90": "#7a82ab", "2": "#7a82ab",
}

var sgrRE = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// terminal returns an SVG picture of a terminal with a command and its coloured output.
func terminal(command, output string) []byte {
	lines := append([]string{"\x1b[32m$\x1b[0m \x1b[1m" + command + "\x1b[0m", ""}, strings.Split(strings.TrimRight(output, "\n"), "\n")...)
	columns := 0
	for _, l := range lines {
		columns = max(columns, utf8.RuneCountInString(sgrRE.ReplaceAllString(l, "")))
	}
	var b bytes.Buffer
	w, h := int(float64(columns)*charWidth)+2*margin, len(lines)*lineHeight+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="A terminal: cip run shows a plan">`, w, h)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="#1a1b26"/><g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14" fill="#c0caf5" xml:space="preserve">`)
	for i, l := range lines {
		fmt.Fprintf(&b, `<text x="%d" y="%d" xml:space="preserve">`, margin, margin+(i+1)*lineHeight-6)
		spans(&b, l)
		b.WriteString("</text>")
	}
	b.WriteString("</g></svg>\n")
	return b.Bytes()
}

// spans writes one line, a tspan for each run of one colour.
func spans(b *bytes.Buffer, line string) {
	style := ""
	text := func(s string) {
		if s == "" {
			return
		}
		fmt.Fprintf(b, "<tspan%s>", style)
		_ = xml.EscapeText(b, []byte(s)) // a bytes.Buffer does not fail
		b.WriteString("</tspan>")
	}
	at := 0
	for _, m := range sgrRE.FindAllStringSubmatchIndex(line, -1) {
		text(line[at:m[0]])
		at, style = m[1], ""
		for _, code := range strings.Split(line[m[2]:m[3]], ";") {
			if c := colors[code]; c != "" {
				style += fmt.Sprintf(` fill="%s"`, c)
			}
			if code == "1" {
				style += ` font-weight="bold"`
			}
		}
	}
	text(line[at:])
}
