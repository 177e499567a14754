package output

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// The types of SARIF 2.1.0, an OASIS standard for code scanning.
const (
	sarifVersion = "2.1.0"
	sarifSchema  = "https://json.schemastore.org/sarif-2.1.0.json"
	sourceRoot   = "%SRCROOT%" // what paths are relative to: the repository
	maxSARIF     = 25_000      // results that GitHub takes; it refuses files with more
	maxRelated   = 100         // places of a finding
)

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
	ColumnKind  string            `json:"columnKind"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name  string      `json:"name"`
	Rules []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID    string       `json:"id"`
	About sarifMessage `json:"shortDescription"`
}

type sarifMessage struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string       `json:"level"`
	Message sarifMessage `json:"message"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Level        string            `json:"level"`
	Message      sarifMessage      `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Related      []sarifLocation   `json:"relatedLocations,omitempty"`
	Baseline     string            `json:"baselineState,omitempty"`
	Fingerprints map[string]string `json:"partialFingerprints"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI  string `json:"uri"`
	Base string `json:"uriBaseId"`
}

type sarifRegion struct {
	Line   int32 `json:"startLine"`
	Column int32 `json:"startColumn,omitempty"`
}

// sarif returns the check as a SARIF log.
func (r *CheckReport) sarif() sarifLog {
	findings := worst(r.Findings, maxSARIF)
	run := sarifRun{
		Tool: sarifTool{sarifDriver{Name: "cip", Rules: []sarifRule{}}}, Results: make([]sarifResult, len(findings)),
		ColumnKind: "unicodeCodePoints",
	}
	index := map[string]int{}
	for _, rule := range append(slices.Clone(r.Rules), check.All()...) {
		d := rule.Describe()
		has := func(f check.Finding) bool { return f.Rule == d.Name }
		if _, again := index[d.Name]; again || len(index) >= len(r.Rules) && !slices.ContainsFunc(findings, has) {
			continue // a rule that only gives notes has findings although it is not one of those that were run
		}
		index[d.Name] = len(index)
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{d.Name, sarifMessage{d.About}})
	}
	invocation := sarifInvocation{Successful: true}
	for _, i := range r.Idle {
		invocation.Notifications = append(invocation.Notifications, sarifNotification{"note", sarifMessage{"skipped " + i.Name + ": " + i.Why}})
	}
	if more := len(r.Findings) - len(findings); more > 0 {
		text := fmt.Sprintf("%d of %d findings are left out: code scanning takes no more", more, len(r.Findings))
		invocation.Notifications = append(invocation.Notifications, sarifNotification{"warning", sarifMessage{text}})
	}
	alike := map[string]int{}
	for i, f := range findings {
		level := "error"
		if f.Level == check.Note {
			level = "note"
		}
		invocation.Successful = invocation.Successful && f.Level != check.Failed
		hash := fingerprint(f)
		alike[hash]++
		run.Results[i] = sarifResult{
			RuleID: f.Rule, RuleIndex: index[f.Rule], Level: level, Message: sarifMessage{unlink(says(f))},
			Locations: []sarifLocation{r.location(f.Pos)}, Related: r.related(f),
			Baseline:     r.baseline(f),
			Fingerprints: map[string]string{"primaryLocationLineHash": hash + ":" + strconv.Itoa(alike[hash])},
		}
	}
	run.Invocations = []sarifInvocation{invocation}
	return sarifLog{sarifSchema, sarifVersion, []sarifRun{run}}
}

// location returns a position in a file.
func (r *CheckReport) location(pos manifest.Pos) sarifLocation {
	return sarifLocation{sarifPhysical{sarifArtifact{uri(r.URI(pos.File)), sourceRoot}, sarifRegion{max(1, pos.Line), pos.Column}}}
}

// related returns the other places of a finding, up to a limit.
func (r *CheckReport) related(f check.Finding) []sarifLocation {
	var all []sarifLocation
	for _, p := range f.Places {
		if p.Pos != f.Pos && len(all) < maxRelated {
			all = append(all, r.location(p.Pos))
		}
	}
	return all
}

// baseline returns the state of a finding compared with the base; empty if there is no base.
func (r *CheckReport) baseline(f check.Finding) string {
	switch {
	case r.Base == "":
		return ""
	case f.Old:
		return "unchanged"
	}
	return "new"
}

// uri returns a relative path as a URI reference.
func uri(path string) string { return (&url.URL{Path: path}).String() }

// worst returns up to a number of findings. It drops notes first.
func worst(findings []check.Finding, most int) []check.Finding {
	if len(findings) <= most {
		return findings
	}
	sorted := slices.Clone(findings)
	slices.SortStableFunc(sorted, func(a, b check.Finding) int { return cmp.Compare(b.Level, a.Level) })
	return sorted[:most]
}

// unlink breaks links, [text](address), in foreign text: code scanning would render them.
func unlink(text string) string { return strings.ReplaceAll(text, "](", "] (") }

// fingerprint identifies a finding independently of its line, so that edits above it do
// not make it a new finding. A number distinguishes findings with the same message.
func fingerprint(f check.Finding) string {
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + f.Pos.File + "\x00" + cmp.Or(f.ID, f.Message)))
	return hex.EncodeToString(sum[:8])
}
