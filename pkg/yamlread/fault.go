package yamlread

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Pos is a position in a file.
//
// Line and Column count from 1, and columns count characters. Line 0 means the
// whole file.
type Pos struct {
	File   string
	Line   int32
	Column int32
}

// String returns "file:line:column", or "file" for a whole file.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Compare orders positions by file, line and column.
func (p Pos) Compare(q Pos) int {
	return cmp.Or(strings.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Severity says how much a fault stops.
type Severity int

// The severities, from lowest to highest.
const (
	Warning Severity = iota + 1 // stops nothing
	Refused                     // stops one entry; the exit code is 1
	Broken                      // stops the run before its first request
)

// Fault is a problem in a file.
type Fault struct {
	Pos      Pos
	Severity Severity
	Message  string
	ID       string // identifies the fault in its file without lines; empty: Message does
}

// String returns "file:line:column: message".
func (f Fault) String() string { return f.Pos.String() + ": " + f.Message }

// Key identifies the fault independently of its line.
//
// Two states of a file have the same fault if they have faults with the same key.
func (f Fault) Key() string {
	return f.Pos.File + "\x00" + strconv.Itoa(int(f.Severity)) + cmp.Or(f.ID, f.Message)
}

// Error implements error.
func (f Fault) Error() string { return f.String() }

// Compare orders faults by position and message.
func (f Fault) Compare(g Fault) int {
	return cmp.Or(f.Pos.Compare(g.Pos), strings.Compare(f.Message, g.Message))
}

// SortedFaults returns the faults of the file in the order of their positions.
//
// Equal faults are returned once: the text behind an alias is read at every use, and
// its faults have the position of the anchor.
func (f *File) SortedFaults() []Fault {
	f.identify()
	slices.SortStableFunc(f.Faults, Fault.Compare)
	return slices.Compact(f.Faults)
}
