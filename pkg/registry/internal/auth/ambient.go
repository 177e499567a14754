package auth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// firmwareDir is where Linux shows what the maker of the machine wrote into it.
const firmwareDir = "/sys/class/dmi/id"

// impliedError is the failure of an identity that nobody asked for by name, but
// that the machine seems to have: it is told and passed over.
type impliedError struct{ error }

// Unwrap returns the failure itself.
func (e impliedError) Unwrap() error { return e.error }

// identity is one cloud's notion of who this process is.
type identity struct {
	name   string
	serves func(host string) bool
	ask    func(ctx context.Context, host string) (answer, error)
}

// ambient asks the cloud that a host belongs to. A cloud that is not configured
// is nobody at once, for the whole run; one that is, and fails, is an error.
func (s *Store) ambient(ctx context.Context, host string) (answer, error) {
	for _, id := range []identity{
		{"Google", image.Google, s.google},
		{"AWS", isECR, s.ecr},
		{"Azure", isACR, s.acr},
		{"GitHub", isGHCR, s.ghcr},
	} {
		if !id.serves(host) {
			continue
		}
		a, err := id.ask(ctx, host)
		if errors.Is(err, errAbsent) {
			return answer{}, nil
		}
		if _, implied := errors.AsType[impliedError](err); implied {
			s.warn("ambient "+id.name, fmt.Sprintf("passing over this machine's %s identity: %v", id.name, err))
			return answer{keep: failureKept}, nil
		}
		if err != nil {
			return answer{}, fmt.Errorf("using the %s identity: %w", id.name, err)
		}
		return a, nil
	}
	return answer{}, nil
}

// isGHCR reports whether host is GitHub's registry.
func isGHCR(host string) bool { return host == "ghcr.io" }

// ghcr returns the token of a GitHub workflow.
func (s *Store) ghcr(context.Context, string) (answer, error) {
	token := os.Getenv("GITHUB_TOKEN")
	if token == "" {
		return answer{}, errAbsent
	}
	user := os.Getenv("GITHUB_ACTOR")
	if user == "" {
		user = "x-access-token" // GitHub takes any name; this is the one it documents for tokens
	}
	return answer{cred: Credential{Username: user, Password: token}}, nil
}

// madeBy returns what the machine's maker wrote under name, or "" where that cannot be read.
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

// exists reports whether there is a file of this name.
func exists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// homeDir returns the user's home folder, or "" where none is known.
func homeDir() string {
	dir, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return dir
}
