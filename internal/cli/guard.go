package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/scan"
)

// guardOptions are the flags of rules about images that are about to be promoted.
type guardOptions struct {
	trustOptions
	maxImageSize int
	threshold    string
	scanner      string
	reports      string
	allow        string
}

// noThreshold is the value of --vuln-severity-threshold that disables the rule.
const noThreshold = "-1"

func (o *guardOptions) addFlags(f *pflag.FlagSet, maxImageSize int) {
	f.IntVar(&o.maxImageSize, "max-image-size", maxImageSize, "refuse images larger than this many `MiB` (0: no limit)")
	o.trustOptions.addFlags(f)
	f.StringVar(&o.threshold, "vuln-severity-threshold", noThreshold,
		"refuse images with fixable vulnerabilities of this `severity` or higher: "+check.SeverityList()+"; "+noThreshold+": off")
	f.StringVar(&o.scanner, "vuln-scanner", "", "scanner `command` that prints Trivy or Grype JSON; the image reference is appended")
	f.StringVar(&o.reports, "vuln-reports", "", "read scan results from `directory`/DIGEST.json instead of running a scanner")
	f.StringVar(&o.allow, "vuln-allow", "", "accept the vulnerabilities in this YAML `file`, each until a date and for a reason")
}

// size returns the size rule, nil without a limit.
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

// vulnerability returns the vulnerability rule, nil if there is no threshold. platforms
// reads the images of an index; nil if registries are not read.
func (o *guardOptions) vulnerability(platforms check.PlatformReader) (check.Rule, error) {
	off := o.threshold == noThreshold || o.threshold == ""
	given := o.scanner != "" || o.reports != ""
	switch {
	case o.scanner != "" && o.reports != "":
		return nil, errors.New("--vuln-scanner and --vuln-reports exclude each other")
	case off && (given || o.allow != ""):
		return nil, errors.New("--vuln-scanner, --vuln-reports and --vuln-allow require --vuln-severity-threshold")
	case off:
		return nil, nil
	}
	threshold, err := check.ParseThreshold(o.threshold)
	switch {
	case err != nil:
		return nil, fmt.Errorf("bad --vuln-severity-threshold %q: %w", o.threshold, err)
	case !given:
		return nil, errors.New("--vuln-severity-threshold requires --vuln-scanner or --vuln-reports")
	}
	rule := check.Vulnerability{Threshold: threshold, Platforms: platforms, Now: time.Now()}
	if o.allow != "" {
		if rule.Waivers, err = scan.Waivers(o.allow); err != nil {
			return nil, fmt.Errorf("reading --vuln-allow: %w", err)
		}
	}
	rule.Scanner, err = o.scans()
	return rule, err
}

// scans returns the source of scan reports.
func (o *guardOptions) scans() (check.Scanner, error) {
	if o.reports != "" {
		if info, err := os.Stat(o.reports); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("reading --vuln-reports: %s is not a directory", o.reports)
		}
		return scan.Directory(o.reports), nil
	}
	words, err := shellquote.Split(o.scanner)
	if err != nil || len(words) == 0 {
		return nil, fmt.Errorf("bad --vuln-scanner %q: want a command", o.scanner)
	}
	return scan.Command(words), nil
}

// rules returns the three rules. A rule whose flag is not set is nil. If offline is set,
// the rules do not read registries.
func (o *guardOptions) rules(e *promote.RuleReader, s *session, offline bool) (size, signature, vulnerability check.Rule, err error) {
	if size, err = o.size(e); err != nil {
		return nil, nil, nil, err
	}
	if signature, err = o.signature(e, s); err != nil {
		return nil, nil, nil, err
	}
	var platforms check.PlatformReader
	if !offline {
		platforms = e
	}
	vulnerability, err = o.vulnerability(platforms)
	return size, signature, vulnerability, err
}
