package cli

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
)

// estimateOptions are the flags about the estimate of a dry run.
type estimateOptions struct {
	exact       bool
	roundTrip   time.Duration
	assumeEmpty []string
}

func (o *estimateOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.exact, "estimate", false, "dry run: also read what indexes list, and estimate requests, bytes and seconds per host")
	f.DurationVar(&o.roundTrip, "round-trip", 100*time.Millisecond, "with --estimate: the `time` from a request to its answer")
	f.StringSliceVar(&o.assumeEmpty, "assume-empty", nil, "with --estimate: do not read these `destinations`, which hold nothing yet")
}

// estimate returns the settings of the estimate; nil: the flag is not set.
func (o *estimateOptions) estimate(run *runOptions) (*promote.Estimate, error) {
	dry, err := run.dry()
	switch {
	case err != nil:
		return nil, err
	case !o.exact && len(o.assumeEmpty) > 0:
		return nil, errors.New("--assume-empty needs --estimate")
	case !o.exact:
		return nil, nil
	case !dry:
		return nil, errors.New("--estimate is for dry runs: it excludes --confirm")
	case run.referrers || run.deep:
		return nil, errors.New("--estimate does not count referrers and repairs: it excludes --referrers and --deep")
	case run.attestOptions.any():
		return nil, errors.New("--estimate does not count evidence: it excludes --attest, --verification-summaries and --sign")
	case o.roundTrip <= 0:
		return nil, errors.New("--round-trip must be positive")
	}
	e := &promote.Estimate{RoundTrip: o.roundTrip}
	for _, name := range o.assumeEmpty {
		r, err := image.ParseRegistry(name)
		if err != nil {
			return nil, fmt.Errorf("--assume-empty: %w", err)
		}
		e.Empty = append(e.Empty, r)
	}
	return e, nil
}

// checkEmpty returns an error if no manifest has a destination at or below one that is
// said to be empty.
func checkEmpty(e *promote.Estimate, set *manifest.Set) error {
	if e == nil {
		return nil
	}
	for _, r := range e.Empty {
		if !slices.ContainsFunc(set.Manifests, func(m *manifest.Manifest) bool {
			return slices.ContainsFunc(m.Destinations, func(d *manifest.Registry) bool {
				_, below := r.Relative(image.NewRepository(d.Name.RegistryStr(), d.Name.Prefix))
				return below
			})
		}) {
			return fmt.Errorf("--assume-empty: no manifest has the destination %s", r)
		}
	}
	return nil
}
