package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/scan"
)

// guardOptions are the flags of rules about images that are about to be promoted.
type guardOptions struct {
	maxImageSize int
	signatureKey string
	threshold    int
	scanner      string
	reports      string
}

// noThreshold is the value of --vuln-severity-threshold that disables the rule.
const noThreshold = -1

func (o *guardOptions) addFlags(f *pflag.FlagSet, maxImageSize int) {
	f.IntVar(&o.maxImageSize, "max-image-size", maxImageSize, "refuse images larger than this many `MiB` (0: no limit)")
	f.StringVar(&o.signatureKey, "signature-key", "", "refuse images without a cosign signature by the public key in this PEM `file`")
	f.IntVar(&o.threshold, "vuln-severity-threshold", noThreshold,
		"refuse images with fixable vulnerabilities of this `severity` or higher: 0 unknown, 1 negligible, 2 low, 3 medium, 4 high, 5 critical (-1: off)")
	f.StringVar(&o.scanner, "vuln-scanner", "", "scanner `command` that prints Trivy or Grype JSON; the image reference is appended")
	f.StringVar(&o.reports, "vuln-reports", "", "read scan results from `directory`/DIGEST.json instead of running a scanner")
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
	pem, err := load.File(o.signatureKey, load.MaxKey)
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
		return nil, errors.New("--vuln-scanner and --vuln-reports require --vuln-severity-threshold")
	case o.threshold == noThreshold:
		return nil, nil
	case !given:
		return nil, errors.New("--vuln-severity-threshold requires --vuln-scanner or --vuln-reports")
	}
	rule := check.Vulnerability{Threshold: check.Severity(o.threshold), Scanner: scan.Directory(o.reports)}
	if o.reports != "" {
		if info, err := os.Stat(o.reports); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("reading --vuln-reports: %s is not a directory", o.reports)
		}
		return rule, nil
	}
	words, err := shellquote.Split(o.scanner)
	if err != nil || len(words) == 0 {
		return nil, fmt.Errorf("bad --vuln-scanner %q: want a command", o.scanner)
	}
	rule.Scanner = scan.Command(words)
	return rule, nil
}

// rules returns the three rules. A rule whose flag is not set is nil.
func (o *guardOptions) rules(e *promote.RuleReader) (size, signature, vulnerability check.Rule, err error) {
	if size, err = o.size(e); err != nil {
		return nil, nil, nil, err
	}
	if signature, err = o.signature(e); err != nil {
		return nil, nil, nil, err
	}
	vulnerability, err = o.vulnerability()
	return size, signature, vulnerability, err
}
