package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// manifestOptions are the flags that name manifests.
type manifestOptions struct {
	manifest, thinDir string
	adapt             func(*manifest.Set) // changes what was read: no flag says so
}

func (o *manifestOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.manifest, "manifest", "", "plain manifest or native `file` to load")
	f.StringVar(&o.thinDir, "thin-manifest-dir", "", "`directory` of thin manifests to load")
}

// named returns the manifests that the flags name. They may name none, or two.
func (o *manifestOptions) named() load.Manifests {
	return load.Manifests{File: o.manifest, Dir: o.thinDir}
}

// path returns the file or directory to load, as the user wrote it.
func (o *manifestOptions) path() string { return o.named().Path() }

// location returns where the manifests are.
func (o *manifestOptions) location() (load.Manifests, error) {
	switch {
	case o.manifest != "" && o.thinDir != "":
		return load.Manifests{}, errors.New("--manifest and --thin-manifest-dir exclude each other")
	case o.path() == "":
		return load.Manifests{}, errors.New("--manifest or --thin-manifest-dir is required")
	}
	return o.named(), nil
}

// load reads the manifests. Faults are in the set.
func (o *manifestOptions) load() (*manifest.Set, error) {
	at, err := o.location()
	if err != nil {
		return nil, err
	}
	set := at.Read()
	if o.adapt != nil {
		o.adapt(set)
	}
	return set, nil
}

// offline runs work that does not watch ctx, such as parsing large manifests. It returns as
// soon as ctx ends. The rest of the work then ends with the process.
func offline(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errInterrupted
	}
}

// openRevision opens the manifests at the base that a flag names, and logs how it was
// found.
func (s *session) openRevision(ctx context.Context, at load.Manifests, flag, text string) (*load.Revision, error) {
	r, err := at.Revision(ctx, text, time.Now(), s.getenv)
	if err == nil && r.Found != "" {
		s.log.Infof("%s %s: %s", flag, text, r.Found)
	}
	return r, err
}
