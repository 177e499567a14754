package check

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// mostWeaknesses is the maximum number of vulnerabilities in a report, far above real reports.
const mostWeaknesses = 100_000

// scanReport is the JSON of Trivy and Grype. Each fills its own keys.
type scanReport struct {
	ArtifactName string          `json:"ArtifactName"` // Trivy, even where it finds nothing
	Results      []trivyResult   `json:"Results"`
	Matches      json.RawMessage `json:"matches"` // Grype
}

type trivyResult struct {
	Vulnerabilities []struct {
		ID        string `json:"VulnerabilityID"`
		Name      string `json:"PkgName"`
		Installed string `json:"InstalledVersion"`
		Fixed     string `json:"FixedVersion"`
		Severity  string `json:"Severity"`
	} `json:"Vulnerabilities"`
}

type grypeMatch struct {
	Vulnerability struct {
		ID       string `json:"id"`
		Severity string `json:"severity"`
		Fix      struct {
			Versions []string `json:"versions"`
			State    string   `json:"state"`
		} `json:"fix"`
	} `json:"vulnerability"`
	Artifact struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"artifact"`
}

// parseReport parses a report. The result has the worst vulnerabilities first, without duplicates.
func parseReport(raw []byte) ([]weakness, error) {
	var r scanReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("parsing the report: %w", err)
	}
	var all []weakness
	var err error
	switch {
	case r.Matches != nil && r.Results != nil:
		return nil, errors.New("parsing the report: it has both Trivy's Results and Grype's matches")
	case r.Matches != nil:
		all, err = fromGrype(r.Matches)
	case r.ArtifactName != "" || r.Results != nil:
		all, err = fromTrivy(r.Results)
	default:
		return nil, errors.New("parsing the report: it is neither Trivy's JSON nor Grype's")
	}
	if err != nil {
		return nil, fmt.Errorf("parsing the report: %w", err)
	}
	if len(all) > mostWeaknesses {
		return nil, fmt.Errorf("parsing the report: it names %d vulnerabilities, more than %d are refused", len(all), mostWeaknesses)
	}
	slices.SortFunc(all, func(a, b weakness) int {
		return cmp.Or(cmp.Compare(b.severity, a.severity), strings.Compare(a.id, b.id), strings.Compare(a.name, b.name),
			strings.Compare(a.version, b.version), strings.Compare(b.fixed, a.fixed))
	})
	return slices.CompactFunc(all, func(a, b weakness) bool {
		return a.id == b.id && a.name == b.name && a.version == b.version && a.severity == b.severity && a.fixable() == b.fixable()
	}), nil
}

func fromTrivy(results []trivyResult) ([]weakness, error) {
	var all []weakness
	for _, r := range results {
		for _, v := range r.Vulnerabilities {
			if v.ID == "" {
				return nil, errors.New("a vulnerability has no VulnerabilityID")
			}
			severity, err := parseSeverity(v.Severity)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.ID, err)
			}
			all = append(all, weakness{id: v.ID, severity: severity, name: v.Name, version: v.Installed, fixed: v.Fixed})
		}
	}
	return all, nil
}

func fromGrype(raw json.RawMessage) ([]weakness, error) {
	var matches []grypeMatch
	if err := json.Unmarshal(raw, &matches); err != nil {
		return nil, err
	}
	all := make([]weakness, 0, len(matches))
	for _, m := range matches {
		v := &m.Vulnerability
		if v.ID == "" {
			return nil, errors.New("a match has no vulnerability id")
		}
		severity, err := parseSeverity(v.Severity)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.ID, err)
		}
		all = append(all, weakness{
			id: v.ID, severity: severity, name: m.Artifact.Name, version: m.Artifact.Version,
			fixed: strings.Join(v.Fix.Versions, ", "), hasFix: v.Fix.State == "fixed",
		})
	}
	return all, nil
}
