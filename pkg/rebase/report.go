package rebase

import (
	"bytes"

	"github.com/BurntSushi/toml"
)

// reportFile is the report.toml of the platform specification.
type reportFile struct {
	Image struct {
		Tags   []string `toml:"tags"`
		Digest string   `toml:"digest"`
		Size   int      `toml:"manifest-size"`
	} `toml:"image"`
}

// Report returns the report.toml of a result (platform specification, "report.toml").
//
// It lists the names that refer to the result. Failed and planned names are left out.
func (res *Result) Report(names []Name) ([]byte, error) {
	var f reportFile
	f.Image.Tags = []string{}
	for _, n := range names {
		if n.State == NameSaved || n.State == NameUpToDate {
			f.Image.Tags = append(f.Image.Tags, n.String())
		}
	}
	f.Image.Digest, f.Image.Size = res.Digest.String(), len(res.Manifest.Raw)
	var b bytes.Buffer
	err := toml.NewEncoder(&b).Encode(f)
	return b.Bytes(), err
}
