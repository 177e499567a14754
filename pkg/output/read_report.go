package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Limits of reports, in bytes. A JSON report of 500,000 copies is smaller. The limit of
// YAML is lower, because the parser needs many times its size.
const (
	maxReport     = 512 << 20
	maxYAMLReport = 32 << 20
)

const notReport = "it is not a report of cip run (--report=FILE writes one)"

// yamlError matches an error of the YAML parser.
var yamlError = regexp.MustCompile(`(?s)yaml: (?:unmarshal errors:\s*)?(?:line (\d+): )?(.*)$`)

// defect returns what an error of a parser says about a file, without words of Go: the
// key and the type, or the line.
func defect(err error) string {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Sprintf(": %s: unexpected %s", wrong.Field, wrong.Value)
	case errors.As(err, &wrong):
		return ""
	case errors.As(err, &syntax):
		return fmt.Sprintf(": not JSON at byte %d", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ": it ends too early"
	}
	m := yamlError.FindStringSubmatch(err.Error())
	switch {
	case m == nil, strings.Contains(m[2], "unmarshal"):
		return ""
	case m[1] != "":
		return ": line " + m[1] + ": " + m[2]
	}
	return ": " + m[2]
}

// ReadReport parses a report that WriteReport wrote as JSON or YAML. It does not check
// the values.
func ReadReport(r io.Reader) (*plan.Report, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxReport+1))
	if err != nil {
		return nil, err
	}
	isJSON := bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{"))
	switch {
	case len(raw) > maxReport:
		return nil, fmt.Errorf("it is larger than %d MiB", maxReport>>20)
	case !isJSON && len(raw) > maxYAMLReport:
		return nil, fmt.Errorf("it is YAML of more than %d MiB: write the report as JSON", maxYAMLReport>>20)
	case !isJSON:
		if raw, err = yaml.YAMLToJSONStrict(raw); err != nil {
			return nil, fmt.Errorf("parsing the report: %s%s", notReport, defect(err))
		}
	}
	var report *plan.Report
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&report); err != nil {
		return nil, fmt.Errorf("parsing the report: %s%s", notReport, defect(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("parsing the report: there is something after its end")
	}
	if report == nil {
		return nil, errors.New("it is empty")
	}
	return report, nil
}

// ReadPlan reads the file of a dry run's JSON report and approves its plan. Errors do not name the file.
func ReadPlan(file string) (*plan.Approval, error) {
	report, err := ReadReportFile(file)
	if err != nil {
		return nil, err
	}
	return report.Approve()
}

// ReadReportFile parses a file that WriteReport wrote as JSON or YAML. Errors do not name the file.
func ReadReportFile(file string) (*plan.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		return nil, err
	}
	defer f.Close()
	return ReadReport(f)
}
