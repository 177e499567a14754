package git

import (
	"path/filepath"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
)

func TestInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Init(dir, [][2]string{{"origin", "https://git.example.com/team/up"}, {"fork", "git@git.example.com:me/up.git"}}); err != nil {
		t.Fatal(err)
	}
	p, err := NewProgram(t.Context(), Setup{Clone: dir, Env: gittest.Env(t, "")})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"origin": "https://git.example.com/team/up", "fork": "git@git.example.com:me/up.git"} {
		if got, err := p.Remote(name); err != nil || got.Fetch != want {
			t.Errorf("remote %s: got %q, error %v, want %q", name, got.Fetch, err, want)
		}
	}
	if err := Init(filepath.Join(dir, ".git", "config"), nil); err == nil {
		t.Error("in a file: got no error, want one")
	}
}
