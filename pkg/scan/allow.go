package scan

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Waivers reads a YAML list of accepted vulnerabilities. The error has all faults of the file.
func Waivers(name string) ([]check.Waiver, error) {
	f := yamlread.Open(os.DirFS(filepath.Dir(name)), filepath.Base(name), name)
	var all []check.Waiver
	for _, root := range f.Docs {
		items, _ := f.Items(root, "a list of waivers")
		for _, n := range items {
			all = append(all, waiver(f, n))
		}
	}
	faults := f.SortedFaults()
	errs := make([]error, len(faults))
	for i, fault := range faults {
		errs[i] = fault
	}
	return all, errors.Join(errs...)
}

// waiver reads one entry. Faults are added to the file.
func waiver(f *yamlread.File, n *yaml.Node) check.Waiver {
	const what = "a waiver"
	keys := f.Known(n, what, "id", "package", "digest", "until", "reason")
	if keys == nil {
		return check.Waiver{}
	}
	w := check.Waiver{Pos: f.Pos(n)}
	matches := 0
	for key, to := range map[string]*string{"id": &w.ID, "package": &w.Package, "digest": &w.Digest} {
		if _, given := keys[key]; given {
			*to, _ = f.Required(n, keys, key, what)
			matches++
		}
	}
	if matches == 0 {
		f.Fault(yamlread.Broken, n, "a waiver without id, package and digest: it would accept every vulnerability")
	}
	if _, err := image.ParseDigest(w.Digest); w.Digest != "" && err != nil {
		f.Fault(yamlread.Broken, keys["digest"].Value, "%v", err)
	}
	w.Reason, _ = f.Required(n, keys, "reason", what)
	until, ok := f.Required(n, keys, "until", what)
	var err error
	if w.Until, err = time.Parse(time.DateOnly, until); ok && err != nil {
		f.Fault(yamlread.Broken, keys["until"].Value, "bad until %q: want a date such as %s", yamlread.Clip(until), time.DateOnly)
	}
	return w
}
