package registry

import (
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Entries holds the settings of the registry entries in manifests. It implements Sites.
type Entries struct {
	accounts map[name.Repository]string
	absent   map[name.Repository][]int
	Warnings []string // of repositories with several accounts
}

// EntriesOf collects the registry entries' accounts and absent statuses.
func EntriesOf(set *manifest.Set) *Entries {
	s := &Entries{accounts: map[name.Repository]string{}, absent: map[name.Repository][]int{}}
	for _, m := range set.Manifests {
		if m.Native {
			continue
		}
		for i := range m.Images {
			name := m.Images[i].Name
			s.account(m.Source, m.Source.Name, name)
			for _, mirror := range m.Source.Mirrors {
				s.account(m.Source, mirror, name)
			}
			for _, d := range m.Destinations {
				s.account(d, d.Name, name)
			}
		}
	}
	return s
}

func (s *Entries) account(entry *manifest.Registry, reg image.Registry, name string) {
	if entry.ServiceAccount == "" && entry.AbsentStatus == nil {
		return
	}
	repo, err := reg.Repository(name)
	if err != nil {
		return
	}
	if entry.AbsentStatus != nil {
		s.absent[repo] = entry.AbsentStatus
	}
	if entry.ServiceAccount == "" || reg.RegistryStr() != entry.Name.RegistryStr() { // an account is valid for the host of its entry only
		return
	}
	first, ok := s.accounts[repo]
	if !ok {
		s.accounts[repo] = entry.ServiceAccount
		return
	}
	if first != entry.ServiceAccount {
		w := fmt.Sprintf("%s: account %s of %s is not used: an earlier entry uses %s for the same repositories", entry.Pos, entry.ServiceAccount, reg, first)
		if !slices.Contains(s.Warnings, w) {
			s.Warnings = append(s.Warnings, w)
		}
	}
}

// Account implements Sites.
func (s *Entries) Account(repo name.Repository) string { return s.accounts[repo] }

// AbsentStatus implements Sites.
func (s *Entries) AbsentStatus(repo name.Repository) []int { return s.absent[repo] }
