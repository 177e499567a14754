package output

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	progressColumns = 4 // texts of a row: percent, steps or images, bytes, rate

	minBarWidth, maxBarWidth = 10, 40 // terminal columns
	minLabelWidth            = 16     // terminal columns, where a label is cut off
)

// progressRow is a line about progress.
type progressRow struct {
	label string
	ratio float64                 // from 0 to 1; -1: unknown
	texts [progressColumns]string // the first ones are shown on narrow terminals, too
}

func (r *progressRow) set(ratio float64) {
	r.ratio = ratio
	r.texts[0] = fmt.Sprintf("%d%%", int(100*ratio))
}

// text returns the texts in one.
func (r *progressRow) text(separator string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(r.texts[:]), func(s string) bool { return s == "" }), separator)
}

// layout returns the lines of rows for a terminal: as many columns as have room, then the
// bar, and labels that are cut off if that gives the bar its room.
func layout(rows []progressRow, width int) []string {
	width = max(0, width-1) // some terminals break a line that is full
	label := 0
	var texts [progressColumns]int
	for _, r := range rows {
		label = max(label, utf8.RuneCountInString(r.label))
		for i, s := range r.texts {
			texts[i] = max(texts[i], len(s))
		}
	}
	bar := 0
	for n := progressColumns; ; n-- {
		right := 0
		for i, w := range texts {
			if i >= n {
				texts[i] = 0
			} else if w > 0 {
				right += w + 2
			}
		}
		short := min(label, max(minLabelWidth, width/4))
		if label+1+minBarWidth+right > width {
			label = short
		}
		if bar = width - label - 1 - right; bar >= 0 || n == 1 {
			break
		}
	}
	if bar = min(bar, maxBarWidth); bar < minBarWidth {
		bar = 0
	}
	lines := make([]string, len(rows))
	if width == 0 {
		return lines
	}
	for i, r := range rows {
		lines[i] = clip(r.line(label, bar, texts), width)
	}
	return lines
}

// line returns a row with a label, a bar and texts of these widths.
func (r *progressRow) line(label, bar int, texts [progressColumns]int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s", label, clip(r.label, label))
	switch {
	case bar == 0:
	case r.ratio < 0:
		b.WriteString(strings.Repeat(" ", bar+1))
	default:
		inner := bar - 2
		full := min(inner, int(r.ratio*float64(inner)))
		filled := strings.Repeat("=", full)
		if full < inner {
			filled += ">"
		}
		fmt.Fprintf(&b, " [%-*s]", inner, filled)
	}
	for i, w := range texts {
		if w > 0 {
			fmt.Fprintf(&b, "  %*s", w, r.texts[i])
		}
	}
	return strings.TrimRight(b.String(), " ")
}
