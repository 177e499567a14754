package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Producers is what one file wants found: a sources.yaml, the sources of a plain
// manifest, the entries of a native StarlingX file, or Flux resources.
type Producers struct {
	File      string      // as messages call it
	Name      string      // in its fs.FS
	Lock      string      // name of the lock file in the fs.FS: evidence of the last resolution
	Images    string      // name of the file that holds the images list; empty: results go to the lock alone
	Manifests []*Manifest // that the images list belongs to; none if names are fully qualified
	Entries   []*Producer // in file order
	Locked    []Lock      // in file order
}

// Producer says how the digest of an image is found.
type Producer struct {
	Name          string            `json:"name"`
	Select        Select            `json:"select"`
	Filter        *Filter           `json:"filterTags,omitempty"`
	Exclude       []string          `json:"exclude,omitempty"` // regular expressions of tags that are no candidates
	Labels        map[string]string `json:"labels,omitempty"`  // that the image has to carry
	Ref           string            `json:"ref,omitempty"`     // documentation only
	Tags          []string          `json:"tags,omitempty"`    // templates of the tags to promote; none: the selector's own
	Update        string            `json:"update,omitempty"`  // UpdateAppend if empty, or UpdateReplace
	AlwaysRefresh bool              `json:"alwaysRefresh,omitempty"`
	Rebase        *Rebase           `json:"rebase,omitempty"`
	Repository    name.Repository   `json:"-"` // that candidates are in
	Output        name.Repository   `json:"-"` // that results are promoted from: Repository, or where rebased images are
	Pos           Pos               `json:"-"`
}

// What becomes of the digests that a producer wrote before.
const (
	UpdateAppend  = "append"
	UpdateReplace = "replace"
)

