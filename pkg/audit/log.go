package audit

import (
	"encoding/json"
	"sync"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// verdictLog writes verdicts as JSON lines.
type verdictLog struct {
	Log

	mu sync.Mutex
}

// logLine is the line of one verdict.
//
// Logs of clouds read severity and message, which come before the verdict's own fields.
type logLine struct {
	Severity string `json:"severity"`
	Message  string `json:"message"`
	UUID     string `json:"uuid"`
	record

	// Error Reporting of Google Cloud collects lines with these fields ("Format errors in logs").
	Project string          `json:"project,omitempty"`
	Type    string          `json:"@type,omitempty"`
	Service *serviceContext `json:"serviceContext,omitempty"`
}

// serviceContext names the program that reports an error.
type serviceContext struct {
	Service string `json:"service"`
	Version string `json:"version"`
}

const reportedError = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"

// write writes the line of a verdict. It is safe for concurrent use.
func (l *verdictLog) write(r record) error {
	line := logLine{Severity: "INFO", Message: "(" + l.UUID + ") " + r.Text, UUID: l.UUID, record: r, Project: l.Project}
	if r.Verdict == rejected {
		line.Severity = "ALERT"
		if l.Project != "" {
			line.Type, line.Service = reportedError, &serviceContext{"cip-auditor", l.Version}
		}
	}
	raw, err := json.Marshal(line)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.Out.Write(append(output.EscapeJSON(raw), '\n'))
	return err
}
