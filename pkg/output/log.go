package output

import "github.com/sirupsen/logrus"

// LogText formats log lines as plain text. Lines about faults begin with
// file:line:column, which people and tools look for, so they have no level.
type LogText struct{}

// Format returns "level: message", or only the message at level info.
func (LogText) Format(e *logrus.Entry) ([]byte, error) {
	line := Escape(e.Message)
	if e.Level != logrus.InfoLevel && e.Data["place"] == nil {
		line = e.Level.String() + ": " + line
	}
	return []byte(line + "\n"), nil
}

// LogJSON formats log lines as JSON.
type LogJSON struct{}

// Format escapes characters that are invisible or that CI systems read as commands.
func (LogJSON) Format(e *logrus.Entry) ([]byte, error) {
	line, err := (&logrus.JSONFormatter{}).Format(e)
	return EscapeJSON(line), err
}
