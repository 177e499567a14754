package manifest

import (
	"io/fs"
	"path"
)

// TeamFiles returns the names of a team's files in a thin manifest directory: its list of
// images, and the file with its registries.
func TeamFiles(team string) (images, registries string) {
	return path.Join(imagesDir, team, imagesName), path.Join(manifestsDir, team, manifestName)
}

// Team is Thin, but it reads the files of one team alone.
func Team(fsys fs.FS, display, team string) *Set { return Thin(oneTeam{fsys, team}, display) }

// oneTeam is a thin manifest directory with the files of one team.
type oneTeam struct {
	fs.FS
	team string
}

// ReadDir implements fs.ReadDirFS.
func (o oneTeam) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != manifestsDir && name != imagesDir {
		return fs.ReadDir(o.FS, name)
	}
	info, err := fs.Stat(o.FS, name+"/"+o.team)
	if err != nil {
		return nil, nil //nolint:nilerr // the other directory has the team
	}
	return []fs.DirEntry{fs.FileInfoToDirEntry(info)}, nil
}
