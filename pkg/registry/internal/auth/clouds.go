package auth

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/authn/github"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// firmwareDir is where Linux shows the strings of the firmware.
const firmwareDir = "/sys/class/dmi/id"

// impliedError is the failure of an identity that was not configured by name.
//
// The machine only seems to have it, so the failure is logged and the request is anonymous.
type impliedError struct{ error }

func (e impliedError) Unwrap() error { return e.error }

// clouds returns the keychains of the clouds that this process may run in.
func (s *Store) clouds() []authn.Keychain {
	return []authn.Keychain{
		s.cloud("Google", image.Google, s.google),
		s.cloud("AWS", isECR, s.ecr),
		s.cloud("Azure", isACR, s.acr),
		onlyFor(isGHCR, "GitHub identity", github.Keychain), // which would also serve other ports of the host
	}
}

// isGHCR reports whether host is GitHub's registry.
func isGHCR(host string) bool { return host == "ghcr.io" }

// madeBy returns a string of the machine's firmware, or "".
func (s *Store) madeBy(name string) string {
	data, err := readFile(filepath.Join(s.firmware, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// anyEnv reports whether one of the variables is set.
func anyEnv(names ...string) bool {
	for _, name := range names {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// exists reports whether there is a file with this name.
func exists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// homeDir returns the user's home directory, or "" if it is not known.
func homeDir() string {
	dir, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return dir
}
