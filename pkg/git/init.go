package git

import (
	"fmt"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
)

// Init makes an empty repository in a directory, with remotes: names and addresses.
func Init(dir string, remotes [][2]string) error {
	repo, err := git.PlainInit(dir, false)
	for _, r := range remotes {
		if err == nil {
			_, err = repo.CreateRemote(&config.RemoteConfig{Name: r[0], URLs: []string{r[1]}})
		}
	}
	if err != nil {
		return fmt.Errorf("making a git repository: %w", err)
	}
	return nil
}
