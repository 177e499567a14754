package output

import (
	"io"

	"golang.org/x/term"
)

const (
	plainWidth = 120 // columns, where nobody says how many there are: CI logs show about as many
	leastWidth = 72  // columns: in less, tags would have no room
)

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// Color reports whether text on w may be colored. w must be a terminal with colors, or
// CLICOLOR_FORCE must be set. NO_COLOR disables colors in any case.
func Color(w io.Writer, getenv func(string) string) bool {
	if getenv("NO_COLOR") != "" {
		return false
	}
	if force := getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return getenv("TERM") != "dumb" && IsTerminal(w)
}

// width returns the number of columns of w.
func width(w io.Writer) int { return max(terminalWidth(w, plainWidth), leastWidth) }

// Width returns the number of columns for text that is wrapped: at most most, less on a
// narrower terminal, but enough for two columns of words.
func Width(w io.Writer, most int) int {
	const least = 50
	return max(min(terminalWidth(w, most), most), least)
}

// terminalWidth returns the number of columns of a terminal, or a default.
func terminalWidth(w io.Writer, otherwise int) int {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return otherwise
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		return otherwise
	}
	return columns
}
