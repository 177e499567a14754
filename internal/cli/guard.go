package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
)

// guardOptions are the flags of rules that judge what is about to be promoted.
type guardOptions struct {
	maxImageSize int
	signatureKey string
	threshold    int
	scanner      string
	reports      string
}

// noThreshold is what --vuln-severity-threshold is when it is not set.
const noThreshold = -1

func (o *guardOptions) addFlags(f *pflag.FlagSet, maxImageSize int) {
	f.IntVar(&o.maxImageSize, "max-image-size", maxImageSize, "refuse images larger than so many `MiB` (0: no limit)")
	f.StringVar(&o.signatureKey, "signature-key", "", "refuse images without a cosign signature of this public key, a PEM `file`")
	f.IntVar(&o.threshold, "vuln-severity-threshold", noThreshold,
		"refuse images with fixable vulnerabilities of this `severity` or worse: 0 unknown, 1 negligible, 2 low, 3 medium, 4 high, 5 critical (-1: do not look)")
	f.StringVar(&o.scanner, "vuln-scanner", "", "`command` that prints Trivy's or Grype's JSON about the image whose reference is appended to it")
	f.StringVar(&o.reports, "vuln-reports", "", "`directory` of such JSON, DIGEST.json for each image, in place of a scanner")
}

// size returns the size rule, nil if there is no limit.
func (o *guardOptions) size(e *promote.RuleReader) (check.Rule, error) {
	const mib, most = 1 << 20, 1 << 40
	switch {
	case o.maxImageSize < 0 || o.maxImageSize > most:
		return nil, fmt.Errorf("bad --max-image-size %d: want a number of MiB", o.maxImageSize)
	case o.maxImageSize == 0:
		return nil, nil
	}
	return check.Size{Limit: int64(o.maxImageSize) * mib, Contents: e}, nil
}

// signature returns the signature rule, nil if there is no key.
func (o *guardOptions) signature(e *promote.RuleReader) (check.Rule, error) {
	if o.signatureKey == "" {
		return nil, nil
	}
	pem, err := readFile(o.signatureKey, maxKey)
	if err != nil {
		return nil, fmt.Errorf("reading --signature-key: %w", err)
	}
	rule, err := check.NewSignature(pem, e)
	if err != nil {
		return nil, fmt.Errorf("reading --signature-key %s: %w", o.signatureKey, err)
	}
	return rule, nil
}

// vulnerability returns the vulnerability rule, nil if there is no threshold.
func (o *guardOptions) vulnerability() (check.Rule, error) {
	given := o.scanner != "" || o.reports != ""
	switch {
	case o.threshold < noThreshold || o.threshold > int(check.Critical):
		return nil, fmt.Errorf("bad --vuln-severity-threshold %d: want 0 to %d", o.threshold, check.Critical)
	case o.scanner != "" && o.reports != "":
		return nil, errors.New("--vuln-scanner and --vuln-reports exclude each other")
	case o.threshold == noThreshold && given:
		return nil, errors.New("--vuln-scanner and --vuln-reports want --vuln-severity-threshold")
	case o.threshold == noThreshold:
		return nil, nil
	case !given:
		return nil, errors.New("--vuln-severity-threshold wants --vuln-scanner or --vuln-reports")
	}
	rule := check.Vulnerability{Threshold: check.Severity(o.threshold), Scanner: reportDir(o.reports)}
	if o.reports != "" {
		if info, err := os.Stat(o.reports); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("reading --vuln-reports: %s is no directory", o.reports)
		}
		return rule, nil
	}
	words, err := shellquote.Split(o.scanner)
	if err != nil || len(words) == 0 {
		return nil, fmt.Errorf("bad --vuln-scanner %q: want a command", o.scanner)
	}
	rule.Scanner = scanCommand(words)
	return rule, nil
}

// rules returns the rules whose flags are set.
func (o *guardOptions) rules(e *promote.RuleReader) ([]check.Rule, error) {
	size, err := o.size(e)
	if err != nil {
		return nil, err
	}
	signature, err := o.signature(e)
	if err != nil {
		return nil, err
	}
	vulnerability, err := o.vulnerability()
	if err != nil {
		return nil, err
	}
	var rules []check.Rule
	for _, r := range []check.Rule{size, signature, vulnerability} {
		if r != nil {
			rules = append(rules, r)
		}
	}
	return rules, nil
}