// Select is how one candidate is chosen: exactly one field is set.
type Select struct {
	Tag          string            `json:"tag,omitempty"`
	Digest       v1.Hash           `json:"digest,omitzero"`
	SemVer       *SemVer           `json:"semver,omitempty"`
	Numerical    *Order            `json:"numerical,omitempty"`
	Alphabetical *Order            `json:"alphabetical,omitempty"`
	GitRevision  *GitRevision      `json:"gitRevision,omitempty"`
	Alias        *Alias            `json:"alias,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
}

// SemVer selects the highest version in a range.
type SemVer struct {
	Range string `json:"range"`
}

// Order selects the last of the candidates in ascending order, or the first.
type Order struct {
	Order string `json:"order"` // OrderAscending or OrderDescending
}

// The directions of an Order. Ascending takes the greatest, as in Flux' image policies.
const (
	OrderAscending  = "asc"
	OrderDescending = "desc"
)

// Filter keeps the tags that match a regular expression, and says which part of
// them the selector compares.
type Filter struct {
	Pattern string `json:"pattern"`
	Extract string `json:"extract,omitempty"` // template such as $1 or ${name}; empty: the whole tag
}

// GitRevision selects the image of the newest commit on a branch that has one.
type GitRevision struct {
	Repository      string    `json:"repository"` // URL, or a path relative to the file that names it
	Branch          string    `json:"branch"`
	Walk            string    `json:"walk,omitempty"` // WalkFirstParent if empty, or WalkAll
	Identify        *Identify `json:"identify,omitempty"`
	Paths           []string  `json:"paths,omitempty"`           // of the tree that the image is built from
	MaxBehind       *int      `json:"maxBehind,omitempty"`       // commits without image before the one chosen; nil: any
	MinAbbreviation int       `json:"minAbbreviation,omitempty"` // hex digits of a commit id; 0: 7
	NoEqualTrees    bool      `json:"noEqualTrees,omitempty"`    // a commit may not borrow the image of one with the same files
}

// The orders in which history is walked.
const (
	WalkFirstParent = "first-parent"
	WalkAll         = "all"
)

// Identify says how the commit of an image is told: by its tag or by a label.
type Identify struct {
	Tag    *IdentifyTag `json:"tag,omitempty"`
	Label  string       `json:"label,omitempty"`  // annotation or label that names the revision
	Source string       `json:"source,omitempty"` // what org.opencontainers.image.source has to be
}

// IdentifyTag takes the commit out of a tag.
type IdentifyTag struct {
	Pattern string `json:"pattern"`
	Commit  string `json:"commit"`          // template such as $sha
	Order   string `json:"order,omitempty"` // template of what tells builds of one commit apart
}

// Alias selects by an image tags file.
type Alias struct {
	Tag       string `json:"tag"`
	ImageTags string `json:"imageTags"` // path relative to the file that names it
}

// Rebase puts the selected image on another run image.
type Rebase struct {
	RunImage     *RunImage `json:"runImage,omitempty"` // nil: from the image's labels
	LocalMirrors []string  `json:"localMirrors,omitempty"`
	Accept       string    `json:"accept,omitempty"` // listed if empty, same-repository or any
	To           string    `json:"to"`               // repository below the source registry
}

// RunImage is a run image and its mirrors.
type RunImage struct {
	Image   string   `json:"image"`
	Mirrors []string `json:"mirrors,omitempty"`
}

// TagFields are what templates of tags may use.
type TagFields struct {
	Name   string
	Tag    string // the selected one
	Digest string
	Commit string            // of a git revision
	Value  string            // what filterTags extracted
	Labels map[string]string // that the image of an alias has to have
}

// ImageName returns the name of the image that results are written to: where a
// rebased image is, or the producer's own.
func (p *Producer) ImageName() string {
	if p.Rebase != nil {
		return p.Rebase.To
	}
	return p.Name
}

// Intent identifies what the producer asks for, whatever the file's form.
func (p *Producer) Intent() string {
	raw, err := json.Marshal(p)
	if err != nil {
		panic(err) // it holds nothing that JSON cannot express
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Lock is the evidence of a producer's last resolution: an entry of sources.lock.yaml.
type Lock struct {
	Name    string      `yaml:"name"`
	Intent  string      `yaml:"intent"` // Producer.Intent
	Digest  v1.Hash     `yaml:"digest"`
	Tag     string      `yaml:"tag,omitempty"`     // selected source tag
	Tags    []string    `yaml:"tags,flow"`         // that are promoted
	TagList string      `yaml:"tagList,omitempty"` // sha256 of the candidates, sorted, each on a line
	Ref     string      `yaml:"ref,omitempty"`
	Git     *LockGit    `yaml:"git,omitempty"`
	Alias   *LockAlias  `yaml:"alias,omitempty"`
	Rebase  *LockRebase `yaml:"rebase,omitempty"`
	Pos     Pos         `yaml:"-"`
}

// LockGit is where in history a result was found.
type LockGit struct {
	Repository string `yaml:"repository"`
	Branch     string `yaml:"branch"`
	Tip        string `yaml:"tip"`    // commit at the branch's head
	Commit     string `yaml:"commit"` // commit of the image
	Behind     int    `yaml:"behind"` // commits between them that should have an image
	By         string `yaml:"by"`     // tag, label or tree
}

// LockAlias is the chain of aliases that led to a result.
type LockAlias struct {
	File       string            `yaml:"file"`
	FileDigest string            `yaml:"fileDigest"`
	Path       []string          `yaml:"path,flow"`
	Labels     map[string]string `yaml:"labels,omitempty,flow"`
}

// LockRebase says what a rebased image was made of.
type LockRebase struct {
	App         v1.Hash  `yaml:"app"`
	From        LockBase `yaml:"from,flow"`
	Onto        LockBase `yaml:"onto,flow"`
	PlatformAPI string   `yaml:"platformAPI,omitempty"`
}

// LockBase is a run image below an app image.
type LockBase struct {
	Reference string  `yaml:"reference,omitempty"`
	Image     string  `yaml:"image,omitempty"`
	Digest    v1.Hash `yaml:"digest,omitempty"`
	TopLayer  string  `yaml:"topLayer"`
}
