package cli

import (
	"encoding/json"
	"io"
	"sync"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// auditLog writes verdicts to stdout, a JSON object a line, in the form that cloud
// logs read: severity and message beside the verdict's own fields.
type auditLog struct {
	out           io.Writer
	uuid, project string
	version       string // of cip-auditor

	mu sync.Mutex
}

// auditLine is one line.
type auditLine struct {
	Severity string `json:"severity"`
	Message  string `json:"message"`
	UUID     string `json:"uuid"`
	audit.Record

	// Of rejected changes, if there is a project: Cloud Error Reporting, "Format errors in logs".
	Project string        `json:"project,omitempty"`
	Type    string        `json:"@type,omitempty"`
	Service *auditService `json:"serviceContext,omitempty"`
}

type auditService struct {
	Service string `json:"service"`
	Version string `json:"version"`
}

const reportedError = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"

// write writes the line of a verdict. It is safe for concurrent use.
func (l *auditLog) write(r audit.Record, log logrus.FieldLogger) {
	line := auditLine{Severity: "INFO", Message: "(" + l.uuid + ") " + r.Text, UUID: l.uuid, Record: r, Project: l.project}
	if r.Verdict == audit.Rejected {
		line.Severity = "ALERT"
		if l.project != "" {
			line.Type, line.Service = reportedError, &auditService{"cip-auditor", l.version}
		}
	}
	raw, err := json.Marshal(line)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, err = l.out.Write(append(output.EscapeJSON(raw), '\n'))
	}
	if err != nil {
		log.Errorf("writing a verdict to stdout: %v", err)
	}
}
