// Package logs formats the log lines of commands.
package logs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// Examples is the field of an entry with examples. As text, each has a line of its own,
// and the counts in other fields are left out, because the message has them.
const Examples = "examples"

// Text formats log lines as plain text. Lines about faults begin with
// file:line:column, which people and tools look for, so they have no level.
type Text struct{}

// place is the field of the position of a fault, which is also in the message.
const place = "place"

// Format returns "level: message name=value", or only the message at level info.
func (Text) Format(e *logrus.Entry) ([]byte, error) {
	line := e.Message
	examples, some := e.Data[Examples].([]string)
	for _, name := range slices.Sorted(maps.Keys(e.Data)) {
		if name != place && !some {
			text := fmt.Sprint(e.Data[name])
			if text == "" || strings.ContainsAny(text, " \"=") {
				text = strconv.Quote(text)
			}
			line += " " + name + "=" + text
		}
	}
	line = output.Escape(line)
	if e.Level != logrus.InfoLevel && e.Data[place] == nil {
		line = e.Level.String() + ": " + line
	}
	for _, text := range examples {
		line += "\n  " + output.Escape(text)
	}
	return []byte(line + "\n"), nil
}

// JSON formats log lines as JSON.
type JSON struct{}

// Format escapes characters that are invisible or that CI systems read as commands.
func (JSON) Format(e *logrus.Entry) ([]byte, error) {
	line, err := (&logrus.JSONFormatter{}).Format(e)
	return output.EscapeJSON(line), err
}
